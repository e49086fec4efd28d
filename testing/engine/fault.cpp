// Faults as text, both ways.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <nuncio/testing/fault.hpp>
#include <utility>

namespace nuncio::testing {

namespace {

using namespace std::literals;

constexpr std::array kinds{
    std::pair{fault_kind::drop, "drop"sv},
    std::pair{fault_kind::reset, "reset"sv},
    std::pair{fault_kind::mute, "mute"sv},
    std::pair{fault_kind::stall, "stall"sv},
    std::pair{fault_kind::delay, "delay"sv},
    std::pair{fault_kind::duplicate, "duplicate"sv},
    std::pair{fault_kind::reorder, "reorder"sv},
    std::pair{fault_kind::lose_acks, "lose-acks"sv},
    std::pair{fault_kind::garbage, "garbage"sv}};

constexpr std::array triggers{
    std::pair{fault_trigger::command, "command"sv},
    std::pair{fault_trigger::stop, "stop"sv},
    std::pair{fault_trigger::ack, "ack"sv},
    std::pair{fault_trigger::events, "events"sv}};

constexpr std::array option_names{
    "on"sv, "every"sv, "ms"sv, "read"sv, "write"sv, "fraction"sv, "count"sv, "envoy"sv};

failure bad(std::string why) { return {errc::invalid_argument, std::move(why)}; }

std::string_view name_of(std::string_view x) { return x; }

template <class T>
std::string_view name_of(const std::pair<T, std::string_view>& x) {
  return x.second;
}

// "NAME 'VALUE': must be A, B or C".
template <class Allowed>
std::string must_be_one_of(std::string_view name, std::string_view value, const Allowed& allowed) {
  auto out = fmt::format("{} '{}': must be ", name, value);
  for (std::size_t i = 0; i < allowed.size(); ++i) {
    if (i != 0) out += i + 1 == allowed.size() ? " or " : ", ";
    out += name_of(allowed[i]);
  }
  return out;
}

// The limit for counts; and for times, in milliseconds.
constexpr std::int64_t count_max = 1'000'000'000;
constexpr std::int64_t ms_max = 86'400'000;

// @returns what `name` must be, unless `value` is that, in decimal digits
template <class Number, class Bound>
std::string read_number(
    std::string_view name, std::string_view value, Number& into, Bound low, Bound high) {
  Number x{};
  const auto end = value.data() + value.size();
  const auto [at, ec] = std::from_chars(value.data(), end, x);
  // Also false if it is not a number.
  const bool within = ec == std::errc{} && at == end && x >= static_cast<Number>(low) &&
                      x <= static_cast<Number>(high);
  if (!within) return fmt::format("{} '{}': must be {} to {}", name, value, low, high);
  into = x;
  return {};
}

// @returns what is wrong with it
std::string set_option(fault& f, std::string_view name, std::string_view value) {
  if (name == "count") return read_number(name, value, f.count, std::int64_t{0}, count_max);
  if (name == "ms") return read_number(name, value, f.ms, std::int64_t{0}, ms_max);
  if (name == "every") {
    f.trigger = fault_trigger::every;
    return read_number(name, value, f.every, std::int64_t{1}, count_max);
  }
  if (name == "fraction") return read_number(name, value, f.fraction, 0, 1);
  if (name == "envoy") {
    f.envoy = value;
    return value.empty() ? "envoy '': must be an envoy key" : std::string{};
  }
  if (name == "on") {
    for (const auto& [trigger, text] : triggers)
      if (text == value) {
        f.trigger = trigger;
        return {};
      }
    return must_be_one_of(name, value, triggers);
  }
  if (name == "read" || name == "write") {
    (name == "read" ? f.write : f.read) = false;
    return value.empty() ? std::string{} : fmt::format("{} '{}': takes no value", name, value);
  }
  return must_be_one_of("option", name, option_names);
}

}  // namespace

outcome<fault> parse_fault(std::string_view x) {
  const auto colon = x.find(':');
  const auto kind = x.substr(0, colon);
  fault f;
  bool known = false;
  for (const auto& [k, text] : kinds)
    if (text == kind) {
      f.kind = k;
      known = true;
    }
  if (!known) return bad(must_be_one_of("kind", kind, kinds));
  auto rest = colon == std::string_view::npos ? ""sv : x.substr(colon + 1);
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const auto part = rest.substr(0, comma);
    const auto equals = part.find('=');
    const auto value = equals == std::string_view::npos ? ""sv : part.substr(equals + 1);
    if (const auto wrong = set_option(f, part.substr(0, equals), value); !wrong.empty())
      return bad(wrong);
    rest = comma == std::string_view::npos ? ""sv : rest.substr(comma + 1);
  }
  const bool needs_ms = f.kind == fault_kind::delay || f.kind == fault_kind::stall;
  if (needs_ms && f.ms <= 0) return bad(fmt::format("{} needs ms=N, with N above 0", kind));
  const bool cuts = f.kind == fault_kind::drop || f.kind == fault_kind::reset;
  if (!cuts && f.trigger != fault_trigger::now &&
      !(f.kind == fault_kind::garbage && f.trigger == fault_trigger::every)) {
    return bad(
        fmt::format("{}: on= and every= belong to drop and reset, every= also to garbage", kind));
  }
  // A fault that waits for an event happens once by default; one that happens now can't happen later.
  if (cuts && f.trigger != fault_trigger::every && f.count == 0) f.count = 1;
  if (f.kind == fault_kind::garbage && f.trigger == fault_trigger::now && f.count == 0) f.count = 1;
  return f;
}

std::string to_string(const fault& x) {
  std::string out;
  for (const auto& [k, text] : kinds)
    if (k == x.kind) out = text;
  char separator = ':';
  const auto add = [&](std::string_view part) {
    out += separator;
    out += part;
    separator = ',';
  };
  for (const auto& [t, text] : triggers)
    if (t == x.trigger) add(fmt::format("on={}", text));
  if (x.trigger == fault_trigger::every) add(fmt::format("every={}", x.every));
  if (x.count != 0) add(fmt::format("count={}", x.count));
  if (x.ms != 0) add(fmt::format("ms={}", x.ms));
  if (x.fraction < 1.0) add(fmt::format("fraction={}", x.fraction));
  if (!x.write) add("read");
  if (!x.read) add("write");
  if (!x.envoy.empty()) add(fmt::format("envoy={}", x.envoy));
  return out;
}

}  // namespace nuncio::testing
