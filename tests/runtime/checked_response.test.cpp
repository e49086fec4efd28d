// The checks of a response before it is sent.
#include <doctest/doctest.h>

#include <algorithm>
#include <nuncio/tunnel/checked_response.hpp>
#include <string>
#include <vector>

namespace checked_response_test {

using namespace nuncio;

namespace {

using headers = std::vector<std::pair<text, text>>;

protocol::to_rivet_response_start response(
    std::uint16_t status, headers with = {}, const std::string& body = {}) {
  protocol::to_rivet_response_start x;
  x.status = status;
  x.headers.entries = std::move(with);
  if (!body.empty()) x.body = bytes{body};
  return x;
}

checked_response good(protocol::to_rivet_response_start x, response_rules rules = {}) {
  auto out = check_response(std::move(x), rules);
  REQUIRE_MESSAGE(out.ok(), (out.ok() ? std::string{} : out.error().message));
  return std::move(*out);
}

std::string fault(protocol::to_rivet_response_start x, response_rules rules = {}) {
  const auto out = check_response(std::move(x), rules);
  REQUIRE(!out);
  return out.error().message;
}

}  // namespace

TEST_CASE("a correct response is unchanged") {
  const auto x = good(response(201, {{"x-a", "b c\td"}, {"vary", "x"}}, "hello"));
  CHECK(x.start == response(201, {{"x-a", "b c\td"}, {"vary", "x"}}, "hello"));
  CHECK(x.has_body);
  CHECK(!x.length);
}

TEST_CASE("only a status from 200 to 999 is a response") {
  for (const int status : {0, 99, 100, 101, 103, 199, 1000, 65535}) {
    CAPTURE(status);
    CHECK(
        fault(response(static_cast<std::uint16_t>(status))) ==
        "the handler answered with status " + std::to_string(status) +
            ", which is not within 200 to 999");
  }
  for (const int status : {200, 299, 404, 599, 600, 999})
    CHECK(good(response(static_cast<std::uint16_t>(status))).start.status == status);
}

TEST_CASE("the gateway sets the length of a body, whatever the handler says") {
  for (const auto* length : {"0", "1", "5", "6", "99999999999999999999", "-1", "abc", ""}) {
    CAPTURE(length);
    const auto x = good(response(200, {{"Content-Length", length}}, "hello"));
    CHECK(x.start.headers.entries.empty());
    CHECK(x.start.body->view() == "hello");
  }
  CHECK(good(response(200, {{"content-length", "5"}})).start.headers.entries.empty());
}

TEST_CASE("a response to HEAD says how long its body would be, and has none") {
  const auto whole = good(response(200, {{"content-length", "7"}}, "hello"), {.to_head = true});
  CHECK(whole.start.headers.entries == headers{{"content-length", "5"}});
  CHECK(!whole.start.body);
  CHECK(!whole.has_body);
  const auto told = good(response(200, {{"content-length", "1234"}}), {.to_head = true});
  CHECK(told.start.headers.entries == headers{{"content-length", "1234"}});
  const auto streamed =
      good(response(200, {{"content-length", "9"}}), {.to_head = true, .streamed = true});
  CHECK(streamed.start.headers.entries == headers{{"content-length", "9"}});
  CHECK(!streamed.has_body);
  CHECK(!streamed.length);
  CHECK(
      fault(response(200, {{"content-length", "abc"}}), {.to_head = true}) ==
      "the response header 'content-length' is not a number");
}

TEST_CASE("with 204, 205 and 304 neither a body nor a length is sent") {
  for (const std::uint16_t status : std::initializer_list<std::uint16_t>{204, 205, 304})
    for (const bool to_head : {false, true})
      for (const bool streamed : {false, true}) {
        CAPTURE(status);
        const auto x = good(
            response(status, {{"content-length", "5"}, {"etag", "x"}}, "hello"),
            {.to_head = to_head, .streamed = streamed});
        CHECK(x.start.headers.entries == headers{{"etag", "x"}});
        CHECK(!x.start.body);
        CHECK(!x.has_body);
        CHECK(!x.length);
      }
}

TEST_CASE("a streamed body has the length that its handler declares") {
  const auto x = good(response(200, {{"Content-Length", "9"}}), {.streamed = true});
  CHECK(x.start.headers.entries == headers{{"content-length", "9"}});
  CHECK(x.length == 9U);
  CHECK(!good(response(200), {.streamed = true}).length);
  for (const auto* length : {"", " 5", "5 ", "-1", "+5", "5x", "0x5", "18446744073709551616"}) {
    CAPTURE(length);
    CHECK(
        fault(response(200, {{"content-length", length}}), {.streamed = true}) ==
        "the response header 'content-length' is not a number");
  }
}

TEST_CASE("headers about the handler's own connection are left out") {
  const auto x = good(response(
      200,
      {{"Transfer-Encoding", "chunked"},
       {"connection", "close, X-Mine ,keep-alive"},
       {"keep-alive", "timeout=5"},
       {"proxy-connection", "x"},
       {"upgrade", "websocket"},
       {"te", "trailers"},
       {"trailer", "x"},
       {"x-mine", "1"},
       {"x-other", "2"}}));
  CHECK(x.start.headers.entries == headers{{"x-other", "2"}});
}

TEST_CASE("a header that the connection names is left out in whatever spelling, cookies too") {
  const auto x = good(response(
      200,
      {{"Set-Cookie", "a"},
       {"connection", "X-A"},
       {"x-a", "1"},
       {"set-cookie", "b"},
       {"x-b", "2"},
       {"Connection", " Set-cookie,"}}));
  CHECK(x.start.headers.entries == headers{{"x-b", "2"}});
}

TEST_CASE("as many headers as a handler likes keep their order, and each its values") {
  headers many;
  std::string values = "first";
  for (int i = 0; i < 20'000; ++i) {
    many.emplace_back(text{"x-" + std::to_string(i)}, text{std::to_string(i)});
    many.emplace_back("x-list", text{i == 0 ? std::string{"first"} : std::to_string(i)});
    if (i != 0) values += ", " + std::to_string(i);
  }
  const auto x = good(response(200, many)).start.headers.entries;
  REQUIRE(x.size() == 20'001);
  CHECK(x[0] == std::pair<text, text>{"x-0", "0"});
  CHECK(x[1] == std::pair<text, text>{"x-list", text{values}});
  CHECK(x[2] == std::pair<text, text>{"x-1", "1"});
  CHECK(x[20'000] == std::pair<text, text>{"x-19999", "19999"});
}

TEST_CASE("each cookie stays a header of its own") {
  headers many;
  for (int i = 0; i < 512; ++i)
    many.emplace_back(i % 2 == 0 ? "set-cookie" : "Set-Cookie", std::to_string(i));
  const auto x = good(response(200, many));
  REQUIRE(x.start.headers.entries.size() == 512);
  auto names = x.start.headers.entries;
  for (std::size_t i = 0; i < names.size(); ++i) {
    CHECK(names[i].second.view() == std::to_string(i));
    auto lower = names[i].first.str();
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    CHECK(lower == "set-cookie");
  }
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end(), [](const auto& a, const auto& b) {
          return a.first == b.first;
        }) == names.end());
  CHECK(x.start.headers.entries.front().first.view() == "set-cookie");
  many.emplace_back("set-cookie", "x");
  CHECK(
      fault(response(200, many)) == "the response header 'set-cookie' occurs more than 512 times");
}

TEST_CASE("a repeated list is joined; a repeated header with one value is refused") {
  CHECK(
      good(response(200, {{"vary", "a"}, {"x-b", "1"}, {"Vary", "b"}, {"VARY", "c"}}))
          .start.headers.entries == headers{{"vary", "a, b, c"}, {"x-b", "1"}});
  CHECK(
      fault(response(200, {{"content-type", "a/b"}, {"Content-Type", "c/d"}})) ==
      "the response header 'content-type' occurs twice; it may have one value only");
  CHECK(
      fault(response(200, {{"content-length", "5"}, {"content-length", "6"}}, "hello")) ==
      "the response header 'content-length' occurs twice; it may have one value only");
}

TEST_CASE("an invalid header is refused by name, and its value is not repeated") {
  for (const auto* name : {"", "a b", "a:b", "a\r\nb", "\xC3\xBC", "a\x01"})
    CHECK(fault(response(200, {{name, "x"}})).find("its name is not a token") != std::string::npos);
  for (const auto* value : {"secret\r\nx: y", "secret\n", "secret\x7F", "secret\xC3\xBC"}) {
    const auto why = fault(response(200, {{"x-a", value}}));
    CHECK(why == "the response header 'x-a' is not valid HTTP: its value is not visible ASCII");
  }
  CHECK(
      fault(response(200, {{"x-a", std::string_view{"a\0b", 3}}})).find("'x-a'") !=
      std::string::npos);
}

TEST_CASE("a body above the engine's limit is refused") {
  CHECK(good(response(200, {}, "hello"), {.body_bytes_max = 5}).start.body->size() == 5);
  CHECK(
      fault(response(200, {}, "hello"), {.body_bytes_max = 4}) ==
      "the response body has 5 bytes, the engine takes at most 4");
}

}  // namespace checked_response_test
