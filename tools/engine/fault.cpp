// Faults as text, both ways.
#include "fault.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <utility>

namespace nuncio {

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

failure bad(std::string_view whole, std::string_view why) {
  return {errc::invalid_argument, fmt::format("fault \"{}\": {}", whole, why)};
}

template <class Int>
bool number(std::string_view x, Int& into) {
  const auto [end, ec] = std::from_chars(x.data(), x.data() + x.size(), into);
  return ec == std::errc{} && end == x.data() + x.size() && into >= 0;
}

bool set_option(fault& f, std::string_view name, std::string_view value) {
  if (name == "count") return number(value, f.count);
  if (name == "ms") return number(value, f.ms);
  if (name == "every") {
    f.trigger = fault_trigger::every;
    return number(value, f.every) && f.every > 0;
  }
  if (name == "envoy") {
    f.envoy = value;
    return !value.empty();
  }
  if (name == "fraction") {
    const std::string copy{value};
    char* end = nullptr;
    f.fraction = std::strtod(copy.c_str(), &end);
    return end == copy.c_str() + copy.size() && f.fraction >= 0 && f.fraction <= 1;
  }
  if (name == "on") {
    for (const auto& [trigger, text] : triggers)
      if (text == value) {
        f.trigger = trigger;
        return true;
      }
    return false;
  }
  if (name == "read" || name == "write") {
    (name == "read" ? f.write : f.read) = false;
    return value.empty();
  }
  return false;
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
  if (!known) {
    return bad(
        x,
        "unknown kind; one of drop, reset, mute, stall, delay, duplicate, reorder, lose-acks, "
        "garbage");
  }
  auto rest = colon == std::string_view::npos ? ""sv : x.substr(colon + 1);
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const auto part = rest.substr(0, comma);
    const auto equals = part.find('=');
    const auto value = equals == std::string_view::npos ? ""sv : part.substr(equals + 1);
    if (!set_option(f, part.substr(0, equals), value))
      return bad(x, fmt::format("can't read \"{}\"", part));
    rest = comma == std::string_view::npos ? ""sv : rest.substr(comma + 1);
  }
  const bool needs_ms = f.kind == fault_kind::delay || f.kind == fault_kind::stall;
  if (needs_ms && f.ms <= 0) return bad(x, "needs ms=N");
  const bool cuts = f.kind == fault_kind::drop || f.kind == fault_kind::reset;
  if (!cuts && f.trigger != fault_trigger::now &&
      !(f.kind == fault_kind::garbage && f.trigger == fault_trigger::every)) {
    return bad(x, "on= and every= belong to drop and reset (every= also to garbage)");
  }
  // What waits for one thing happens once unless told otherwise; what happens now can't happen
  // later.
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

}  // namespace nuncio
