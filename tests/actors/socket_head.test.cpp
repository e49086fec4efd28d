// What is kept of a WebSocket's opening: everything that a handler may ask for, and nothing of its frame.
#include <doctest/doctest.h>

#include <nuncio/tunnel/socket_head.hpp>

namespace socket_head_test {

using namespace nuncio;
using internal::socket_head;

TEST_CASE("a WebSocket's head keeps path and headers of any length, in their order") {
  http_headers headers;
  for (const std::size_t n : {0U, 1U, 127U, 128U, 16'383U, 16'384U, 3'000'000U})
    headers.entries.emplace_back("x-" + std::to_string(n), std::string(n, 'v'));
  headers.entries.emplace_back("", "no name");
  headers.entries.emplace_back("x-1", "the second of its name");
  const socket_head x{"/p?q=1", headers};
  CHECK(x.path() == "/p?q=1");
  CHECK(x.headers() == headers);
  CHECK(x.header("x-128") == std::string(128, 'v'));
  CHECK(x.header("x-0") == "");
  CHECK(x.header("") == "no name");
  CHECK(x.header("x-1") == "v");
  CHECK_FALSE(x.header("x-2"));
  CHECK_FALSE(x.header("x"));
}

TEST_CASE("a WebSocket's head may be empty") {
  CHECK(socket_head{}.path().empty());
  CHECK(socket_head{}.headers().entries.empty());
  CHECK_FALSE(socket_head{}.header("host"));
  const socket_head x{"", {}};
  CHECK(x.path().empty());
  CHECK_FALSE(x.header(""));
  const socket_head only_path{"/", {}};
  CHECK(only_path.path() == "/");
  CHECK(only_path.headers().entries.empty());
}

TEST_CASE("a WebSocket's head keeps nothing of the frame that it was cut from") {
  auto frame = std::make_shared<const std::string>("/path host example.com");
  const auto part = [&](std::size_t from, std::size_t n) {
    return text{frame, std::span{frame->data() + from, n}};
  };
  http_headers headers;
  headers.entries.emplace_back(part(6, 4), part(11, 11));
  socket_head x{part(0, 5), headers};
  headers = {};
  CHECK(frame.use_count() == 1);
  frame = nullptr;
  const auto moved = std::move(x);
  CHECK(moved.path() == "/path");
  CHECK(moved.header("host") == "example.com");
}

}  // namespace socket_head_test
