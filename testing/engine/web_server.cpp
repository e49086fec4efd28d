// The web server on Boost.Beast, which only its own files include (web_connection.hpp): one io_context, one thread, no locks.
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <set>
#include <thread>
#include <utility>

#include "web.hpp"
#include "web_http_session.hpp"

namespace nuncio::testing::engine {

namespace {

constexpr auto tick_interval = std::chrono::milliseconds{5};
constexpr auto accept_pause = std::chrono::milliseconds{100};

}  // namespace

struct web_server::implementation {
  explicit implementation(web_handler& h) : handler(h) {}

  void accept() {
    acceptor.async_accept([this](error_code ec, tcp::socket socket) {
      if (ec == asio::error::operation_aborted) return;
      if (!ec) {
        std::make_shared<http_session>(std::move(socket), open, handler)->run();
      } else if (acceptor.is_open()) {
        // Usually out of files: new clients stay in the kernel's queue, and accepting at once would fail as well.
        full.expires_after(accept_pause);
        return full.async_wait([this](error_code over) {
          if (!over) accept();
        });
      }
      if (acceptor.is_open()) accept();
    });
  }

  void tick() {
    timer.expires_after(tick_interval);
    timer.async_wait([this](error_code ec) {
      if (ec) return;
      handler.on_tick();
      tick();
    });
  }

  web_handler& handler;
  web_registry open;  // outlives the sessions, which the io_context owns
  asio::io_context context{1};
  tcp::acceptor acceptor{context};
  asio::steady_timer timer{context};
  asio::steady_timer full{context};
  std::thread thread;
};

web_server::web_server(web_handler& handler)
    : implementation_(std::make_unique<implementation>(handler)) {}

web_server::~web_server() { stop(true); }

outcome<std::uint16_t> web_server::start(const std::string& address, std::uint16_t port) {
  auto& me = *implementation_;
  error_code ec;
  const auto ip = asio::ip::make_address(address, ec);
  if (ec) return failure{errc::invalid_argument, "\"" + address + "\" is not an IP address"};
  const tcp::endpoint endpoint{ip, port};
  me.acceptor.open(endpoint.protocol(), ec);
  if (!ec) me.acceptor.set_option(asio::socket_base::reuse_address(true), ec);
  if (!ec) me.acceptor.bind(endpoint, ec);
  if (!ec) me.acceptor.listen(1024, ec);
  if (ec) {
    return failure{
        errc::unreachable,
        "can't listen on " + address + " port " + std::to_string(port) + ": " + ec.message()};
  }
  me.accept();
  me.tick();
  const auto bound = me.acceptor.local_endpoint().port();
  me.thread = std::thread{[&me] { me.context.run(); }};
  return bound;
}

void web_server::post(std::function<void()> work) {
  asio::post(implementation_->context, std::move(work));
}

void web_server::stop(bool by_reset) {
  auto& me = *implementation_;
  if (!me.thread.joinable()) return;
  asio::post(me.context, [&me, by_reset] {
    error_code ignored;
    me.acceptor.close(ignored);
    me.timer.cancel();
    me.full.cancel();
    me.open.bodies.forget_waiting();
    for (auto* c : std::set<web_connection*>{me.open.open}) c->reset_now(by_reset);
    me.context.stop();
  });
  me.thread.join();
}

}  // namespace nuncio::testing::engine
