// See socket_client.hpp. Uses Boost.Beast, which a host does not use.
#include <fmt/format.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>
#include <nuncio/testing/socket_client.hpp>
#include <utility>

#include "socket_connection.hpp"

namespace nuncio::testing {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using error_code = boost::system::error_code;
using namespace std::chrono_literals;

constexpr auto send_limit = 20s;
constexpr auto close_limit = 60s;

class network_connection final : public socket_connection {
public:
  network_connection(
      std::uint16_t port,
      const std::string& host,
      const std::string& path,
      const std::string& protocol) {
    connect(port, host, path, protocol);
  }

  ~network_connection() override { drop(); }

  [[nodiscard]] int http_status() const override { return status; }

  outcome<void> send(std::string_view data, bool binary) override {
    if (!open || ended) return lost();
    const failure late{
        errc::timed_out,
        fmt::format("the engine accepts no more data: waited {} s", send_limit / 1s)};
    if (writing) return late;
    stream.binary(binary);
    writing = true;
    const auto sent = run(send_limit, [&](auto done) {
      const auto kept = std::make_shared<std::string>(data);
      stream.async_write(
          asio::buffer(*kept), [this, kept, done](error_code ec, std::size_t) mutable {
            writing = false;
            done(ec);
          });
    });
    if (!sent) return late;
    if (*sent) return lost();
    return {};
  }

  outcome<client_message> receive(std::chrono::milliseconds limit) override {
    if (!open || ended) return lost();
    if (!read) begin_read();
    const auto end = std::chrono::steady_clock::now() + limit;
    io.restart();
    io.poll();
    while (!read && !ended && std::chrono::steady_clock::now() < end) {
      io.restart();
      io.run_one_until(end);
    }
    if (ended) return lost();
    if (!read)
      return failure{errc::timed_out, fmt::format("no message came within {} ms", limit.count())};
    read = false;
    client_message out{beast::buffers_to_string(buffer.data()), stream.got_binary()};
    buffer.consume(buffer.size());
    return out;
  }

  outcome<void> close(std::uint16_t code, std::string_view reason) override {
    if (!open || ended) return lost();
    websocket::close_reason why{static_cast<websocket::close_code>(code)};
    why.reason.assign(reason.data(), reason.size());
    const auto closed =
        run(close_limit, [&](auto done) { stream.async_close(why, std::move(done)); });
    ended = websocket::error::closed;
    if (!closed)
      return failure{
          errc::timed_out, fmt::format("no close frame came within {} s", close_limit / 1s)};
    if (*closed) return failure{errc::link_lost, closed->message()};
    return {};
  }

  void drop() override {
    open = false;
    error_code ignored;
    stream.next_layer().socket().close(ignored);
    io.restart();
    io.poll();
  }

  [[nodiscard]] bool is_over() const override { return !open || ended; }

  // The engine ends TCP with its close frame, so our answer to it may fail: the frame is what counts.
  [[nodiscard]] std::optional<std::uint16_t> close_code() const override {
    const auto code = stream.reason().code;
    if (!ended || code == websocket::close_code::none) return std::nullopt;
    return static_cast<std::uint16_t>(code);
  }

  [[nodiscard]] std::string close_reason() const override {
    const auto& why = stream.reason().reason;
    return {why.data(), why.size()};
  }

private:
  asio::io_context io{1};
  websocket::stream<beast::tcp_stream> stream{io};
  beast::flat_buffer buffer;
  websocket::response_type response;
  int status = 0;
  bool open = false;
  bool reading = false;
  bool read = false;     ///< a message is in `buffer`
  bool writing = false;  ///< a write continues after its limit has passed
  std::optional<error_code> ended;

  // Starts an operation and runs until it, and only it, is done.
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

  // A read continues after its limit has passed.
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

  /// How the connection ended, or why there was none.
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

}  // namespace

socket_client::socket_client(
    std::uint16_t port,
    const std::string& path,
    const std::string& protocol,
    const std::string& host)
    : connection_(std::make_unique<network_connection>(port, host, path, protocol)) {}

socket_client::socket_client(std::unique_ptr<socket_connection> through)
    : connection_(std::move(through)) {}

socket_client::~socket_client() = default;
socket_client::socket_client(socket_client&&) noexcept = default;
socket_client& socket_client::operator=(socket_client&&) noexcept = default;

int socket_client::http_status() const { return connection_->http_status(); }

outcome<void> socket_client::send(std::string_view data, bool binary) {
  return connection_->send(data, binary);
}

outcome<client_message> socket_client::receive(std::chrono::milliseconds limit) {
  return connection_->receive(limit);
}

std::string socket_client::text(std::chrono::milliseconds limit) {
  auto got = receive(limit);
  return got ? std::move(got->data) : "(" + to_string(got.error()) + ")";
}

outcome<void> socket_client::close(std::uint16_t code, std::string_view reason) {
  return connection_->close(code, reason);
}

void socket_client::drop() { connection_->drop(); }

std::optional<std::uint16_t> socket_client::close_code() const { return connection_->close_code(); }

std::string socket_client::close_reason() const { return connection_->close_reason(); }

std::optional<std::uint16_t> socket_client::await_close(std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!connection_->is_over()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (left <= 0ms) break;
    const auto got = receive(left);
    if (!got && got.error().code == errc::timed_out) break;
  }
  return close_code();
}

}  // namespace nuncio::testing
