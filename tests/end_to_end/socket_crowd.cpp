// See socket_crowd.hpp.
#include "socket_crowd.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>
#include <chrono>
#include <functional>
#include <vector>

namespace nuncio::e2e {
namespace {

constexpr std::chrono::seconds limit{90};

}  // namespace

struct socket_crowd::impl {
  using stream = boost::beast::websocket::stream<boost::asio::ip::tcp::socket>;

  boost::asio::io_context io{1};
  std::vector<std::shared_ptr<stream>> all;
  std::size_t files = 0;
  bool late = false;

  // Until all has ended that was begun. What has not by the limit never does: its handlers are not called any more.
  void run() {
    if (late) return;
    io.restart();
    io.run_for(limit);
    late = !io.stopped();
  }
};

socket_crowd::socket_crowd() : impl_(std::make_unique<impl>()) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  impl_->files = limit.rlim_cur;
}

socket_crowd::~socket_crowd() = default;

std::size_t socket_crowd::most() const {
  constexpr std::size_t others = 1000;
  return impl_->files < others ? 0 : impl_->files - others;
}

std::size_t socket_crowd::open(
    std::uint16_t port, const std::string& path, std::size_t n, std::size_t at_once) {
  using boost::system::error_code;
  auto& x = *impl_;
  const auto before = x.all.size();
  std::size_t begun = 0;
  std::function<void()> next = [&] {
    if (begun++ >= n) return;
    auto made = std::make_shared<impl::stream>(x.io);
    made->set_option(boost::beast::websocket::stream_base::decorator{
        [](boost::beast::websocket::request_type& r) {
          r.set(boost::beast::http::field::sec_websocket_protocol, "rivet");
        }});
    made->next_layer().async_connect(
        {boost::asio::ip::address_v4::loopback(), port}, [&, made](error_code failed) {
          if (failed) return next();
          made->async_handshake(
              "127.0.0.1:" + std::to_string(port), path, [&, made](error_code refused) {
                if (!refused) x.all.push_back(made);
                next();
              });
        });
  };
  for (std::size_t i = 0; i < at_once; ++i) next();
  x.run();
  return x.all.size() - before;
}

std::size_t socket_crowd::ask_all(std::size_t at_once) {
  using boost::system::error_code;
  auto& x = *impl_;
  std::size_t begun = 0, good = 0;
  std::function<void()> next = [&] {
    if (begun == x.all.size()) return;
    struct exchange {
      std::string text;
      boost::beast::flat_buffer answer;
    };
    auto& socket = *x.all[begun];
    const auto said = std::make_shared<exchange>();
    said->text = std::to_string(begun++);
    socket.async_write(boost::asio::buffer(said->text), [&, said](error_code failed, std::size_t) {
      if (failed) return next();
      socket.async_read(said->answer, [&, said](error_code closed, std::size_t) {
        const auto got = boost::beast::buffers_to_string(said->answer.data());
        const auto want = "\"text\":\"" + said->text + "\"";
        if (!closed && got.find(want) != std::string::npos) ++good;
        next();
      });
    });
  };
  for (std::size_t i = 0; i < at_once; ++i) next();
  x.run();
  return good;
}

std::size_t socket_crowd::size() const { return impl_->all.size(); }

void socket_crowd::drop(std::size_t n) { impl_->all.resize(size() - std::min(n, size())); }

}  // namespace nuncio::e2e
