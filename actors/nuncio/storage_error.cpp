// See storage_error.hpp.
#include <caf/message.hpp>
#include <nuncio/storage_error.hpp>

namespace nuncio {
namespace {

constexpr auto category = caf::atom("nuncio");

// To CAF a code of 0 is no error.
constexpr std::uint8_t code_of(errc x) {
  return static_cast<std::uint8_t>(static_cast<std::uint8_t>(x) + 1);
}

}  // namespace

caf::error make_error(errc code) { return {code_of(code), category}; }

caf::error make_error(const storage_failure& why) {
  return {code_of(why.code), category, caf::make_message(why)};
}

std::optional<storage_failure> storage_failure_of(const caf::error& e) {
  if (!e || e.category() != category || !e.context().match_elements<storage_failure>())
    return std::nullopt;
  return e.context().get_as<storage_failure>(0);
}

std::string describe(const caf::actor_system& system, const caf::error& e) {
  if (const auto ours = storage_failure_of(e)) return ours->message;
  return system.render(e);
}

}  // namespace nuncio
