// A session between the engine and a host as a list of steps of eight bytes, so that a fuzzer can repeat, swap, drop and join
// them without losing the rest. Every byte sequence is a valid step: fields choose among likely values, earlier ones, and the
// ends of a number's range. Values; any thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

namespace nuncio::fuzz {

enum class step_kind : std::uint8_t {
  start,
  stop,
  replay_command,  ///< one that was sent before, as it was
  ack_events,
  ping,
  request,
  request_part,
  request_abort,
  body_cancel,
  window_update,
  socket_open,
  socket_message,
  socket_close,
  answer_storage,
  cut,  ///< and connect again, with a replay of what is not acked
  swap_connection,
  pass_time,
  tell,  ///< another actor of the application tells an engine actor something
  init,
  lease_end,
  drain,
  no_room,  ///< the link takes no body, no tunnel message or no storage request; or takes them again
  hold,     ///< fences and the word that something was written come late
  kinds,
  // Added later, with numbers of their own: so the sessions that were found before mean what they did.
  store = 61,     ///< storage answers at once, for so many requests
  too_long = 62,  ///< a message of another kind, of which the link has read the head only
};

inline std::string_view name_of(step_kind x) {
  if (x == step_kind::store) return "store";
  if (x == step_kind::too_long) return "too_long";
  constexpr std::array<std::string_view, static_cast<std::size_t>(step_kind::kinds)> names{
      "start",
      "stop",
      "replay_command",
      "ack_events",
      "ping",
      "request",
      "request_part",
      "request_abort",
      "body_cancel",
      "window_update",
      "socket_open",
      "socket_message",
      "socket_close",
      "answer_storage",
      "cut",
      "swap_connection",
      "pass_time",
      "tell",
      "init",
      "lease_end",
      "drain",
      "no_room",
      "hold"};
  return names[static_cast<std::size_t>(x)];
}

struct step {
  std::uint8_t kind =
      0;  ///< of step_kind, modulo `kinds` unless it is one of the last; with the two bits below on top
  std::uint8_t actor = 0;
  std::uint8_t generation = 0;
  std::uint8_t index = 0;
  std::uint8_t exchange = 0;
  std::uint8_t what = 0;
  std::uint8_t size = 0;
  std::uint8_t number = 0;

  /// It waits for the next step without this bit, and comes in one batch with it.
  static constexpr std::uint8_t joins_next = 0x80;
  /// Nothing runs before the next step.
  static constexpr std::uint8_t unsettled = 0x40;

  [[nodiscard]] step_kind means() const {
    const auto number = static_cast<step_kind>(kind & 0x3fU);
    if (number == step_kind::store || number == step_kind::too_long) return number;
    return static_cast<step_kind>((kind & 0x3fU) % static_cast<unsigned>(step_kind::kinds));
  }
};

static_assert(sizeof(step) == 8);

/// The number that means `x`.
constexpr std::uint8_t of(step_kind x) { return static_cast<std::uint8_t>(x); }

/// What stands before the steps.
struct session_head {
  std::uint8_t version = 0;  ///< of the protocol: 3 and this modulo 6
  std::uint8_t modes = 0;

  static constexpr std::uint8_t stores = 1;        ///< storage answers at once, as a store does
  static constexpr std::uint8_t acks_events = 2;   ///< events are acked at once
  static constexpr std::uint8_t small_bounds = 4;  ///< the host's bounds are near
};

constexpr std::size_t steps_max = 64;

inline std::vector<step> steps_of(std::span<const std::uint8_t> input) {
  std::vector<step> out(std::min(input.size() / sizeof(step), steps_max));
  if (!out.empty()) std::memcpy(out.data(), input.data(), out.size() * sizeof(step));
  return out;
}

/// Numbers at the ends of the ranges that the protocol's fields have.
inline std::int64_t edge(std::uint8_t which) {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  constexpr std::array<std::int64_t, 16> edges{
      0,
      1,
      2,
      -1,
      most,
      most - 1,
      -most - 1,
      -most,
      0xffff,
      0xffffffff,
      65536,
      1 << 20,
      1LL << 32,
      1LL << 53,
      250,
      501};
  return edges[which % edges.size()];
}

}  // namespace nuncio::fuzz
