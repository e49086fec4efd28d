// See storage_response.hpp.
#include <nuncio/storage/storage_messages.hpp>
#include <nuncio/storage_response.hpp>

namespace nuncio::internal {

caf::behavior make_behavior(std::shared_ptr<answer_handler> to) {
  return {[to = std::move(to)](storage_reply& x) {
    if (auto* const answer = std::get_if<storage_answer>(&x.content)) return to->handle(*answer);
    auto why = make_error(std::get<storage_failure>(x.content));
    to->handle_failure(why);
  }};
}

}  // namespace nuncio::internal
