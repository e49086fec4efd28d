// Which requests the dev engine accepts, and where their bodies end: the same as on the real engine, on which each was tried.
#include <doctest/doctest.h>

#include <engine/request_head.hpp>
#include <string>
#include <utility>
#include <vector>

namespace request_head_test {

using namespace nuncio::testing;
using namespace nuncio::testing::engine;

namespace {

const std::string first = "POST /x HTTP/1.1\r\n";

struct read_head {
  unsigned status = 0;
  std::string text;  ///< behind the first line
  std::string shown;
};

read_head read(const std::string& headers, const std::string& begin = first) {
  request_head head;
  const auto all = begin + headers + "\r\n";
  const auto taken = head.take(all + "body");
  REQUIRE(head.over());
  read_head out{head.refused(), head.text(), {}};
  if (out.status != 0) return out;
  CHECK(taken == all.size());
  CHECK(out.text.starts_with(first));
  out.text.erase(0, first.size());
  for (const auto& h : head.framing()) out.shown += h.name + "=" + h.value + ";";
  return out;
}

std::string headers(int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += "x-" + std::to_string(i) + ": 1\r\n";
  return out;
}

const std::string chunks = "transfer-encoding: chunked\r\n\r\n";

}  // namespace

TEST_CASE("chunks count before a length, and the actor sees what the client said before them") {
  for (const auto& [said, shown] : std::vector<std::pair<std::string, std::string>>{
           {"Transfer-Encoding: chunked\r\n", "transfer-encoding=chunked;"},
           {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "content-length=3;transfer-encoding=chunked;"},
           {"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "transfer-encoding=chunked;"},
           {"Transfer-Encoding: chunked\r\nContent-Length: abc\r\n", "transfer-encoding=chunked;"},
           {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n",
            "content-length=3;transfer-encoding=chunked;"},
           {"transfer-encoding:   CHUNKED \t\r\n", "transfer-encoding=CHUNKED;"},
           {"Transfer-Encoding: gzip,\tchunked\r\n", "transfer-encoding=gzip,\tchunked;"},
           {"Transfer-Encoding: ,chunked\r\n", "transfer-encoding=,chunked;"},
           {"Transfer-Encoding: chunked\r\nTransfer-Encoding: Chunked\r\n",
            "transfer-encoding=Chunked;"},
           {"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            "transfer-encoding=chunked;"}}) {
    CAPTURE(said);
    const auto head = read(said);
    CHECK(head.status == 0);
    CHECK(head.text == chunks);
    CHECK(head.shown == shown);
  }
}

TEST_CASE("a body with neither a length nor chunks is refused") {
  for (const auto* encoding :
       {"identity",
        "gzip",
        "chunked, identity",
        "chunked,",
        "chunked;q=1",
        "\"chunked\"",
        "xchunked",
        "",
        "chunked\r\ntransfer-encoding: gzip",
        "identity\r\ncontent-length: 3",
        "\xff, chunked"}) {
    CAPTURE(encoding);
    CHECK(read(std::string{"Transfer-Encoding: "} + encoding + "\r\n").status == 400);
  }
  CHECK(read("Transfer-Encoding: chunked\r\n", "POST /x HTTP/1.0\r\n").status == 400);
}

TEST_CASE("a length is a number, given once or repeated with the same value") {
  for (const auto* said : {"3", "003", "3\r\ncontent-length: 3", "3\r\nContent-Length: 03"}) {
    CAPTURE(said);
    const auto head = read(std::string{"content-length: "} + said + "\r\n");
    CHECK(head.status == 0);
    CHECK(head.text == "content-length: 3\r\n\r\n");
  }
  for (const auto* said :
       {"", "+3", "-1", "3, 3", "abc", "0x3", "99999999999999999999", "3\r\ncontent-length: 4"}) {
    CAPTURE(said);
    CHECK(read(std::string{"content-length: "} + said + "\r\n").status == 400);
  }
  CHECK(read("content-length: 18446744073709551613\r\n").status == 0);
  CHECK(read("content-length: 18446744073709551614\r\n").status == 431);
  CHECK(read("content-length: 18446744073709551615\r\n").status == 431);
  CHECK(read("x: 1\r\n").text == "x: 1\r\n\r\n");
}

TEST_CASE("a head has a hundred headers at the most, and 60 KiB") {
  CHECK(read(headers(100)).status == 0);
  CHECK(read(headers(101)).status == 431);
  CHECK(read("content-length: abc\r\n" + headers(100)).status == 431);
  CHECK(read("x: " + std::string(60'000, 'x') + "\r\n").status == 0);
  CHECK(read("x: " + std::string(62'000, 'x') + "\r\n").status == 431);
}

TEST_CASE("lines end with or without CR, and none goes on in the next") {
  CHECK(read("content-length: 3\n", "POST /x HTTP/1.1\n").text == "content-length: 3\r\n\r\n");
  CHECK(read("x: 1\r\n", "\r\n\n" + first).text == "x: 1\r\n\r\n");
  CHECK(read("x: 1\r\n 2\r\n").status == 400);
  CHECK(read("transfer-encoding:\r\n\tchunked\r\n").status == 400);
  CHECK(read("x: a\rb\r\n").status == 400);
  CHECK(read(std::string{"x: a\0b\r\n", 8}).status == 400);
}

TEST_CASE("a head may come byte by byte, and what no head can have is refused before its end") {
  request_head head;
  const auto all = first + "x: 1\r\ncontent-length: 3\r\ny: 2\r\n\r\n";
  std::string text;
  for (const char c : all) {
    CHECK_FALSE(head.over());
    CHECK(head.take({&c, 1}) == 1);
    text += head.text();
  }
  CHECK(head.over());
  CHECK(head.take("body") == 0);
  CHECK(text == first + "x: 1\r\ny: 2\r\ncontent-length: 3\r\n\r\n");

  request_head hello;
  hello.take("\x16\x03\x01");
  CHECK(hello.refused() == 400);
}

}  // namespace request_head_test
