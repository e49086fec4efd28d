// Decides what the active faults do to each frame of an envoy connection. Pure: the caller carries it out.
#pragma once

#include <cstdint>
#include <nuncio/testing/engine_limits.hpp>
#include <nuncio/testing/fault.hpp>
#include <random>
#include <string_view>
#include <vector>

namespace nuncio::testing::engine {

/// The contents of a frame, as far as faults care.
enum class frame_kind : std::uint8_t { other, start, stop, ack, events };

enum class cut_kind : std::uint8_t { none, drop, reset };

/// What to do with a frame that the engine is about to write.
struct outbound_plan {
  int copies = 1;
  millis delay = 0;
  bool reverse = false;  ///< reverse the commands in it, and let the next frame go first
  bool garbage_first = false;
  cut_kind cut = cut_kind::none;  ///< after it was written; read nothing more
};

/// What to do with a frame that has arrived.
struct inbound_plan {
  bool ignore = false;
  cut_kind cut = cut_kind::none;
};

class fault_plan {
public:
  explicit fault_plan(std::uint64_t seed) : random_(seed) {}

  void add(const fault& f, millis now);

  void clear() { active_.clear(); }

  outbound_plan outbound(frame_kind kind, std::string_view envoy, millis now);
  inbound_plan inbound(frame_kind kind, std::string_view envoy, millis now);

  /// Faults that affect open connections at once, each returned once.
  cut_kind due_cut(std::string_view envoy);
  int due_garbage(std::string_view envoy);

  [[nodiscard]] bool reads(std::string_view envoy, millis now) const;
  [[nodiscard]] bool writes(std::string_view envoy, millis now) const;

  /// How often any fault has had an effect.
  [[nodiscard]] std::uint64_t effects() const { return effects_; }

  /// The faults that are still active, for display.
  [[nodiscard]] std::vector<fault> list() const;

private:
  struct entry {
    fault what;
    millis until = 0;  ///< 0: no time limit
    std::uint64_t frames = 0;
    std::uint64_t used = 0;
  };

  static bool applies(const entry& e, std::string_view envoy) {
    return (e.what.envoy.empty() || e.what.envoy == envoy) &&
           (e.what.count == 0 || e.used < e.what.count);
  }

  void use(entry& e) {
    ++e.used;
    ++effects_;
  }

  std::vector<entry> active_;
  std::mt19937_64 random_;
  std::uint64_t effects_ = 0;
};

}  // namespace nuncio::testing::engine
