// The decisions of a link: when to dial and when to stop, what to do with an inbound message, when the engine has been silent
// for too long, when the lease ends and what follows, and what is sent next. Pure: no clock, no socket.
//
// Inputs: handle_*, on the thread that owns the connection. After each of them, and after poll_frame(), call poll_output()
// until there is none. Call expire() at poll_timeout().
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
  std::size_t inbound_message_bytes_max = 0;  ///< for the log line about a longer one
  bool token_renewable = false;               ///< the token's source may return another one later
  // Both ends of the connection, for the log.
  std::string endpoint, pool, envoy_key;
  log_sink log;
};

/// An arrival: its encoded length, and how much has arrived on all connections so far.
struct arrival {
  std::size_t bytes = 0;
  std::uint64_t received = 0;
  time_point now{};
};

class link_machine {
public:
  /// @param wake  see outbound_intake: handle_wake() must be called soon
  link_machine(link_machine_options options, std::function<void()> wake);

  // -- any thread

  /// Its functions for any thread; the others are called by its queue only.
  [[nodiscard]] outbound_intake& intake() { return intake_; }

  [[nodiscard]] inbound_credit& credit() { return credit_; }

  [[nodiscard]] link_stats stats() const;

  // -- the owner: beginning and end of a connection

  /// Dials for the first time.
  void handle_start(dial_terms terms);
  void handle_open(time_point now);
  void handle_gone(connection_end why, time_point now);
  /// The answer to `ask`. errc::refused ends the link; after any other failure it dials and asks again.
  void handle_renewed(outcome<dial_terms> terms, time_point now);
  /// Sends what is queued, waits up to 3 s until the engine has handled it, then closes the socket; `over` follows when it is
  /// gone. A dial under way is reset. While waiting to dial, or for handle_renewed(), it is over at once.
  void handle_close(time_point now);
  /// The owner is gone, or the link is over: drops everything that is queued, and refuses the rest.
  void handle_end();

  // -- inbound

  void handle_message(protocol::to_envoy message, arrival at);
  /// Commands of a message that comes in parts because of its length: those that are complete after `at.bytes` more bytes.
  void handle_part(protocol::to_envoy_commands some, bool last, arrival at);
  /// The result of protocol::decode_head for a message that is longer than what is kept. It costs only that message, and the
  /// connection survives unless the message is of a kind that should never be long, or of an unknown kind. @returns whether its
  /// parts are to be read: then handle_part() follows
  bool handle_long_message(outcome<protocol::to_envoy> head, arrival at);
  void handle_bad_frame(std::string_view why, std::size_t bytes);
  /// Everything from one turn of the socket was passed in: hands it on.
  void handle_batch_end(time_point now);
  void handle_pong(std::uint64_t number, time_point now);

  // -- outbound

  std::optional<outbound_frame> poll_frame(time_point now);
  void handle_written(std::optional<frame_class> reported, std::size_t bytes);

  // -- time, and other threads

  /// Something was queued, or granted.
  void handle_wake();
  /// @param received  as in arrival
  void expire(time_point now, std::uint64_t received);
  [[nodiscard]] std::optional<time_point> poll_timeout() const;

  [[nodiscard]] std::optional<link_output::any> poll_output();

  /// Of the newest dial.
  [[nodiscard]] const dial_terms& terms() const { return terms_; }

  /// False once this machine has decided to end the connection: further input on it is ignored.
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
  void close_if_handled(time_point now);
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
  std::optional<time_point> close_at_;  // at the latest
  std::uint64_t received_before_ = 0;   // when the engine's first messages were last due
  bool paused_ = false, asking_ = false, closing_ = false, over_ = false;

  struct {  // written by the owner only, and read by any thread
    std::atomic<std::uint64_t> dials, connections, messages_in, bytes_in, frames_out, bytes_out,
        bad_frames, too_long, leases_ended, reading_paused;
  } counters_{};
};

}  // namespace nuncio
