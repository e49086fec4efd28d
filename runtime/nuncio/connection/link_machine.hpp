// What a link decides: when to dial and when to stop, what to do with a message that came in, when the engine is silent for
// too long, when the lease ends and what that costs, and what leaves next. Pure: no clock, no socket.
//
// Inputs: handle_*, on the thread of whoever owns the connection. After each of them, and after poll_frame(), take
// poll_output() until there is none. expire() at poll_timeout().
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <nuncio/connection/connection_policy.hpp>
#include <nuncio/connection/dial_terms.hpp>
#include <nuncio/connection/inbound_credit.hpp>
#include <nuncio/connection/lease.hpp>
#include <nuncio/connection/link_output.hpp>
#include <nuncio/connection/outbound_intake.hpp>
#include <nuncio/connection/outbound_queue.hpp>
#include <nuncio/detail/clock.hpp>
#include <nuncio/host_stats.hpp>
#include <nuncio/log.hpp>
#include <nuncio/messages.hpp>
#include <nuncio/outcome.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace nuncio {

struct link_machine_options {
  connection_policy_options policy;
  lease_options lease;
  outbound_intake_options outbound;
  inbound_bounds inbound;
  std::size_t inbound_message_bytes_max = 0;  ///< for the words about one that is longer
  bool token_renewable = false;               ///< the token's source may give another one some day
  // Who speaks with whom, for the log.
  std::string endpoint, pool, envoy_key;
  log_sink log;
};

/// What has come: its length as it was encoded, and how much has come on all connections so far.
struct arrival {
  std::size_t bytes = 0;
  std::uint64_t received = 0;
  time_point now{};
};

class link_machine {
public:
  /// @param wake  see outbound_intake: handle_wake() is to be called soon
  link_machine(link_machine_options options, std::function<void()> wake);

  // -- any thread

  /// Its functions for any thread; the others are this machine's to call.
  [[nodiscard]] outbound_intake& intake() { return intake_; }

  [[nodiscard]] inbound_credit& credit() { return credit_; }

  [[nodiscard]] link_stats stats() const;

  // -- the owner: how the connection begins and ends

  /// Dials for the first time.
  void handle_start(dial_terms terms);
  void handle_open(time_point now);
  void handle_gone(connection_end why, time_point now);
  /// The answer to `ask`. errc::refused ends the link; after another failure it dials again and asks again.
  void handle_renewed(outcome<dial_terms> terms, time_point now);
  /// Sends what is queued, then closes the socket; `over` follows when it is gone. While it dials the attempt is reset; while it
  /// waits to dial, or for handle_renewed(), it is over at once.
  void handle_close();
  /// The owner is gone, or it is over: drops all that is queued, and refuses the rest.
  void handle_end();

  // -- what comes in

  void handle_message(protocol::to_envoy message, arrival at);
  /// Commands of a message that comes in parts, for its length: those that are whole after `at.bytes` more of it.
  void handle_part(protocol::to_envoy_commands some, bool last, arrival at);
  /// Of a message that is longer than what is kept, what protocol::decode_head says. It costs that one its message, and
  /// nobody the connection unless it is of a kind that has no business to be long, or of none. @returns whether its parts are
  /// to be read: then handle_part() follows
  bool handle_long_message(outcome<protocol::to_envoy> head, arrival at);
  void handle_bad_frame(std::string_view why, std::size_t bytes);
  /// All that one turn of the socket brought has been said: it is handed on.
  void handle_batch_end(time_point now);
  void handle_pong(std::uint64_t number);

  // -- what leaves

  std::optional<outbound_frame> poll_frame(time_point now);
  void handle_written(std::optional<frame_class> reported, std::size_t bytes);

  // -- time, and other threads

  /// Something was said, or granted.
  void handle_wake();
  /// @param received  as in arrival
  void expire(time_point now, std::uint64_t received);
  [[nodiscard]] std::optional<time_point> poll_timeout() const;

  [[nodiscard]] std::optional<link_output::any> poll_output();

  /// Of the newest dial.
  [[nodiscard]] const dial_terms& terms() const { return terms_; }

  /// False once this machine has decided to end the connection: what comes on it is ignored.
  [[nodiscard]] bool listens() const { return !end_reason_; }

  [[nodiscard]] bool up() const { return intake_.up(); }

  [[nodiscard]] bool over() const { return over_; }

private:
  void dial();
  void end_connection(connection_end why);
  bool check_lease(time_point now);
  void check_first_words(time_point now, std::uint64_t received);
  void apply(const reconnect_decision& decision, time_point now);
  void refuse_frame(std::string_view why, std::size_t bytes);
  void finish(failure why);
  void resume_if_granted();
  void log_reached(std::string_view what);
  void log_connection(
      log_level level, std::string_view what, std::initializer_list<log_field> more = {});

  template <class T>
  void emit(T what) {
    outputs_.emplace_back(std::move(what));
  }

  const link_machine_options options_;
  outbound_intake intake_;
  inbound_credit credit_;
  connection_policy policy_;
  lease lease_;
  outbound_queue queue_;
  std::vector<link_output::any> outputs_;  // those before next_ were taken
  std::size_t next_ = 0;
  inbound_batch batch_;
  dial_terms terms_;
  std::optional<connection_end> end_reason_;
  std::optional<time_point> dial_at_;
  std::uint64_t received_before_ = 0;  // when the engine's first words were last due
  bool paused_ = false, asking_ = false, closing_ = false, over_ = false;

  struct {  // written by the owner only, and read by any thread
    std::atomic<std::uint64_t> dials, connections, messages_in, bytes_in, frames_out, bytes_out,
        bad_frames, too_long, leases_ended, reading_paused;
  } counters_{};
};

}  // namespace nuncio
