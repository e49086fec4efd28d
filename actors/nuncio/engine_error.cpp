// See engine_error.hpp.
#include <caf/make_message.hpp>
#include <caf/message.hpp>
#include <nuncio/engine_error.hpp>

namespace nuncio {
namespace {

constexpr auto category = caf::atom("nuncio");
constexpr auto not_here_code = "host.not_here";

}  // namespace

caf::error make_error(const engine_failure& why) {
  const auto code =
      static_cast<std::uint8_t>(static_cast<unsigned>(why.code) + 1U);  // to CAF, 0 is no error
  return {code, category, caf::make_message(why)};
}

std::optional<engine_failure> engine_failure_of(const caf::error& e) {
  if (!e || e.category() != category || !e.context().match_elements<engine_failure>())
    return std::nullopt;
  return e.context().get_as<engine_failure>(0);
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
