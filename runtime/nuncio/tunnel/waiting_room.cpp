// See detail/waiting_place.hpp and waiting_room.hpp.
#include <nuncio/tunnel/waiting_room.hpp>

namespace nuncio {

void waiting_place::give_back_to_share() {
  std::exchange(of_, nullptr)->give_back(std::exchange(cost_, 0));
}

}  // namespace nuncio
