// See socket_client.hpp.
#include "socket_client.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>
#include <utility>

namespace nuncio::e2e {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using error_code = boost::system::error_code;
using namespace std::chrono_literals;

}  // namespace

struct socket_client::impl {
  asio::io_context io{1};
  websocket::stream<beast::tcp_stream> stream{io};
  beast::flat_buffer buffer;
  websocket::response_type response;
  int status = 0;
  bool open = false;
  bool reading = false;
  bool read = false;  ///< a message is in `buffer`
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

  void connect(std::uint16_t port, const std::string& path, const std::string& protocol) {
    const asio::ip::tcp::endpoint to{asio::ip::address_v4::loopback(), port};
    const auto connected =
        run(20s, [&](auto done) { stream.next_layer().async_connect(to, std::move(done)); });
    if (!connected || *connected) return;
    stream.next_layer().socket().set_option(asio::ip::tcp::no_delay{true});
    stream.read_message_max(64UL << 20U);
    stream.set_option(websocket::stream_base::decorator{[&](websocket::request_type& r) {
      if (!protocol.empty()) r.set(beast::http::field::sec_websocket_protocol, protocol);
    }});
    const auto shaken = run(60s, [&](auto done) {
      stream.async_handshake(response, "127.0.0.1:" + std::to_string(port), path, std::move(done));
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
};

socket_client::socket_client(std::uint16_t port, std::string path, std::string protocol)
    : impl_(std::make_unique<impl>()) {
  impl_->connect(port, path, protocol);
}

socket_client::~socket_client() {
  if (impl_) drop();
}

socket_client::socket_client(socket_client&&) noexcept = default;

int socket_client::http_status() const { return impl_->status; }

bool socket_client::send(std::string_view data, bool binary) {
  if (!impl_->open) return false;
  impl_->stream.binary(binary);
  const auto sent = impl_->run(20s, [&](auto done) {
    impl_->stream.async_write(asio::buffer(data.data(), data.size()), std::move(done));
  });
  return sent && !*sent;
}

std::optional<socket_frame> socket_client::receive(std::chrono::milliseconds limit) {
  auto& x = *impl_;
  if (!x.open || x.ended) return std::nullopt;
  if (!x.read) x.begin_read();
  const auto end = std::chrono::steady_clock::now() + limit;
  x.io.restart();
  x.io.poll();
  while (!x.read && !x.ended && std::chrono::steady_clock::now() < end) {
    x.io.restart();
    x.io.run_one_until(end);
  }
  if (!x.read) return std::nullopt;
  x.read = false;
  socket_frame out{beast::buffers_to_string(x.buffer.data()), x.stream.got_binary()};
  x.buffer.consume(x.buffer.size());
  return out;
}

std::string socket_client::text(std::chrono::milliseconds limit) {
  auto got = receive(limit);
  return got ? std::move(got->data) : "(none)";
}

bool socket_client::close(std::uint16_t code, std::string_view reason) {
  if (!impl_->open || impl_->ended) return false;
  websocket::close_reason why{static_cast<websocket::close_code>(code)};
  why.reason.assign(reason.data(), reason.size());
  const auto closed =
      impl_->run(60s, [&](auto done) { impl_->stream.async_close(why, std::move(done)); });
  impl_->ended = websocket::error::closed;
  return closed && !*closed;
}

void socket_client::drop() {
  impl_->open = false;
  error_code ignored;
  impl_->stream.next_layer().socket().close(ignored);
  impl_->io.restart();
  impl_->io.poll();
}

// The engine ends TCP with its close frame, so that our answer to it may fail: the frame is what counts.
std::optional<std::uint16_t> socket_client::close_code() const {
  const auto code = impl_->stream.reason().code;
  if (!impl_->ended || code == websocket::close_code::none) return std::nullopt;
  return static_cast<std::uint16_t>(code);
}

std::string socket_client::close_reason() const {
  const auto& why = impl_->stream.reason().reason;
  return {why.data(), why.size()};
}

std::optional<std::uint16_t> socket_client::await_close(std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < end && !impl_->ended && impl_->open)
    static_cast<void>(receive(std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now())));
  return close_code();
}

}  // namespace nuncio::e2e
