// The storage requests of one host: their ids, which ones wait or are in flight, the order within each actor, deadlines, and
// what happens to them when a connection or an instance ends. Pure; owned by the storage actor. It must never send anything for
// an instance whose output gate is closed, and never report a write as undone that the link was given.
//
// Answers that actors have not handled are limited, for each actor and for the host (waiting_room.hpp). So a request is not
// sent before there is room for its longest possible answer. It waits, and the later requests of its actor wait behind it. From
// its arrival to handle_consumed() an answer takes its actual size. A request is also not sent before the link is expected to
// carry its answer soon (answer_flow.hpp). If there is no room, actors take turns, one request each.
//
// An actor that awaits an answer handles nothing before it, so the answers that it holds make no room. In that case a request
// with an empty answer is always sent, and one that has no room beside those answers fails at once: neither delays the awaited
// one.
//
// Inputs: handle_*, expire. Outputs, until they return none: poll_transmit, then poll_result and poll_finished; poll_timeout.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <nuncio/connection/link_port.hpp>
#include <nuncio/detail/clock.hpp>
#include <nuncio/host_options.hpp>
#include <nuncio/host_stats.hpp>
#include <nuncio/storage/answer_flow.hpp>
#include <nuncio/storage/storage_call.hpp>
#include <nuncio/support/intrusive_list.hpp>
#include <nuncio/tunnel/waiting_room.hpp>
#include <optional>
#include <unordered_map>
#include <vector>

namespace nuncio {

/// Handled answers need not be reported up to this many bytes: see storage_requests::handle_consumed.
inline constexpr std::size_t answer_bytes_untold_max = 64UL << 10U;

class storage_requests {
public:
  struct request {
    std::uint64_t ticket = 0;  ///< the caller's, returned with the result
    actor_ref who;
    std::shared_ptr<const output_gate> gate;
    storage_call call;
    write_mode mode = write_mode::once;
    /// Its actor handles nothing before this is answered: it need not wait for the room of its actor's other answers.
    bool awaited = false;
  };

  struct frame {
    epoch connection = 0;
    std::uint32_t id = 0;
    std::shared_ptr<const output_gate> gate;
    protocol::to_rivet message;
  };

  struct result {
    std::uint64_t ticket = 0;
    storage_result content;
    std::size_t bytes = 0;  ///< that it takes until handle_consumed()
  };

  /// The writes of an instance that is down were answered or given up.
  struct finished {
    actor_ref who;
    std::string lost;  ///< why the last required write may not be stored; empty if it is
  };

  /// @param namespace_name  the engine's, for its SQL requests
  explicit storage_requests(
      std::string namespace_name, storage_limits limits = {}, answer_flow_limits flow = {});

  void handle_request(request what, time_point now);
  void handle_link_up(epoch connection);
  void handle_link_down();
  /// The link will not come back: everything fails, now and later.
  void handle_link_over(const failure& why);
  /// The link did not accept frame `id`: nothing of it was sent. After queue_full it waits, and everything behind it.
  void handle_not_sent(std::uint32_t id, const failure& why);

  /// The link may have room again.
  void handle_room() { full_ = false; }

  /// `who` has handled answers of this many bytes in total.
  void handle_consumed(const actor_ref& who, std::size_t bytes);
  /// Any message of the engine; those that answer no storage request are ignored.
  void handle_message(protocol::to_envoy message, time_point now);
  /// The head of an answer that is longer than the link accepts: its request fails, and is not sent again.
  void handle_too_long(const protocol::to_envoy& head, time_point now);
  /// The output gate of `who` is closed: its open requests fail.
  void handle_gate_closed(const actor_ref& who);
  /// The instance is down and sends no more requests: poll_finished reports when its last write was answered or given up.
  void handle_down(const actor_ref& who, time_point now);
  /// Ends requests that are due.
  void expire(time_point now);

  [[nodiscard]] std::optional<frame> poll_transmit(time_point now);
  [[nodiscard]] std::optional<result> poll_result();
  [[nodiscard]] std::optional<finished> poll_finished();
  [[nodiscard]] std::optional<time_point> poll_timeout() const;

  /// Nothing is sent before handle_room().
  [[nodiscard]] bool waits_for_room() const { return full_; }

  [[nodiscard]] const storage_stats& stats() const { return stats_; }

private:
  struct by_deadline;
  struct by_actor;

  struct entry : list_hook<by_deadline>, list_hook<by_actor> {
    request what;
    std::uint64_t order = 0;
    std::size_t bytes = 0;
    std::size_t answer_max = 0;  ///< the most bytes that its answer may have
    bool reads = false;
    bool sent_before = false;  ///< on an earlier connection
    std::uint32_t id = 0;      ///< 0: waits
    time_point deadline{};
    std::uint64_t turn = 0;  ///< the turn in which it waits for room; 0: it found some
    answer_flow::plan plan;  ///< for its answer, while in flight
    time_point sent_at{};
  };

  struct usage;
  using usages = std::map<std::uint64_t, usage*>;

  struct usage {
    std::size_t requests = 0;
    std::size_t bytes = 0;
    intrusive_list<entry, by_actor> open;
    std::map<std::uint64_t, entry*> waiting;  ///< by order: the next to send
    std::size_t awaited = 0;                  ///< of `waiting`: requests that the actor awaits
    usages* list = nullptr;                   ///< the list it is in: ready_, one of crowded_, none
    std::uint64_t listed = 0;                 ///< and its key there
    answer_sizes sizes;
    waiting_share answers;
    std::size_t kept = 0;               ///< of `answers`: arrived, but not handled
    std::optional<time_point> give_up;  ///< for an instance that is down
    std::string lost;                   ///< see finished
  };

  usage& usage_of(const actor_ref& who);
  void wait(entry& x);
  void look_at(usage& of);
  static void list(usage& of, usages& in, std::uint64_t under);
  static void unlist(usage& of);
  void release(usage& of, std::size_t bytes);
  waiting_share::verdict take_memory(usage& of, const entry& x);
  void give_memory_back(usage& of, std::size_t bytes);
  /// It awaits something, and the answer to `x` is empty.
  static bool goes_in_any_case(const usage& of, const entry& x);
  bool holds_itself_up(const usage& of, const entry& x, waiting_share::verdict said) const;
  void leave_waiting(usage& of, const entry& x);

  enum class attempt : std::uint8_t {
    sent,
    failed,
    moved,      ///< it waits for its own actor, or in another lane
    no_memory,  ///< it waits in its lane for memory that others hold
    no_window,  ///< it waits in its lane for the link's window
  };
  attempt try_next(usage& of, time_point now, bool in_turn, std::optional<frame>& out);
  frame send(usage& of, time_point now);
  std::optional<frame> send_crowded(time_point now);
  std::optional<frame> send_of(usages& lane, time_point now);

  void end(entry& x, storage_result with, std::size_t kept = 0);
  void fail(entry& x, errc code, std::string_view why);
  void finish_if_idle(const actor_ref& who);
  template <class Choose>
  void fail_where(Choose&& choose, errc code, std::string_view why);
  protocol::to_rivet addressed(const entry& x) const;
  std::uint32_t new_id();
  entry* sent(std::uint32_t id);
  void answer(std::uint32_t id, storage_result with, std::size_t index, time_point now);
  void learn(const entry& x, std::size_t bytes, time_point now);

  std::string namespace_name_;
  storage_limits limits_;
  storage_stats stats_;
  std::unordered_map<std::uint64_t, entry> entries_;  ///< by order
  std::map<std::uint64_t, usage*> ready_;             ///< by order of the next request: may be sent
  /// For each lane, by turn: no room for the answer.
  std::vector<usages> crowded_ = std::vector<usages>(answer_flow::lanes);
  std::unordered_map<std::uint32_t, entry*> in_flight_;  ///< by id
  intrusive_list<entry, by_deadline> deadlines_;
  std::shared_ptr<waiting_pool> answers_;
  answer_flow flow_;
  std::unordered_map<actor_ref, usage> actors_;
  std::deque<result> results_;
  std::deque<finished> finished_;
  std::multimap<time_point, actor_ref> give_ups_;
  std::optional<failure> over_;
  epoch connection_ = 0;  ///< 0: down
  bool full_ = false;     ///< the link has no room
  bool freed_ = false;    ///< there may be room for one of crowded_
  std::uint64_t next_order_ = 1;
  std::uint64_t next_turn_ = 1;
  std::uint32_t next_id_ = 1;
};

}  // namespace nuncio
