// Faults that the dev engine can be told to show, and how they are written as text. Values; any
// thread.
//
//   kind[:name=value[,name=value...]]
//
//   drop                 end the connection now          drop:every=40      at every 40th frame
//   drop:on=command      after the next command was written, before anything more is read
//   drop:on=stop         the same after the next Stop    drop:on=ack        when the next ack
//   arrives, not applied drop:on=events       when the next events arrive, not applied reset[:...]
//   as drop, by TCP RST mute[:read|:write]   stop reading and writing (or one of them); ms=5000
//   ends it stall:ms=500         write nothing for a while, then everything delay:ms=20 write every
//   frame later duplicate            write every Commands frame twice reorder              reverse
//   the commands of a frame and let the next frame overtake it lose-acks            ignore acks;
//   lose-acks:fraction=0.3 a share of them garbage              write a frame that nobody can
//   decode; garbage:every=10
//
// `count=N` ends any of them after N effects; `envoy=KEY` restricts it to one envoy.
#pragma once

#include <cstdint>
#include <nuncio/outcome.hpp>
#include <string>
#include <string_view>

namespace nuncio {

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

/// One fault. `parse_fault` builds it from text.
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

/// @returns the fault, or errc::invalid_argument naming what is wrong
outcome<fault> parse_fault(std::string_view x);

/// The text that `parse_fault` reads back as `x`.
std::string to_string(const fault& x);

}  // namespace nuncio
