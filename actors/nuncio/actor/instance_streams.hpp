// The streaming exchanges of one instance, by ticket. For the instance's handlers only. Decides nothing that http_exchange does
// not.
#pragma once

#include <nuncio/actor/instance_context.hpp>
#include <nuncio/engine_actor.hpp>
#include <nuncio/host/internal_messages.hpp>
#include <nuncio/stream.hpp>
#include <nuncio/tunnel/http_exchange.hpp>
#include <nuncio/tunnel/room_line.hpp>
#include <nuncio/tunnel/waiting_room.hpp>
#include <unordered_map>

namespace nuncio::internal {

struct stream : std::enable_shared_from_this<stream>, room_line_place {
  stream(
      const exchange_position& at,
      http_exchange_options options,
      std::uint64_t attempt,
      instance_streams* all)
      : exchange(at, options), ticket(attempt), of(all) {}

  /// A handler may hold its own stream's handle and a promise of the actor, which would then keep each other alive for ever.
  void forget_handlers() {
    on_part = nullptr;
    on_writable = nullptr;
  }

  http_exchange exchange;
  std::uint64_t ticket;
  instance_streams* of;  ///< null once it is over
  // Shared: a handler keeps its captures alive even if it replaces itself.
  std::shared_ptr<part_handler> on_part;
  std::shared_ptr<writable_handler> on_writable;
  bool paused = false;
  bool pumping = false;      ///< a turn of its handlers is under way
  bool read_all = false;     ///< the handler has received the end of the request's body
  bool written = false;      ///< the handler has finished or failed the response
  bool wrote = true;         ///< since on_writable was last called, or credit came
  bool due = false;          ///< will advance when the turn ends
  bool crowded_out = false;  ///< will be called again: other responses left it little room
  waiting_share share{};     ///< of bytes that wait for the instance's clients
  std::size_t charged = 0;   ///< to `share`, or to the collected responses
  text why{};                ///< why it is over, if its handlers did not end it
  std::shared_ptr<upload_on_way> on_way;  ///< of its request's body; null if the body is whole
};

using stream_ptr = std::shared_ptr<stream>;

class instance_streams {
public:
  explicit instance_streams(engine_actor* owner);

  ~instance_streams();
  instance_streams(const instance_streams&) = delete;
  instance_streams& operator=(const instance_streams&) = delete;

  /// The exchange of attempt `ticket`, created if there is none.
  stream_ptr at(std::uint64_t ticket, const exchange_position& position);
  [[nodiscard]] stream_ptr find(std::uint64_t ticket) const;
  /// Those whose response has begun: the actor itself counts the others.
  [[nodiscard]] std::size_t responding() const;

  // -- from ingress
  void handle(const exchange_input& what);
  void handle_credited(const response_credited& what);
  /// The link may have room.
  void handle_room();
  /// The engine has been silent about it for too long.
  void handle_quiet(std::uint64_t ticket);
  /// The upload is over. @returns false if there is none with that ticket
  bool handle_over(const upload_over& what);
  /// The client has gone, or a repetition replaces the attempt: its handlers are notified, then it is over.
  bool handle_cancelled(const attempt_cancelled& what);

  /// Calls the handlers of one stream; see stream.hpp.
  void turn(std::uint64_t ticket);
  /// Notifies the handlers of a stream that is over.
  void tell_handlers(stream& x);
  /// Something changed that concerns its handlers.
  void wake(stream& x);
  /// Its exchange has changed and has something to send. It does so when the turn ends, so that many small writes are few
  /// messages.
  void advance_later(stream& x);
  /// The turn ends.
  void flush();

  /// Writes to the response as body_writer does.
  outcome<void> write(stream& x, bytes data);
  /// Bytes that write() takes now.
  [[nodiscard]] std::size_t room(const stream& x) const;

  /// Logs a handler's mistake that can't be reported to the client any more.
  void report(const failure& why) const;

  /// Takes its exchange, for another part to answer.
  http_exchange take(const stream_ptr& x);

  /// The instance is down: complete responses go on without it, the others fail with `why`.
  void handle_down(std::string_view why, std::vector<attempt_done>& answered);

private:
  /// Sends what is due. Removes the exchange once it is over.
  void advance(stream& x);
  void close(stream& x);
  void leave(stream& x);
  waiting_share& share_of(stream& x);
  void charge(stream& x);
  void ask_again(stream& x);

  engine_actor* owner_;
  std::unordered_map<std::uint64_t, stream_ptr> all_;
  std::vector<stream_ptr> due_;
  room_line<stream> crowded_;              ///< the link had no room for them
  std::shared_ptr<waiting_pool> waiting_;  ///< bytes of responses that wait for their clients
  waiting_share collected_;                ///< of responses to gateways without streaming
  std::vector<stream_ptr> untold_;         ///< over, but their handlers were not notified yet
};

}  // namespace nuncio::internal
