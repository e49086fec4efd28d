// Streaming bodies, for handlers that can't or won't hold them whole. Both handles are for the actor's own handlers, on its
// thread.
//
//   [self](const nuncio::http_request& r) {
//     auto out = self->stream(r, {.status = 200, .headers = {{"content-type", "text/event-stream"}}});
//     self->on_writable(out, [i = 0](nuncio::body_writer& w) mutable {
//       w.write(fmt::format("data: {}\n\n", i));
//       if (++i == 10) w.finish();
//     });
//   }
//
// Nothing blocks in a handler, and nothing is buffered without limit: at most 960 KiB are on their way to the client and 1 MiB
// waits here, with small writes joined. If many responses wait for their clients it may be less, but at least 64 KiB: beyond
// that, all responses of an actor share 64 MiB, all of its host 512 MiB, and no response takes more than it leaves to the others. A handler
// that writes no more than room() says, or 64 KiB at a time, need not care. A gateway without streaming (docs/protocol.md G.1)
// gets the whole response at its end.
#pragma once

#include <functional>
#include <memory>
#include <nuncio/bytes.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/http.hpp>
#include <string_view>

namespace nuncio {

namespace internal {
struct stream;
}

/// Writes the body of a response that engine_actor::stream() has begun. Copies refer to the same response.
class body_writer {
public:
  body_writer() = default;

  explicit body_writer(std::shared_ptr<internal::stream> x) : stream_(std::move(x)) {}

  /// Takes `data`, of at most room() bytes.
  /// @returns errc::queue_full for more, and nothing of it was taken; cancelled if the client has gone or finish() was called;
  ///           too_large if the whole response would exceed the engine's maximum, which is answered with 500; or if, together
  ///           with others of this actor or host, it exceeds what may wait to be complete, which is answered with 503
  [[nodiscard]] caf::expected<void> write(bytes data) const;
  /// Completes the response.
  void finish() const;
  /// Fails the response: the client sees its download break off, or a 500 if nothing was sent yet.
  void fail(std::string_view why) const;

  [[nodiscard]] std::size_t room() const;  ///< bytes that write() takes now
  [[nodiscard]] bool is_open() const;      ///< the client is there, and finish() was not called
  /// Why it is closed although the actor did not end it, for a person; otherwise empty.
  [[nodiscard]] std::string_view why() const;

private:
  friend class engine_actor;
  std::shared_ptr<internal::stream> stream_;
};

/// Controls the body of a request that engine_actor::on_body() hands out.
class body_reader {
public:
  body_reader() = default;

  explicit body_reader(std::shared_ptr<internal::stream> x) : stream_(std::move(x)) {}

  /// Stops the parts until resume(); at most 1 MiB waits here, then the client has to wait.
  void pause() const;
  void resume() const;
  /// The rest of the body is not wanted; a response may still be given.
  void cancel() const;

private:
  std::shared_ptr<internal::stream> stream_;
};

/// What engine_actor::on_body() calls for each part of a request's body, in order.
using part_handler = std::function<void(const request_part&)>;

/// What engine_actor::on_writable() calls: at once, and whenever there is room again after the last call has written something.
/// Also every 100 ms while other responses leave it little room, and once with a closed writer when the client has gone.
using writable_handler = std::function<void(body_writer&)>;

}  // namespace nuncio
