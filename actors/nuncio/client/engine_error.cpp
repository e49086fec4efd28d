// See errors.hpp.
#include <nuncio/client/error_category.hpp>
#include <nuncio/errors.hpp>

namespace nuncio {
namespace {

constexpr auto not_here_code = "host.not_here";

}  // namespace

caf::error make_error(const engine_failure& why) {
  return internal::make_caf_error(internal::caf_code(why.code), why);
}

std::optional<engine_failure> engine_failure_of(const caf::error& e) {
  return internal::value_in<engine_failure>(e);
}

caf::error not_here() {
  return make_error(engine_failure{
      .code = errc::not_found,
      .message = "no instance of that actor is running on this host",
      .engine_code = not_here_code});
}

bool is_not_here(const caf::error& e) {
  const auto why = engine_failure_of(e);
  return why && why->engine_code == not_here_code;
}

}  // namespace nuncio
