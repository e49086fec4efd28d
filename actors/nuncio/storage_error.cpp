// See errors.hpp.
#include <caf/actor_system_config.hpp>
#include <caf/make_message.hpp>
#include <nuncio/error_category.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/storage_call.hpp>

namespace nuncio {

caf::error make_error(errc code) {
  return {
      internal::caf_code(code),
      internal::error_category,
      caf::make_message(std::string{to_string(code)})};
}

caf::error make_error(const failure& why) {
  return {internal::caf_code(why.code), internal::error_category, caf::make_message(why)};
}

caf::error make_error(const storage_failure& why) {
  return {internal::caf_code(why.code), internal::error_category, caf::make_message(why)};
}

std::optional<storage_failure> storage_failure_of(const caf::error& e) {
  return internal::value_in<storage_failure>(e);
}

std::string describe(const caf::actor_system& system, const caf::error& e) {
  if (const auto x = storage_failure_of(e)) return x->message;
  if (const auto x = engine_failure_of(e)) return x->message;
  if (const auto x = http_error_of(e)) return x->message;
  if (const auto x = internal::value_in<failure>(e)) return x->message;
  if (const auto name = internal::value_in<std::string>(e)) return *name;
  return system.render(e);
}

namespace internal {

void print_errors(caf::actor_system_config& config) {
  config.add_error_category(
      error_category, [](std::uint8_t code, caf::atom_value category, const caf::message& context) {
        const caf::error e{code, category, context};
        if (const auto x = value_in<storage_failure>(e)) return to_string(*x);
        if (const auto x = value_in<engine_failure>(e)) return to_string(*x);
        if (const auto x = value_in<http_error>(e)) return to_string(*x);
        if (const auto x = value_in<failure>(e)) return to_string(*x);
        if (const auto name = value_in<std::string>(e)) return *name;
        return to_string(e);
      });
}

}  // namespace internal

}  // namespace nuncio
