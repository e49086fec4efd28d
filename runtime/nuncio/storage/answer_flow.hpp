// How much is requested from storage at a time, so that its answers never delay other messages of the engine on the same link
// for long: above all its Pings, without which it gives up the host (docs/protocol.md C.4). The memory for answers is limited
// elsewhere (storage_requests). Pure.
//
// The rule: requests under way are expected to take no more than a window. An answer is expected to be as long as its actor's
// last ones, or as the last ones of all actors if the actor had none yet. The window grows while answers come quickly and the
// window is what holds requests back. It is halved when an answer comes late. Its size is kept as long as it is needed. So a
// fast link is filled, and a slow one never has much more queued than it carries within `slow`.
//
// Requests wait in three lanes, each with its own window, so that short answers never wait behind long ones.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <nuncio/detail/clock.hpp>

namespace nuncio {

struct answer_flow_limits {
  /// The window of a new link, and of one that needed no more for `known_for`.
  std::size_t window_first = 4UL << 20U;
  std::size_t window_min = 1UL << 20U;
  std::size_t window_max = 256UL << 20U;
  /// Up to here the window grows by expected bytes, above it by received ones: what was never carried proves little.
  std::size_t unproven_max = 32UL << 20U;
  /// From request to answer, for the window to grow. More than a distant engine takes for a short answer.
  duration quick = std::chrono::seconds{1};
  /// Above it the window is halved. A small part of the lease, and of the 15 s that the engine waits for a Pong.
  duration slow = std::chrono::seconds{2};
  duration known_for = std::chrono::seconds{10};
};

/// Sizes of the last answers: the longest, with less weight the older it is. One for answers with a short limit, one for all
/// others.
class answer_sizes {
public:
  explicit answer_sizes(std::size_t first = 0) : recent_{first, first} {}

  void learn(bool bounded, std::size_t bytes);

  /// 0: nothing known.
  [[nodiscard]] std::size_t recent(bool bounded) const { return recent_[bounded ? 1 : 0]; }

  [[nodiscard]] bool empty() const { return recent_[0] == 0 && recent_[1] == 0; }

private:
  std::array<std::size_t, 2> recent_;
};

class answer_flow {
public:
  enum class lane : std::uint8_t {
    bounded,  ///< its answer can't be long
    brief,    ///< it could, but is not expected to
    lengthy,
  };
  static constexpr std::size_t lanes = 3;

  struct plan {
    lane in = lane::bounded;
    std::size_t bytes = 0;  ///< expected; 0 for an empty answer, which needs no room
  };

  explicit answer_flow(answer_flow_limits limits = {});

  /// @param longest   bytes that the answer may have
  /// @param of_actor  the sizes of the actor's answers so far
  [[nodiscard]] plan plan_for(std::size_t longest, const answer_sizes& of_actor) const;

  /// One answer may be under way in each lane, however long it is. @returns false, and takes nothing, if there is no room
  bool take(const plan& x, time_point now);
  void give_back(const plan& x);

  /// Nothing is known about a new connection.
  void handle_link_up() { window_ = limits_.window_first; }

  /// An answer of `bytes` has arrived; its plan is given back afterwards.
  void handle_answer(
      const plan& x,
      std::size_t longest,
      std::size_t bytes,
      answer_sizes& of_actor,
      time_point asked_at,
      time_point now);

  [[nodiscard]] std::size_t window() const { return window_; }

private:
  std::size_t& used(const plan& x) { return used_[static_cast<std::size_t>(x.in)]; }

  answer_flow_limits limits_;
  answer_sizes of_all_;
  std::array<std::size_t, lanes> used_{};
  std::size_t window_;
  time_point needed_at_{};  ///< when the window last grew
  time_point halved_at_{};
};

}  // namespace nuncio
