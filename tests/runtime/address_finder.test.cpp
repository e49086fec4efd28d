// Names with several addresses, some of which never respond; resolvers that hang.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <nuncio/connection/websocket.hpp>

#include "raw_server.hpp"
#include "websocket_owner.hpp"

namespace address_finder_test {

using namespace nuncio;
using namespace nuncio::test;
using kind = websocket_gone::kind;

namespace {

/// An address of this machine that answers no SYN: the backlog of a listener is full.
class black_hole {
public:
  black_hole(const char* address, std::uint16_t port) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at_.sin_family = AF_INET;
    at_.sin_port = htons(port);
    ::inet_pton(AF_INET, address, &at_.sin_addr);
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&at_), sizeof at_) == 0);
    REQUIRE(::listen(listener_, 0) == 0);
    // Until one does not come through.
    for (bool through = true; through;) {
      REQUIRE(fillers_.size() < 16);
      const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      fillers_.push_back(fd);
      ::connect(fd, reinterpret_cast<sockaddr*>(&at_), sizeof at_);
      pollfd p{fd, POLLOUT, 0};
      through = ::poll(&p, 1, 200) == 1;
    }
  }

  ~black_hole() {
    for (const int fd : fillers_) ::close(fd);
    ::close(listener_);
  }

  black_hole(const black_hole&) = delete;
  black_hole& operator=(const black_hole&) = delete;

private:
  sockaddr_in at_{};
  int listener_ = -1;
  std::vector<int> fillers_;
};

/// Takes WebSockets, and nothing from what only looks whether somebody is there.
std::function<void(raw_peer&)> serving() {
  return [](raw_peer& p) {
    const auto head = p.read_head();
    if (head.empty()) return;
    p.accept_with(head);
    p.wait_for_end();
  };
}

websocket_options with(std::vector<std::string> addresses) {
  auto o = owner::quick();
  o.resolver = [addresses = std::move(addresses)](const std::string&) {
    return outcome<std::vector<std::string>>{addresses};
  };
  return o;
}

websocket_target named(std::uint16_t port) {
  websocket_target t;
  t.host = "engine.example.com";
  t.port = port;
  return t;
}

}  // namespace

TEST_CASE("1.3: if a name's first addresses do not respond, the next one is used") {
  raw_server server{serving()};
  const black_hole first{"127.0.0.2", server.port()};
  const black_hole second{"127.0.0.3", server.port()};
  owner o{with({"127.0.0.2", "127.0.0.3", "127.0.0.1"})};
  o.connect(named(server.port()));
  REQUIRE(o.until([&] { return o.opened.size() == 1; }));
}

TEST_CASE("1.3: if a name's IPv6 address refuses, IPv4 is used, and the other way round") {
  {
    raw_server four{serving()};
    owner o{with({"::1", "127.0.0.1"})};
    o.connect(named(four.port()));
    REQUIRE(o.until([&] { return o.opened.size() == 1; }));
  }
  raw_server six{serving(), AF_INET6};
  owner o{with({"127.0.0.1", "::1"})};
  o.connect(named(six.port()));
  REQUIRE(o.until([&] { return o.opened.size() == 1; }));
}

TEST_CASE(
    "1.3: a name none of whose addresses answers fails within the limit, and the reason names "
    "them") {
  raw_server reserved{serving()};  // for its port
  owner o{with({"127.0.0.2", "127.0.0.3"})};
  o.connect(named(reserved.port()));
  const auto gone = o.await_gone();
  CHECK(gone.what == kind::connect_failed);
  CHECK(gone.reason.find("none of the 2 addresses of engine.example.com") != std::string::npos);
  const black_hole first{"127.0.0.2", reserved.port()};
  const black_hole second{"127.0.0.3", reserved.port()};
  o.connect(named(reserved.port()));
  CHECK(o.await_gone(2).what == kind::handshake_timeout);
}

TEST_CASE("1.3: a name that is not found has no address, and the error says so") {
  auto options = owner::quick();
  options.resolver = [](const std::string& name) -> outcome<std::vector<std::string>> {
    return failure{errc::not_found, "nobody knows " + name};
  };
  owner o{options};
  o.connect(named(80));
  const auto gone = o.await_gone();
  CHECK(gone.what == kind::name_not_found);
  CHECK(gone.reason == "nobody knows engine.example.com");
}

TEST_CASE(
    "1.3: a resolver that hangs costs the time limit, delays no shutdown, and is asked by one "
    "thread only") {
  struct gate {
    std::promise<void> open;
    std::shared_future<void> opened{open.get_future()};
    std::atomic<int> asked{0};
  };

  const auto shut = std::make_shared<gate>();
  auto options = owner::quick();
  options.connect_limit = 100ms;
  options.resolver = [shut](const std::string&) {
    ++shut->asked;
    shut->opened.wait();
    return outcome<std::vector<std::string>>{std::vector<std::string>{"127.0.0.1"}};
  };
  {
    owner o{options};
    for (std::size_t i = 1; i <= 3; ++i) {
      o.connect(named(9));
      CHECK(o.await_gone(i).what == kind::handshake_timeout);
    }
    CHECK(shut->asked == 1);
  }  // stop() has returned, though the resolver has not
  shut->open.set_value();
}

TEST_CASE("1.3: an address is used as it is, without a resolver") {
  raw_server server{serving()};
  auto options = owner::quick();
  std::atomic<int> asked{0};
  options.resolver = [&](const std::string&) -> outcome<std::vector<std::string>> {
    ++asked;
    return failure{errc::not_found, "asked"};
  };
  owner o{options};
  o.connect(server.port());
  REQUIRE(o.until([&] { return o.opened.size() == 1; }));
  CHECK(asked == 0);
}

}  // namespace address_finder_test
