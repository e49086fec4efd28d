// Faults that the dev engine can be told to produce, and their text form. Values; any thread.
//
//   kind[:option[,option...]]
//
// Kinds:
//   drop       end the connection
//   reset      the same by TCP RST
//   mute       stop reading and writing
//   stall      write nothing for ms=N, then everything
//   delay      write every frame ms=N later
//   duplicate  write every Commands frame twice
//   reorder    reverse the commands of a frame, and let the next frame overtake it
//   lose-acks  ignore acks of commands
//   garbage    write a frame that can't be decoded
//
// When drop and reset happen; immediately by default:
//   on=command  after the next command was written, before anything else is read
//   on=stop     the same after the next Stop
//   on=ack      when the next ack arrives, which is not applied
//   on=events   when the next events arrive, which are not applied
//   every=N     at every Nth frame; garbage takes it too
//
// Further options:
//   ms=N          how long mute, stall and delay take; a mute without it lasts until it is cleared
//   read, write   only this half of mute
//   fraction=X    lose-acks loses this share of them
//   count=N       ends after N effects; not for mute and stall. drop, reset and garbage happen once
//                 unless told otherwise, with every= until cleared
//   envoy=KEY     only this envoy's connections
#pragma once

#include <cstdint>
#include <nuncio/outcome.hpp>
#include <string>
#include <string_view>

namespace nuncio::testing {

enum class fault_kind : std::uint8_t {
  drop,
  reset,
  mute,
  stall,
  delay,
  duplicate,
  reorder,
  lose_acks,
  garbage
};

/// What a drop or reset waits for.
enum class fault_trigger : std::uint8_t { now, every, command, stop, ack, events };

/// One fault; `parse_fault` parses it from text.
struct fault {
  fault_kind kind = fault_kind::drop;
  fault_trigger trigger = fault_trigger::now;
  std::uint64_t every = 0;  ///< for trigger every: at each nth frame
  std::uint64_t count = 0;  ///< effects before it ends; 0: until cleared
  std::int64_t ms = 0;      ///< length of delay, stall or mute
  double fraction = 1.0;    ///< share of acks lost
  bool read = true;         ///< mute: the engine does not read
  bool write = true;        ///< mute: the engine does not write
  std::string envoy;        ///< only this envoy key; empty: all

  bool operator==(const fault&) const = default;
};

/// @returns the fault, or errc::invalid_argument naming what is wrong and what is allowed there
outcome<fault> parse_fault(std::string_view x);

/// The text that `parse_fault` reads back as `x`.
std::string to_string(const fault& x);

}  // namespace nuncio::testing
