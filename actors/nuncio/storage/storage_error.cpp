// See errors.hpp.
#include <caf/actor_system_config.hpp>
#include <nuncio/client/error_category.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/storage/storage_call.hpp>

namespace nuncio {

caf::error make_error(errc code) {
  return internal::make_caf_error(internal::caf_code(code), std::string{to_string(code)});
}

caf::error make_error(const failure& why) {
  return internal::make_caf_error(internal::caf_code(why.code), why);
}

caf::error make_error(const storage_failure& why) {
  return internal::make_caf_error(internal::caf_code(why.code), why);
}

std::optional<storage_failure> storage_failure_of(const caf::error& e) {
  return internal::value_in<storage_failure>(e);
}

namespace internal {
namespace {

// The text that `to_text` makes of the value in an error of ours, or the code's name; none for any other error.
template <class ToText>
std::optional<std::string> value_text(const caf::error& e, ToText to_text) {
  if (const auto x = value_in<storage_failure>(e)) return to_text(*x);
  if (const auto x = value_in<engine_failure>(e)) return to_text(*x);
  if (const auto x = value_in<http_error>(e)) return to_text(*x);
  if (const auto x = value_in<failure>(e)) return to_text(*x);
  return value_in<std::string>(e);
}

// How CAF prints an error of ours.
std::string text_of(const caf::error& e) {
  if (auto text = value_text(e, [](const auto& x) { return to_string(x); })) return *text;
  return to_string(e);
}

}  // namespace

#if NUNCIO_CAF_1
namespace {

constexpr auto http_error_name = "http_error";

}  // namespace

std::string to_string(error_number x) {
  const auto code = static_cast<std::uint8_t>(x);
  if (code == http_error_code) return http_error_name;
  for (auto known = std::uint8_t{0}; known <= static_cast<std::uint8_t>(errc::internal); ++known)
    if (caf_code(errc{known}) == code) return std::string{to_string(errc{known})};
  return std::to_string(code);
}

bool from_string(std::string_view from, error_number& x) {
  if (from == http_error_name) return from_integer(http_error_code, x);
  for (auto known = std::uint8_t{0}; known <= static_cast<std::uint8_t>(errc::internal); ++known)
    if (to_string(errc{known}) == from) return from_integer(caf_code(errc{known}), x);
  return false;
}

bool from_integer(std::uint8_t from, error_number& x) {
  x = error_number{from};
  return true;
}

std::string print(const caf::actor_system&, const caf::error& e) {
  return is_ours(e) ? text_of(e) : to_string(e);
}

void print_errors(caf::actor_system_config&) {}
#else
std::string print(const caf::actor_system& system, const caf::error& e) { return system.render(e); }

void print_errors(caf::actor_system_config& config) {
  config.add_error_category(
      error_category, [](std::uint8_t code, caf::atom_value category, const caf::message& context) {
        return text_of(caf::error{code, category, context});
      });
}
#endif

}  // namespace internal

std::string describe(const caf::actor_system& system, const caf::error& e) {
  if (auto text = internal::value_text(e, [](const auto& x) { return x.message; })) return *text;
  return internal::print(system, e);
}

}  // namespace nuncio
