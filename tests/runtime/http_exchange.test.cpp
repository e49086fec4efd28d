// The HTTP exchange: joined and streamed bodies, credits, indexes, limits, and what ends it.
#include <doctest/doctest.h>

#include <nuncio/http_exchange.hpp>
#include <string>
#include <vector>

using namespace nuncio;
using namespace nuncio::protocol;

namespace {

const exchange_id id{{{1, 2, 3, 4}}, {{5, 6, 7, 8}}};

to_envoy_request_start request(bool stream, bool response_stream = true) {
  to_envoy_request_start x;
  x.method = "POST";
  x.path = "/";
  x.stream = stream;
  x.response_stream = response_stream;
  return x;
}

bytes filled(std::size_t n) { return bytes{std::string(n, 'x')}; }

to_rivet_response_start response(std::size_t n, std::uint16_t status = 200) {
  to_rivet_response_start x;
  x.status = status;
  x.body = filled(n);
  return x;
}

std::vector<to_rivet_tunnel_message> all(http_exchange& x) {
  std::vector<to_rivet_tunnel_message> out;
  while (auto m = x.poll_transmit()) out.push_back(std::move(*m));
  return out;
}

template <class T>
const T& get(const to_rivet_tunnel_message& m) {
  REQUIRE(std::holds_alternative<T>(m.message_kind));
  return std::get<T>(m.message_kind);
}

}  // namespace

TEST_CASE("A complete request is given once and answered by one message") {
  http_exchange x{id};
  auto start = request(false);
  start.body = filled(3);
  x.handle_request_start(start);
  const auto whole = x.poll_request();
  REQUIRE(whole);
  CHECK(whole->body->size() == 3);
  CHECK(!x.poll_request());
  CHECK(x.respond(response(5)).ok());
  CHECK(!x.respond(response(5)).ok());
  const auto sent = all(x);
  REQUIRE(sent.size() == 1);
  CHECK(get<to_rivet_response_start>(sent[0]).body->size() == 5);
  CHECK(sent[0].message_id == message_id{id.gateway, id.request, 0});
  CHECK(x.done());
  x.abort(http_stream_abort_reason_kind::cancelled);
  CHECK(all(x).empty());
}

TEST_CASE("I13 backpressure: request chunks are joined and credited in totals") {
  for (const std::uint16_t version : {std::uint16_t{8}, std::uint16_t{6}}) {
    http_exchange x{id, {.protocol_version = version}};
    x.handle_request_start(request(true));
    CHECK(!x.poll_request());
    std::uint64_t credited = 0;
    std::uint16_t index = 0;
    for (std::uint64_t sent = 0; sent < 5 << 20; sent += 65536) {
      REQUIRE((version < 8 || sent + 65536 - credited <= http_window_bytes));
      x.handle_request_chunk({filled(65536), false});
      for (const auto& m : all(x)) {
        CHECK(m.message_id.message_index == index++);
        CHECK(get<to_rivet_request_body_window_update>(m).consumed_bytes > credited);
        credited = get<to_rivet_request_body_window_update>(m).consumed_bytes;
      }
    }
    CHECK((version == 8) == (index > 0));
    x.handle_request_chunk({{}, true});
    const auto whole = x.poll_request();
    REQUIRE(whole);
    CHECK(whole->body->size() == 5 << 20);
  }
}

TEST_CASE("A request that is too long is answered 413 and its upload stopped") {
  http_exchange x{id, {.body_bytes_max = 100}};
  x.handle_request_start(request(true));
  x.handle_request_chunk({filled(101), false});
  x.handle_request_chunk({filled(101), true});
  CHECK(!x.poll_request());
  const auto sent = all(x);
  REQUIRE(sent.size() == 2);
  get<to_rivet_request_body_cancel>(sent[0]);
  CHECK(get<to_rivet_response_start>(sent[1]).status == 413);
  CHECK(sent[1].message_id.message_index == 1);
  CHECK(x.done());
}

TEST_CASE("What the engine would not take is answered 500") {
  const auto status_of = [](to_rivet_response_start r) {
    http_exchange x{id, {.response_bytes_max = 1000}};
    x.handle_request_start(request(false));
    CHECK(!x.respond(std::move(r)).ok());
    const auto sent = all(x);
    REQUIRE(sent.size() == 1);
    return get<to_rivet_response_start>(sent[0]).status;
  };
  CHECK(status_of(response(1001)) == 500);
  CHECK(status_of(response(1, 99)) == 500);
  CHECK(status_of(response(1, 1000)) == 500);
  for (const auto& [name, value] :
       {std::pair{"a b", "x"}, {"", "x"}, {"a", "x\r\ny: z"}, {"a", "\xc3\xa9"}}) {
    auto r = response(1);
    r.headers.entries.emplace_back(name, value);
    CHECK(status_of(r) == 500);
  }
  auto twice = response(1);
  twice.headers.entries = {{"a", "1"}, {"A", "2"}};
  CHECK(status_of(twice) == 500);
}

TEST_CASE(
    "I13 backpressure: a streamed response never exceeds the window, and its end comes once") {
  http_exchange x{id};
  x.handle_request_start(request(false));
  CHECK(x.start_response(200, {}).ok());
  std::uint64_t written = 0, sent = 0, credited = 0;
  int refused = 0;
  bool ended = false;
  std::uint16_t index = 0;
  while (!ended) {
    if (written < 10'000'000) {
      if (x.write_chunk(filled(100'000)).ok())
        written += 100'000;
      else
        ++refused;
    } else if (!x.answered() || x.writable() > 0) {
      static_cast<void>(x.finish());
    }
    for (const auto& m : all(x)) {
      CHECK(m.message_id.message_index == index++);
      if (const auto* chunk = std::get_if<to_rivet_response_chunk>(&m.message_kind)) {
        CHECK(chunk->body.size() <= http_chunk_bytes_max);
        sent += chunk->body.size();
        CHECK(!ended);
        ended = chunk->finish;
      }
    }
    REQUIRE(sent - credited <= http_window_bytes);
    if (refused % 3 == 2 || written >= 10'000'000) x.handle_window_update(credited = sent);
  }
  CHECK(sent == 10'000'000);
  CHECK(refused > 0);
  CHECK(x.done());
}

TEST_CASE("A gateway that takes no stream gets the collected body") {
  http_exchange x{id};
  x.handle_request_start(request(false, false));
  CHECK(x.start_response(201, {}).ok());
  CHECK(x.write_chunk(filled(10)).ok());
  CHECK(all(x).empty());
  CHECK(x.write_chunk(filled(20)).ok());
  CHECK(x.finish().ok());
  const auto sent = all(x);
  REQUIRE(sent.size() == 1);
  const auto& head = get<to_rivet_response_start>(sent[0]);
  CHECK(head.body->size() == 30);
  CHECK(!head.stream);
  CHECK(head.status == 201);
}

TEST_CASE("A complete body above the window goes in credited parts where a stream is taken") {
  http_exchange x{id};
  x.handle_request_start(request(false));
  CHECK(x.respond(response(3 << 20)).ok());
  std::uint64_t sent = 0;
  while (!x.done()) {
    for (const auto& m : all(x))
      if (const auto* c = std::get_if<to_rivet_response_chunk>(&m.message_kind))
        sent += c->body.size();
    x.handle_window_update(sent);
  }
  CHECK(sent == 3 << 20);
}

TEST_CASE("Nothing is sent after the engine gave up, and one message after we did") {
  http_exchange x{id};
  x.handle_request_start(request(true));
  CHECK(x.start_response(200, {}).ok());
  CHECK(x.write_chunk(filled(100)).ok());
  SUBCASE("aborted by the engine") {
    x.handle_abort();
    CHECK(x.cancelled());
    CHECK(x.write_chunk(filled(1)).error().code == errc::cancelled);
    x.fail("late");
    CHECK(all(x).empty());
  }
  SUBCASE("the handler failed mid-stream") {
    CHECK(all(x).size() == 2);
    x.fail("oops");
    x.fail("oops");
    const auto sent = all(x);
    REQUIRE(sent.size() == 1);
    CHECK(
        get<to_rivet_response_abort>(sent[0]).reason.kind ==
        http_stream_abort_reason_kind::handler_error);
  }
  CHECK(x.done());
}

TEST_CASE("A handler may take the body in parts, with credit for what it took") {
  http_exchange x{id, {.stream_request = true}};
  x.handle_request_start(request(true));
  CHECK(x.poll_request());
  for (int i = 0; i < 16; ++i) x.handle_request_chunk({filled(65536), false});
  CHECK(all(x).empty());
  std::uint64_t taken = 0;
  while (const auto part = x.poll_body()) taken += part->body.size();
  CHECK(taken == http_window_bytes);
  const auto sent = all(x);
  REQUIRE(!sent.empty());
  CHECK(get<to_rivet_request_body_window_update>(sent.back()).consumed_bytes == taken);
  SUBCASE("an engine that sends without credit is cut off") {
    for (int i = 0; i < 17; ++i) x.handle_request_chunk({filled(65536), false});
    const auto cut = all(x);
    REQUIRE(cut.size() == 1);
    get<to_rivet_response_abort>(cut[0]);
    CHECK(x.done());
  }
}

TEST_CASE("Message indexes wrap at 65536") {
  http_exchange x{id};
  x.handle_request_start(request(false));
  CHECK(x.start_response(200, {}).ok());
  std::uint16_t last = 0;
  for (std::uint64_t i = 0; i < 70'000; ++i) {
    CHECK(x.write_chunk(filled(1)).ok());
    for (const auto& m : all(x)) last = m.message_id.message_index;
    x.handle_window_update(i + 1);
  }
  CHECK(last == static_cast<std::uint16_t>(70'000));
}
