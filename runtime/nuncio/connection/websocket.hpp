// A WebSocket client on libwebsockets, which is used behind websocket_impl.hpp only. It moves whole messages, or long ones in
// parts, and knows nothing about their meaning. One object owns one service thread, on which every method of its handler is
// called, and has at most one connection at a time. It never reconnects by itself, never throws, and never changes the
// environment, which it reads for a proxy only.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <nuncio/bytes.hpp>
#include <nuncio/connection/address_finder.hpp>
#include <nuncio/host_options.hpp>
#include <nuncio/outcome.hpp>
#include <nuncio/tls_options.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nuncio {

/// The target of a connection.
struct websocket_target {
  std::string
      host;  ///< name or address, IPv6 without brackets; also what TLS verifies: a name unless it is strictly an address
  std::uint16_t port = 0;
  bool tls = false;
  std::string path_and_query = "/";  ///< at most `path_bytes_max`, percent-encoded by the caller
  std::vector<std::string> subprotocols;  ///< offered in this order

  /// libwebsockets silently truncates a longer request line, so it is refused instead.
  static constexpr std::size_t path_bytes_max = 1900;
  /// All subprotocols joined; a token is sent here.
  static constexpr std::size_t subprotocol_bytes_max = 8192;
};

/// How a connection (attempt) ended.
struct websocket_gone {
  enum class kind : std::uint8_t {
    bad_target,         ///< never tried: path too long, no host, ...
    name_not_found,     ///< the host's name has no address
    connect_failed,     ///< nothing listens there, no route, reset before a response
    tls_failed,         ///< certificate not accepted, or no TLS there
    handshake_refused,  ///< answered, but not with a WebSocket: see http_status
    handshake_timeout,  ///< connect_limit passed
    closed_by_peer,     ///< the peer's close frame: see close_code and reason
    closed_by_us,       ///< close(), reset() or stop()
    lost,               ///< TCP ended, or no PONG for hangup_after
  };

  kind what = kind::lost;
  bool opened = false;  ///< on_open was called
  int http_status = 0;  ///< of the response to the handshake, if there was one
  std::uint16_t close_code =
      0;  ///< of the peer's close frame, else 0; codes above 1011 and below 3000 read as 1002
  std::string reason;  ///< the peer's words, or libwebsockets'
};

/// The enumerator's name.
std::string_view to_string(websocket_gone::kind what);

/// A frame to send.
struct websocket_frame {
  enum class kind : std::uint8_t { binary, text, ping };

  /// `websocket_headroom` spare bytes, then the payload; sending overwrites both. A ping carries at most 125 bytes.
  std::vector<std::uint8_t> buffer;
  kind what = kind::binary;
  std::uint64_t cookie = 0;  ///< the owner's, passed back by on_written
};

/// What to do with an inbound message over message_bytes_max.
enum class long_message : std::uint8_t {
  take,  ///< on_part gets all of it, as it arrives
  skip,  ///< it is read and discarded
};

/// The owner can identify a long message by its first bytes, this many.
inline constexpr std::size_t long_message_head_bytes = 64;

/// Spare bytes in front of each outbound payload, for header and mask.
inline constexpr std::size_t websocket_headroom = 16;

/// The owner's side. Every method is called on the service thread, and never after ~websocket.
class websocket_handler {
public:
  virtual ~websocket_handler() = default;

  /// The connection is open. `subprotocol` is the peer's choice, empty if it named none.
  virtual void on_open(std::string_view subprotocol) = 0;

  /// One complete message.
  virtual void on_message(bytes payload, bool is_text) = 0;

  /// A message is longer than message_bytes_max. `first` is its beginning, of at least `long_message_head_bytes`; on_message is
  /// not called for it.
  virtual long_message on_long_message(std::span<const std::uint8_t> first, bool is_text) {
    static_cast<void>(first);
    static_cast<void>(is_text);
    return long_message::skip;
  }

  /// The next part of a long message that is taken, its beginning included; `last` ends it.
  virtual void on_part(std::span<const std::uint8_t> part, bool last) {
    static_cast<void>(part);
    static_cast<void>(last);
  }

  /// After the last message or part of one service turn: hand on what was collected.
  virtual void on_batch_end() {}

  /// A PONG with the payload of one of the owner's pings; answers to the liveness PINGs are not reported.
  virtual void on_pong(std::span<const std::uint8_t> payload) { static_cast<void>(payload); }

  /// The socket can take a frame. @returns false if there is none; then call request_write() when there is one.
  virtual bool next_frame(websocket_frame& frame) = 0;

  /// The kernel has the whole frame. Not called for frames of a connection that ended first.
  virtual void on_written(std::uint64_t cookie, std::size_t payload_bytes) {
    static_cast<void>(cookie);
    static_cast<void>(payload_bytes);
  }

  /// Exactly once for each connect(). connect() may be called from here.
  virtual void on_gone(const websocket_gone& gone) = 0;

  /// The time set by set_timer() has come.
  virtual void on_timer() {}

  /// After wake(): once for any number of calls. Also once after start().
  virtual void on_wake() {}
};

/// The connection. Only start, stop and wake may be called from other threads than the service thread.
class websocket {
public:
  using clock = std::chrono::steady_clock;

  /// `handler` must outlive this object.
  websocket(websocket_handler& handler, websocket_options options);
  ~websocket();
  websocket(const websocket&) = delete;
  websocket& operator=(const websocket&) = delete;

  /// Starts the service thread, which begins with on_wake(). Once.
  outcome<void> start();

  /// Resets an open connection (on_gone: closed_by_us) and joins the thread. Idempotent; not from the service thread. For a
  /// clean end call close() first and await on_gone. It may block until the handler's current method returns.
  void stop();

  /// Any thread, from start() until the destructor: on_wake() will be called soon. Cheap if already pending.
  void wake();

  // -- service thread only ---------------------------------------------------------------------------------------------

  /// Begins a connection; only if there is none. Never calls back before it returns.
  void connect(websocket_target target);

  /// Sends what next_frame() still returns, then a close frame, and waits for the peer's; all within close_limit.
  void close(std::uint16_t code, std::string_view reason);

  /// Ends the connection with a TCP reset; nothing more is sent. on_gone follows in this service turn.
  void reset(std::string_view reason = "reset by us");

  /// next_frame() will be called once the socket has room.
  void request_write();

  /// One timer; a new time replaces the old. Fires once.
  void set_timer(clock::duration after);

  /// While paused the socket is not read: TCP pushes back on the peer. No PONG, PING or close is seen either, so the liveness
  /// clock stands still; messages already read off the socket are still delivered.
  void pause_reading(bool paused);

  /// Bytes of messages that have arrived on all connections, complete or not: they tell a long message from silence.
  [[nodiscard]] std::uint64_t bytes_received() const;

  /// Whether on_open was called and on_gone not yet, and no close is under way.
  [[nodiscard]] bool is_open() const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace nuncio
