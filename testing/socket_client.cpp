// See socket_client.hpp. On Boost.Beast, which a host has nothing of.
#include <fmt/format.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>
#include <nuncio/testing/socket_client.hpp>
#include <utility>

namespace nuncio::testing {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using error_code = boost::system::error_code;
using namespace std::chrono_literals;

constexpr auto send_limit = 20s;
constexpr auto close_limit = 60s;

}  // namespace

struct socket_client::implementation {
  asio::io_context io{1};
  websocket::stream<beast::tcp_stream> stream{io};
  beast::flat_buffer buffer;
  websocket::response_type response;
  int status = 0;
  bool open = false;
  bool reading = false;
  bool read = false;     ///< a message is in `buffer`
  bool writing = false;  ///< a write that its limit has left behind goes on
  std::optional<error_code> ended;

  // Begins something and runs until it, and only it, is done.
  template <class Start>
  std::optional<error_code> run(std::chrono::milliseconds limit, Start start) {
    const auto result = std::make_shared<std::optional<error_code>>();
    start([result](error_code ec, auto&&...) { *result = ec; });
    const auto end = std::chrono::steady_clock::now() + limit;
    io.restart();
    while (!*result && std::chrono::steady_clock::now() < end) {
      io.run_one_until(end);
      if (io.stopped()) io.restart();
    }
    return *result;
  }

  void connect(
      std::uint16_t port,
      const std::string& host,
      const std::string& path,
      const std::string& protocol) {
    error_code ec;
    const auto found = asio::ip::tcp::resolver{io}.resolve(host, std::to_string(port), ec);
    if (ec) return;
    const auto connected = run(20s, [&](auto done) {
      asio::async_connect(stream.next_layer().socket(), found, std::move(done));
    });
    if (!connected || *connected) return;
    stream.next_layer().socket().set_option(asio::ip::tcp::no_delay{true});
    stream.read_message_max(64UL << 20U);
    stream.set_option(websocket::stream_base::decorator{[&](websocket::request_type& r) {
      if (!protocol.empty()) r.set(beast::http::field::sec_websocket_protocol, protocol);
    }});
    const auto shaken = run(60s, [&](auto done) {
      stream.async_handshake(response, host + ":" + std::to_string(port), path, std::move(done));
    });
    status = static_cast<int>(response.result_int());
    open = shaken && !*shaken;
  }

  // A read that a limit has left behind goes on.
  void begin_read() {
    if (std::exchange(reading, true)) return;
    stream.async_read(buffer, [this](error_code ec, std::size_t) {
      reading = false;
      if (ec)
        ended = ec;
      else
        read = true;
    });
  }

  /// How the connection ended, or why there never was one.
  [[nodiscard]] failure lost() const {
    if (status != 101)
      return {errc::link_lost, fmt::format("the WebSocket was not opened: {}", status)};
    const auto code = stream.reason().code;
    if (code == websocket::close_code::none) return {errc::link_lost, "the connection is lost"};
    const auto& why = stream.reason().reason;
    return {
        errc::link_lost,
        fmt::format(
            "closed with {} {}", static_cast<int>(code), std::string_view{why.data(), why.size()})};
  }
};

socket_client::socket_client(
    std::uint16_t port,
    const std::string& path,
    const std::string& protocol,
    const std::string& host)
    : implementation_(std::make_unique<implementation>()) {
  implementation_->connect(port, host, path, protocol);
}

socket_client::~socket_client() {
  if (implementation_) drop();
}

socket_client::socket_client(socket_client&&) noexcept = default;

socket_client& socket_client::operator=(socket_client&& other) noexcept {
  if (this == &other) return *this;
  if (implementation_) drop();
  implementation_ = std::move(other.implementation_);
  return *this;
}

int socket_client::http_status() const { return implementation_->status; }

outcome<void> socket_client::send(std::string_view data, bool binary) {
  auto& x = *implementation_;
  if (!x.open || x.ended) return x.lost();
  const failure late{
      errc::timed_out, fmt::format("the engine takes no more: waited {} s", send_limit / 1s)};
  if (x.writing) return late;
  x.stream.binary(binary);
  x.writing = true;
  const auto sent = x.run(send_limit, [&](auto done) {
    const auto kept = std::make_shared<std::string>(data);
    x.stream.async_write(asio::buffer(*kept), [&x, kept, done](error_code ec, std::size_t) mutable {
      x.writing = false;
      done(ec);
    });
  });
  if (!sent) return late;
  if (*sent) return x.lost();
  return {};
}

outcome<client_message> socket_client::receive(std::chrono::milliseconds limit) {
  auto& x = *implementation_;
  if (!x.open || x.ended) return x.lost();
  if (!x.read) x.begin_read();
  const auto end = std::chrono::steady_clock::now() + limit;
  x.io.restart();
  x.io.poll();
  while (!x.read && !x.ended && std::chrono::steady_clock::now() < end) {
    x.io.restart();
    x.io.run_one_until(end);
  }
  if (x.ended) return x.lost();
  if (!x.read)
    return failure{errc::timed_out, fmt::format("nothing came within {} ms", limit.count())};
  x.read = false;
  client_message out{beast::buffers_to_string(x.buffer.data()), x.stream.got_binary()};
  x.buffer.consume(x.buffer.size());
  return out;
}

std::string socket_client::text(std::chrono::milliseconds limit) {
  auto got = receive(limit);
  return got ? std::move(got->data) : "(" + to_string(got.error()) + ")";
}

outcome<void> socket_client::close(std::uint16_t code, std::string_view reason) {
  auto& x = *implementation_;
  if (!x.open || x.ended) return x.lost();
  websocket::close_reason why{static_cast<websocket::close_code>(code)};
  why.reason.assign(reason.data(), reason.size());
  const auto closed =
      x.run(close_limit, [&](auto done) { x.stream.async_close(why, std::move(done)); });
  x.ended = websocket::error::closed;
  if (!closed)
    return failure{
        errc::timed_out, fmt::format("no close frame came within {} s", close_limit / 1s)};
  if (*closed) return failure{errc::link_lost, closed->message()};
  return {};
}

void socket_client::drop() {
  auto& x = *implementation_;
  x.open = false;
  error_code ignored;
  x.stream.next_layer().socket().close(ignored);
  x.io.restart();
  x.io.poll();
}

// The engine ends TCP with its close frame, so that our answer to it may fail: the frame is what counts.
std::optional<std::uint16_t> socket_client::close_code() const {
  const auto code = implementation_->stream.reason().code;
  if (!implementation_->ended || code == websocket::close_code::none) return std::nullopt;
  return static_cast<std::uint16_t>(code);
}

std::string socket_client::close_reason() const {
  const auto& why = implementation_->stream.reason().reason;
  return {why.data(), why.size()};
}

std::optional<std::uint16_t> socket_client::await_close(std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < end && !implementation_->ended && implementation_->open)
    static_cast<void>(receive(std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now())));
  return close_code();
}

}  // namespace nuncio::testing
