// What a user's actor runs on: an ordinary CAF actor that the engine placed on this host. HTTP requests arrive as messages and
// are answered by returning a response, or a promise of one. Its methods may be called only from its own handlers, on their
// thread.
//
//   caf::behavior counter(caf::stateful_actor<count, nuncio::engine_actor>* self) {
//     return {[self](const nuncio::http_request& r) -> caf::result<nuncio::http_response> { … }};
//   }
//
// How it ends:
//
//   call        it goes on until                                    open requests are   the engine then
//   ---------   -------------------------------------------------   -----------------   ------------------------------------
//   sleep()     stop_command comes and is handled                   answered            wakes it with a request or its alarm
//   finish()    its open requests are answered                      answered            goes on with what it was told to do
//   quit()      the handler has returned                            answered 500        wakes it with a request or its alarm
//   destroy()   stop_command comes and is handled                   answered            has deleted it, and its data
//
// finish() belongs at the end of a stop_command handler. An exception, or quit() with an error, is reported as a crash.
// Messages of other CAF actors are handled as in any CAF actor.
#pragma once

#include <caf/expected.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <nuncio/actor_messages.hpp>
#include <nuncio/detail/caf.hpp>
#include <nuncio/detail/clock.hpp>
#include <nuncio/detail/mail_reader.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/start_info.hpp>
#include <nuncio/stream.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace nuncio {

class answer_claim;
class http_exchange;
class kv_store;
class sql_client;
class sqlite;
struct instance_context;
struct sqlite_options;

template <class T>
class storage_response;

namespace internal {

class instance_sockets;
class instance_streams;
class storage_client;
struct access;
struct attempt_cancelled;

}  // namespace internal

class engine_actor : public internal::mail_reader {
public:
  /// Hosted if the host spawned it. Spawned by anything else (such as a unit test) it is a plain CAF actor: start() is empty,
  /// sleep() and destroy() quit.
  explicit engine_actor(caf::actor_config& cfg);
  ~engine_actor() override;

  /// The engine's id, the key, generation, input and create time of this instance.
  [[nodiscard]] const start_info& start() const;

  /// Asks the engine to put this actor to sleep. It runs until `stop_command` comes, and wakes with the next request.
  void sleep();

  /// Ends the actor once its open requests are answered, as without a stop_command handler. For the end of such a handler;
  /// quit() ends at once.
  void finish();

  /// Asks the engine to destroy this actor and its data for good. No other call does that.
  void destroy();

  /// Has `alarm_due` sent to this actor at `at`, which wakes it if it sleeps. Replaces an earlier alarm; survives sleep and
  /// crash.
  void set_alarm(std::chrono::system_clock::time_point at);
  void clear_alarm();

  [[nodiscard]] std::optional<std::chrono::system_clock::time_point> alarm_at() const {
    return alarm_at_;
  }

  /// Keeps this actor from sleeping when idle, as long as any copy of the returned handle exists.
  [[nodiscard]] std::shared_ptr<const void> keep_awake();

  /// Key-value storage that outlives this instance; see nuncio/kv.hpp.
  [[nodiscard]] kv_store kv();

  /// SQL that the engine executes in this actor's database; see nuncio/sql.hpp.
  [[nodiscard]] sql_client sql();

  /// Opens this actor's database on its own thread; blocks while it waits for the engine. See nuncio/sqlite.hpp.
  /// @returns errc::refused if the actor is not served as detached or the database is already open; otherwise why it can't be
  /// read
  [[nodiscard]] caf::expected<sqlite> open_sqlite();
  [[nodiscard]] caf::expected<sqlite> open_sqlite(const sqlite_options& options);

  /// Whether a host runs this actor.
  [[nodiscard]] bool hosted() const;

  /// HTTP requests that were handed to a handler and are not answered yet, or whose streaming response is not complete;
  /// includes the request being handled.
  [[nodiscard]] std::size_t open_requests() const;

  // -- streaming bodies; see stream.hpp
  /// Begins the response to `r` with this status and these headers; its body is written through the returned handle. The
  /// handler's return value is not sent.
  body_writer stream(const http_request& r, http_response head);
  void on_writable(const body_writer& to, writable_handler handler);
  /// Calls `handler` for each part of the request's body, or once with the whole body if it was not sent in parts.
  body_reader on_body(const http_request& r, part_handler handler);

  // -- WebSockets; see socket.hpp
  /// Those that are open now.
  [[nodiscard]] std::vector<connection> sockets() const;

  /// Sends to all open WebSockets; the message is built once and shared.
  void broadcast(text message);
  void broadcast(bytes message, bool binary = true);

  /// A string is sent as a text message.
  template <string_like T>
  void broadcast(const T& message) {
    broadcast(text{std::string{std::string_view{message}}});
  }

  void initialize() override;

  using caf::event_based_actor::enqueue;
  internal::enqueue_result enqueue(
      caf::mailbox_element_ptr what, internal::caf_host* host) override;

protected:
  caf::invoke_message_result consume(caf::mailbox_element& x) override;

  /// The last step of initialize(): the behavior exists, and the engine is told that the instance runs.
  void begin();

  /// Instead of begin(): `answers` replaces the behavior, and stored data, alarms included, is kept for a later instance.
  void begin_with(caf::behavior answers);

  [[nodiscard]] internal::storage_client& storage() { return *storage_; }

  /// Whether the engine has said that this actor is destroyed.
  [[nodiscard]] bool destroyed() const { return destroyed_; }

private:
  friend struct internal::access;
  template <class T>
  friend class storage_response;

  /// Handles nothing else until storage has answered `request`.
  void handle_awaited(caf::message_id request);

  // -- overridden by persistent_actor
  /// @returns true if it calls begin() itself later
  virtual bool prepare() { return false; }

  /// Called when it was told to finish and no request is open.
  virtual void finish_now() { quit(); }

  /// Called before it asks for sleep. @returns false to stay awake
  virtual bool may_sleep() { return true; }

  /// Called after it quit of its own accord; storage requests made here are carried out before the engine is told.
  /// @returns why that failed; empty if it did not
  virtual std::string handle_end() { return {}; }

  virtual void handle_state_tick() {}

  caf::invoke_message_result give(caf::mailbox_element& x);
  caf::invoke_message_result give_borrowed(caf::mailbox_element& x);
  void stand_in();
  void say_started();
  void finish_if_answered();
  void respond(std::uint64_t ticket, http_response response);
  bool respond_to(http_exchange exchange, std::uint64_t ticket, http_response response);
  http_exchange exchange_of(std::uint64_t ticket, const exchange_position& at);
  void handle_response(caf::mailbox_element& x);
  std::optional<caf::invoke_message_result> consume_lifecycle(caf::mailbox_element& x);
  void keep_alarm();
  void recall_alarm();
  void arm_alarm();
  void handle_idle_probe();
  std::optional<caf::invoke_message_result> consume_stream(caf::mailbox_element& x);
  std::optional<caf::invoke_message_result> consume_socket(caf::mailbox_element& x);
  caf::invoke_message_result consume_restored(caf::mailbox_element& x);
  void arm_socket_tick();
  void handle_cancelled(const internal::attempt_cancelled& what);
  void handle_thrown(std::uint64_t ticket, const http_error& meant);
  template <class T>
  void tell_ingress(T what);
  void handle_down(const caf::error& reason);

  struct unanswered {
    exchange_position position;
    std::shared_ptr<answer_claim> claim;
  };

  std::shared_ptr<const instance_context> context_;
  std::unique_ptr<internal::storage_client> storage_;
  std::unique_ptr<internal::instance_streams> streams_;  ///< null until first used
  std::unordered_map<std::uint64_t, unanswered>
      begun_;                                    ///< by ticket: handed to a handler, not answered
  std::unordered_set<std::uint64_t> cancelled_;  ///< before they reached a handler
  std::unordered_set<std::uint64_t> skipped_;    ///< put back while a handler awaits a response
  std::unique_ptr<internal::instance_sockets> sockets_;  ///< null until first used
  bool socket_tick_armed_ = false;
  bool destroyed_ = false;  ///< told to stop for good
  bool finishing_ = false;  ///< finish() was called
  std::optional<std::chrono::system_clock::time_point> alarm_at_;
  bool alarm_called_ = false;              // set or cleared by this instance
  std::optional<time_point> alarm_timer_;  // when the last timer for it fires
  std::uint64_t alarm_serial_ = 0;         // the number of that timer
  std::shared_ptr<const void> awake_;      ///< keep_awake() hands out copies
  time_point talked_{};                    ///< when another actor last sent a message
  std::uint64_t newest_ticket_ = 0;
  std::string failure_;  ///< the exception's text; for the log only
  bool initialized_ = false;
  bool sleep_early_ = false;
  bool destroy_early_ = false;
};

}  // namespace nuncio
