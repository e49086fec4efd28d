// The web server as the dev engine needs it: HTTP requests and replies, whole or in parts, and WebSockets. Everything runs on
// the server's only thread, unless noted otherwise. Only web_server.cpp and the sessions use Boost.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <nuncio/bytes.hpp>
#include <nuncio/outcome.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nuncio::testing::engine {

/// The form in which header names are kept here.
inline std::string lower(std::string_view x) {
  std::string out{x};
  for (auto& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

struct http_header {
  std::string name;  ///< lower case
  std::string value;
};

// Why a body could not be read, with the real engine's texts.
constexpr std::string_view body_too_long = "length limit exceeded";
constexpr std::string_view body_broken = "error reading a body from connection";

struct http_request {
  std::string method;
  std::string target;
  std::vector<http_header> headers{};
  std::string body{};
  bool body_follows = false;      ///< in parts, to the responder's on_body
  std::string_view body_fault{};  ///< one of the above; empty if there is none

  [[nodiscard]] const std::string* header(std::string_view name) const {
    for (const auto& h : headers)
      if (h.name == name) return &h.value;
    return nullptr;
  }

  /// The length of the body according to the client.
  [[nodiscard]] std::optional<std::uint64_t> announced_length() const {
    const auto* const said = header("content-length");
    if (said == nullptr || header("transfer-encoding") != nullptr) return std::nullopt;
    return std::strtoull(said->c_str(), nullptr, 10);
  }
};

struct http_reply {
  unsigned status = 200;
  /// Without transfer-encoding and connection; a content-length is trusted.
  std::vector<http_header> headers;
  std::string body;

  /// @param name  in lower case, like those of the headers
  [[nodiscard]] bool header(std::string_view name) const {
    for (const auto& h : headers)
      if (h.name == name) return true;
    return false;
  }
};

/// The client's side of one HTTP request: answered once, whole or in parts.
class http_responder {
public:
  virtual ~http_responder() = default;
  virtual void answer(http_reply reply) = 0;
  virtual void begin(http_reply head) = 0;
  virtual void chunk(std::string_view body) = 0;
  virtual void end() = 0;
  /// Ends the connection so that the client sees an error.
  virtual void cut() = 0;
  /// For a body that follows. Parts under way still arrive.
  virtual void set_reading(bool on) = 0;

  std::function<void(std::string_view part, bool last)> on_body;
  /// The rest is not a valid body.
  std::function<void()> on_broken_body;
  std::function<void(std::uint64_t body_bytes_total)> on_drained;
  std::function<void()> on_gone;
};

/// Bytes of messages since the connection began.
struct socket_flow {
  std::uint64_t sent = 0;   ///< by send(), whether they were sent or not
  std::uint64_t taken = 0;  ///< of these, accepted by the peer's connection
};

class web_socket {
public:
  virtual ~web_socket() = default;
  virtual void send(bytes data, bool binary) = 0;
  virtual void close(std::uint16_t code, std::string reason) = 0;
  /// Ends the TCP connection without a close frame, after pending data was sent.
  virtual void drop(bool by_reset) = 0;
  /// While not reading, nothing is taken from the connection, and its pings go unanswered.
  virtual void set_reading(bool on) = 0;
  /// While more than this waits to be sent, the connection is not read either: a peer that keeps asking without reading has to
  /// wait.
  virtual void set_unsent_max(std::size_t bytes) = 0;
  [[nodiscard]] virtual socket_flow flow() const = 0;

  std::function<void(bytes data, bool binary)> on_message;
  /// Called once, whichever side ended it. No code: no close frame was received.
  std::function<void(std::optional<std::uint16_t> code, std::string reason)> on_close;
};

class web_handler {
public:
  virtual ~web_handler() = default;
  virtual void on_request(http_request request, std::shared_ptr<http_responder> responder) = 0;
  /// Whether a request to `target` is wanted before its body.
  [[nodiscard]] virtual bool wants_parts(std::string_view target) const = 0;
  /// The upgrade is already done, with the subprotocol `rivet`.
  virtual void on_socket(http_request request, std::shared_ptr<web_socket> socket) = 0;
  /// Every few milliseconds.
  virtual void on_tick() = 0;
};

class web_server {
public:
  explicit web_server(web_handler& handler);
  web_server(const web_server&) = delete;
  web_server& operator=(const web_server&) = delete;
  ~web_server();

  /// Starts the thread. From any thread but the server's own, like the other members here.
  outcome<std::uint16_t> start(const std::string& address, std::uint16_t port);
  void post(std::function<void()> work);
  /// Ends the thread; with `by_reset` every connection ends by TCP RST.
  void stop(bool by_reset);

private:
  struct implementation;
  std::unique_ptr<implementation> implementation_;
};

}  // namespace nuncio::testing::engine
