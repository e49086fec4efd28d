// The exchanges of one instance whose bodies go bit by bit, by ticket. The instance's handlers only. Decides nothing that
// http_exchange does not.
#pragma once

#include <nuncio/actor/instance_context.hpp>
#include <nuncio/engine_actor.hpp>
#include <nuncio/host/internal_messages.hpp>
#include <nuncio/stream.hpp>
#include <nuncio/tunnel/http_exchange.hpp>
#include <nuncio/tunnel/waiting_room.hpp>
#include <unordered_map>

namespace nuncio::internal {

struct stream : std::enable_shared_from_this<stream> {
  stream(
      const exchange_position& at,
      http_exchange_options options,
      std::uint64_t attempt,
      instance_streams* all)
      : exchange(at, options), ticket(attempt), of(all) {}

  /// A handler may hold its own stream's handle and a promise of the actor, which then would hold each other for ever.
  void forget_handlers() {
    on_part = nullptr;
    on_writable = nullptr;
  }

  http_exchange exchange;
  std::uint64_t ticket;
  instance_streams* of;  ///< null when it is over
  // Shared: a handler keeps what it captured, and lives on if it replaces itself.
  std::shared_ptr<part_handler> on_part;
  std::shared_ptr<writable_handler> on_writable;
  bool paused = false;
  bool pumping = false;                   ///< a turn of its handlers is on its way
  bool read_all = false;                  ///< the handler has had the end of the request's body
  bool written = false;                   ///< the handler has said its last word on the response
  bool wrote = true;                      ///< since on_writable was last called, or credit came
  bool due = false;                       ///< will advance when the turn ends
  bool crowded = false;                   ///< will advance when the link has room
  bool crowded_out = false;               ///< will be called again: others left it little room
  waiting_share share{};                  ///< of what waits for the instance's clients
  std::size_t charged = 0;                ///< of that, or of what is collected
  text why{};                             ///< why it is over, if not by its handlers
  std::shared_ptr<upload_on_way> on_way;  ///< of its request's body; null if that is whole
};

using stream_ptr = std::shared_ptr<stream>;

class instance_streams {
public:
  explicit instance_streams(engine_actor* owner);

  ~instance_streams();
  instance_streams(const instance_streams&) = delete;
  instance_streams& operator=(const instance_streams&) = delete;

  /// The exchange of attempt `ticket`, made if it is not there.
  stream_ptr at(std::uint64_t ticket, const exchange_position& position);
  [[nodiscard]] stream_ptr find(std::uint64_t ticket) const;
  /// Those whose response has begun: the others are known to their actor.
  [[nodiscard]] std::size_t responding() const;

  // -- from ingress
  void handle(const exchange_input& what);
  void handle_credited(const response_credited& what);
  /// There may be room in the link.
  void handle_room();
  /// The engine has said nothing of it for long.
  void handle_quiet(std::uint64_t ticket);
  /// The upload is over. @returns false if there is none of that ticket
  bool handle_over(const upload_over& what);
  /// The client has gone, or a repetition replaces the attempt: handlers are told, then it is over.
  bool handle_cancelled(const attempt_cancelled& what);

  /// Calls the handlers of one stream; see stream.hpp.
  void turn(std::uint64_t ticket);
  /// Tells the handlers of one that is over.
  void tell_handlers(stream& x);
  /// Something changed that its handlers may want to hear of.
  void wake(stream& x);
  /// Its exchange has changed, and has something to say: when the turn ends, so that many small writes are few messages.
  void advance_later(stream& x);
  /// The turn ends.
  void flush();

  /// Writes to the response as body_writer does.
  outcome<void> write(stream& x, bytes data);
  /// Bytes that write() takes now.
  [[nodiscard]] std::size_t room(const stream& x) const;

  /// A handler's mistake that its client can't be told any more.
  void report(const failure& why) const;

  /// Its exchange, to be answered by somebody else.
  http_exchange take(const stream_ptr& x);

  /// The instance is down: what is complete goes on without it, the rest fails with `why`.
  void handle_down(std::string_view why, std::vector<attempt_done>& answered);

private:
  /// Sends what it has to say. An exchange that is over goes.
  void advance(stream& x);
  void wait_for_room(stream& x);
  void close(stream& x);
  void leave(stream& x);
  waiting_share& share_of(stream& x);
  void charge(stream& x);
  void ask_again(stream& x);

  engine_actor* owner_;
  std::unordered_map<std::uint64_t, stream_ptr> all_;
  std::vector<stream_ptr> due_;
  std::vector<stream_ptr> crowded_;
  std::shared_ptr<waiting_pool> waiting_;  ///< bytes of responses that wait for their clients
  waiting_share collected_;                ///< of responses to gateways that take no stream
  std::vector<stream_ptr> untold_;         ///< over, but their handlers have not heard of it
};

}  // namespace nuncio::internal
