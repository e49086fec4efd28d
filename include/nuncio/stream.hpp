// Bodies bit by bit, for handlers that don't have or want them whole: both handles belong to the actor's own handlers, on its
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
// Nothing waits inside a handler and nothing is buffered without bound: at most 960 KiB are on the way to the client and
// 1 MiB waits here, short pieces joined. Where many responses wait for their clients it may be less, 64 KiB at least: all of
// an actor take 64 MiB beyond that, all of its host 512 MiB, and none takes more than it leaves. Who writes no more than room()
// says, or 64 KiB at a time, need not know. A gateway that takes no stream (docs/protocol.md G.1) gets the whole response at its
// end.
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

/// Writes the body of a response that engine_actor::stream() has begun. Copies mean the same response.
class body_writer {
public:
  body_writer() = default;

  explicit body_writer(std::shared_ptr<internal::stream> x) : stream_(std::move(x)) {}

  /// Takes `data`, of at most room() bytes.
  /// @returns errc::queue_full for more, of which nothing was taken; cancelled when the client has gone or finish() was
  ///          called; too_large where the whole response would exceed the engine's maximum, which is answered 500, or
  ///          with others of this actor, or of its host, more than may wait to be whole, which is answered 503
  [[nodiscard]] caf::expected<void> write(bytes data) const;
  /// The response is complete.
  void finish() const;
  /// Something went wrong: the client sees its download break off, or a 500 if nothing of it was sent.
  void fail(std::string_view why) const;

  [[nodiscard]] std::size_t room() const;  ///< bytes that write() takes now
  [[nodiscard]] bool is_open() const;      ///< the client is there, and finish() was not called
  /// Why it is not open although nobody here ended it, for a person; else empty.
  [[nodiscard]] std::string_view why() const;

private:
  friend class engine_actor;
  std::shared_ptr<internal::stream> stream_;
};

/// Steers the body of a request that engine_actor::on_body() gives out.
class body_reader {
public:
  body_reader() = default;

  explicit body_reader(std::shared_ptr<internal::stream> x) : stream_(std::move(x)) {}

  /// No parts until resume(); at most 1 MiB waits here, then the client has to.
  void pause() const;
  void resume() const;
  /// No more of the body is wanted; the response may still be given.
  void cancel() const;

private:
  std::shared_ptr<internal::stream> stream_;
};

/// What engine_actor::on_body() calls for each part of a request's body, in order.
using part_handler = std::function<void(const request_part&)>;

/// What engine_actor::on_writable() calls: at once, and whenever there is room again after the last call has written
/// something; where others left it little room, every 100 ms too; once more with a closed writer when the client has gone.
using writable_handler = std::function<void(body_writer&)>;

}  // namespace nuncio
