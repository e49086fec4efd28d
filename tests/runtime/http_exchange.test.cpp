// The HTTP exchange: joined and split bodies, credits, indexes, limits, and how it ends.
#include <doctest/doctest.h>
#include <malloc.h>

#include <nuncio/tunnel/http_exchange.hpp>
#include <string>
#include <vector>

namespace http_exchange_test {

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

http_exchange begun(bool stream, bool response_stream = true, http_exchange_options options = {}) {
  http_exchange x{id, options};
  auto start = request(stream, response_stream);
  x.handle_request_start(0, start);
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

/// Bytes of the response's body in what was sent.
std::size_t sent_body(const std::vector<to_rivet_tunnel_message>& sent) {
  std::size_t out = 0;
  for (const auto& m : sent)
    if (const auto* chunk = std::get_if<to_rivet_response_chunk>(&m.message_kind))
      out += chunk->body.size();
  return out;
}

}  // namespace

TEST_CASE("A complete request is handed out once and answered with one message") {
  http_exchange x{id};
  auto start = request(false);
  start.body = filled(3);
  x.handle_request_start(0, start);
  CHECK(!start.body);
  CHECK(!x.uploading());
  const auto whole = x.poll_body();
  REQUIRE(whole);
  CHECK(whole->size() == 3);
  CHECK(!x.poll_body());
  CHECK(!x.done());
  CHECK(x.respond(response(5)).ok());
  CHECK(!x.respond(response(5)).ok());
  const auto sent = all(x);
  REQUIRE(sent.size() == 1);
  CHECK(get<to_rivet_response_start>(sent[0]).body->size() == 5);
  CHECK(!get<to_rivet_response_start>(sent[0]).stream);
  CHECK(sent[0].message_id == message_id{id.gateway, id.request, 0});
  CHECK(x.done());
  x.abort();
  x.refuse(500, "late");
  CHECK(all(x).empty());
}

TEST_CASE("A request without a body is whole at once") {
  auto x = begun(false);
  const auto whole = x.poll_body();
  REQUIRE(whole);
  CHECK(whole->empty());
}

TEST_CASE("I13 backpressure: request chunks are joined and credited in totals") {
  for (const bool credits : {true, false}) {
    auto x = begun(true, credits);
    CHECK(x.uploading());
    CHECK(!x.poll_body());
    std::uint64_t credited = 0;
    std::uint16_t index = 0;
    std::uint16_t part = 1;
    for (std::uint64_t sent = 0; sent < 5 << 20; sent += 65536) {
      REQUIRE((!credits || sent + 65536 - credited <= http_window_bytes));
      x.handle_request_chunk(part++, {filled(65536), false});
      CHECK(x.held() == sent + 65536);
      for (const auto& m : all(x)) {
        CHECK(m.message_id.message_index == index++);
        CHECK(get<to_rivet_request_body_window_update>(m).consumed_bytes > credited);
        credited = get<to_rivet_request_body_window_update>(m).consumed_bytes;
      }
    }
    CHECK(credits == (index > 0));
    x.handle_request_chunk(part++, {filled(7), true});
    CHECK(all(x).empty());  // nobody waits for credit any more
    const auto whole = x.poll_body();
    REQUIRE(whole);
    CHECK(whole->size() == (5 << 20) + 7);
    CHECK(x.position().next_index == index);
    CHECK(x.position().streams == credits);
  }
}

TEST_CASE("I13 backpressure: an engine that sends without credit is cut off") {
  auto x = begun(true);
  std::uint16_t part = 1;
  for (int i = 0; i < 16; ++i) x.handle_request_chunk(part++, {filled(65536), false});
  x.handle_request_chunk(part++, {filled(1), false});
  const auto cut = all(x);
  REQUIRE(cut.size() == 1);
  CHECK(
      get<to_rivet_response_abort>(cut[0]).reason.kind ==
      http_stream_abort_reason_kind::internal_error);
  CHECK(x.done());
}

TEST_CASE("A repeated chunk counts once, and a missing one aborts the exchange") {
  auto x = begun(true);
  x.handle_request_chunk(1, {bytes{std::string{"one "}}, false});
  x.handle_request_chunk(2, {bytes{std::string{"two"}}, false});
  SUBCASE("twice") {
    x.handle_request_chunk(1, {bytes{std::string{"one "}}, false});
    x.handle_request_chunk(2, {bytes{std::string{"two"}}, true});
    CHECK(x.uploading());
    x.handle_request_chunk(3, {{}, true});
    const auto whole = x.poll_body();
    REQUIRE(whole);
    CHECK(whole->view() == "one two");
  }
  SUBCASE("missing") {
    x.handle_request_chunk(4, {{}, true});
    const auto sent = all(x);
    REQUIRE(sent.size() == 1);
    CHECK(
        get<to_rivet_response_abort>(sent[0]).reason.kind ==
        http_stream_abort_reason_kind::internal_error);
    CHECK(sent[0].message_id.message_index == 0);
    CHECK(!x.poll_body());
    CHECK(x.done());
  }
}

TEST_CASE("Indexes of both sides wrap at 65536") {
  auto x = begun(true);
  for (std::uint32_t i = 1; i <= 70'000; ++i)
    x.handle_request_chunk(static_cast<std::uint16_t>(i), {filled(1), i == 70'000});
  const auto whole = x.poll_body();
  REQUIRE(whole);
  CHECK(whole->size() == 70'000);
  http_exchange late{exchange_position{id, 65'535, true}};
  CHECK(late.respond(response(http_window_bytes + 1)).ok());
  const auto sent = all(late);
  REQUIRE(sent.size() == 16);
  CHECK(sent[0].message_id.message_index == 65'535);
  CHECK(sent[15].message_id.message_index == 14);
}

TEST_CASE("A request that is too long is answered 413 and its upload stopped") {
  auto x = begun(true, true, {.body_bytes_max = 100});
  x.handle_request_chunk(1, {filled(100), false});
  CHECK(x.uploading());
  x.handle_request_chunk(2, {filled(1), false});
  x.handle_request_chunk(3, {filled(1), true});
  CHECK(!x.poll_body());
  const auto sent = all(x);
  REQUIRE(sent.size() == 2);
  get<to_rivet_request_body_cancel>(sent[0]);
  CHECK(get<to_rivet_response_start>(sent[1]).status == 413);
  CHECK(sent[1].message_id.message_index == 1);
  CHECK(x.done());

  http_exchange complete{id, {.body_bytes_max = 100}};
  auto start = request(false);
  start.body = filled(101);
  complete.handle_request_start(0, start);
  CHECK(!complete.poll_body());
  const auto answer = all(complete);
  REQUIRE(answer.size() == 1);
  CHECK(get<to_rivet_response_start>(answer[0]).status == 413);
}

TEST_CASE("An upload that its sender ends early is answered 400") {
  auto x = begun(true);
  x.handle_request_chunk(1, {filled(100), false});
  x.handle_body_cancel();
  const auto sent = all(x);
  REQUIRE(sent.size() == 1);
  CHECK(get<to_rivet_response_start>(sent[0]).status == 400);
  CHECK(!x.poll_body());
  CHECK(x.done());
}

TEST_CASE("A host may refuse an exchange at any time before its answer") {
  auto x = begun(true);
  x.refuse(503, "busy");
  const auto sent = all(x);
  REQUIRE(sent.size() == 2);
  get<to_rivet_request_body_cancel>(sent[0]);
  CHECK(get<to_rivet_response_start>(sent[1]).status == 503);
  CHECK(get<to_rivet_response_start>(sent[1]).body->view() == "busy\n");

  auto whole = begun(false);
  whole.refuse(503, "busy");
  CHECK(all(whole).size() == 1);
  auto buffered = begun(true, false);  // a gateway that knows no cancelling
  buffered.refuse(503, "busy");
  CHECK(all(buffered).size() == 1);
}

TEST_CASE("A response that the engine would not accept becomes 500") {
  const auto status_of = [](to_rivet_response_start r) {
    auto x = begun(false, true, {.response_bytes_max = 1000});
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
  twice.headers.entries = {{"location", "1"}, {"Location", "2"}};
  CHECK(status_of(twice) == 500);
  auto most = begun(false, true, {.response_bytes_max = 1000});
  CHECK(most.respond(response(1000)).ok());
}

TEST_CASE("a response to HEAD has no body, however it is answered") {
  for (const bool streams : {false, true}) {
    CAPTURE(streams);
    const auto head = [&] {
      http_exchange x{id};
      auto start = request(false, streams);
      start.method = "HEAD";
      x.handle_request_start(0, start);
      return http_exchange{x.position()};  // as whoever answers gets it
    };
    const auto only = [](http_exchange& x) {
      const auto sent = all(x);
      REQUIRE(sent.size() == 1);
      CHECK(x.done());
      CHECK(x.held() == 0);
      auto start = get<to_rivet_response_start>(sent[0]);
      CHECK(!start.body);
      CHECK(!start.stream);
      return start;
    };
    auto whole = head();
    CHECK(whole.respond(response(5'000'000)).ok());
    CHECK(
        only(whole).headers.entries.front() == std::pair<text, text>{"content-length", "5000000"});
    auto refused = head();
    refused.refuse(503, "busy");
    CHECK(only(refused).status == 503);
    auto streamed = head();
    CHECK(streamed.begin(response(0)).ok());
    CHECK(!streamed.writing());
    CHECK(streamed.write(filled(1)).error().code == errc::cancelled);
    only(streamed);
  }
}

TEST_CASE("a streamed body has the length that its head says, or is cut") {
  const auto begin = [](bool streams) {
    auto x = begun(false, streams);
    to_rivet_response_start head;
    head.status = 200;
    head.headers.entries = {{"content-length", "5"}};
    REQUIRE(x.begin(std::move(head)).ok());
    return x;
  };
  for (const bool streams : {false, true}) {
    CAPTURE(streams);
    auto right = begin(streams);
    CHECK(right.write(filled(3)).ok());
    CHECK(right.write(filled(2)).ok());
    CHECK(right.finish().ok());
    const auto sent = all(right);
    CHECK(get<to_rivet_response_start>(sent[0]).status == 200);
    auto more = begin(streams);
    CHECK(more.write(filled(3)).ok());
    CHECK(more.write(filled(3)).error().code == errc::invalid_argument);
    CHECK(get<to_rivet_response_start>(all(more).at(0)).status == 500);
    auto less = begin(streams);
    CHECK(less.write(filled(3)).ok());
    CHECK(less.finish().error().code == errc::invalid_argument);
    const auto told = all(less);
    REQUIRE(told.size() == 1);
    const auto& why = get<to_rivet_response_start>(told[0]);
    CHECK(why.status == 500);
    CHECK(why.body->view() == "the handler wrote 3 of the 5 bytes of its content-length\n");
    CHECK(less.done());
  }
  auto late = begin(true);
  CHECK(late.write(filled(3)).ok());
  CHECK(all(late).size() == 2);  // its head has gone out
  CHECK(!late.finish().ok());
  const auto end = all(late);
  REQUIRE(end.size() == 1);
  get<to_rivet_response_abort>(end[0]);
  CHECK(late.done());
}

TEST_CASE("I13 backpressure: a response never exceeds the window, and its end comes once") {
  http_exchange x{exchange_position{id, 3, true}};
  CHECK(x.respond(response(10'000'000)).ok());
  CHECK(x.held() == 10'000'000);
  std::uint64_t sent = 0, credited = 0;
  bool ended = false;
  std::uint16_t index = 3;
  while (!x.done()) {
    for (const auto& m : all(x)) {
      CHECK(m.message_id.message_index == index++);
      if (const auto* head = std::get_if<to_rivet_response_start>(&m.message_kind)) {
        CHECK(head->stream);
        CHECK(!head->body);
        CHECK(index == 4);
        continue;
      }
      const auto& chunk = get<to_rivet_response_chunk>(m);
      CHECK(chunk.body.size() <= http_chunk_bytes_max);
      sent += chunk.body.size();
      CHECK(!ended);
      ended = chunk.finish;
    }
    REQUIRE(sent - credited <= http_outstanding_bytes_max);
    REQUIRE((x.done() || sent - credited == http_outstanding_bytes_max));
    credited += (sent - credited) / 3;  // the client reads slowly
    x.handle_window_update(credited);
  }
  CHECK(sent == 10'000'000);
  CHECK(ended);
}

TEST_CASE("I13 backpressure: a window update frees as many bytes as it says, no more, once") {
  http_exchange x{exchange_position{id, 0, true}};
  CHECK(x.respond(response(3 << 20)).ok());
  CHECK(sent_body(all(x)) == http_outstanding_bytes_max);
  CHECK(all(x).empty());
  x.handle_window_update(0);
  CHECK(all(x).empty());
  x.handle_window_update(100'000);
  CHECK(sent_body(all(x)) == 100'000);
  x.handle_window_update(100'000);  // again
  x.handle_window_update(50'000);   // overtaken
  CHECK(all(x).empty());
  x.handle_window_update(100'001);
  CHECK(sent_body(all(x)) == 1);
  // For more than was ever sent: what was sent has been taken, the rest still needs credit.
  x.handle_window_update(1 << 30);
  CHECK(sent_body(all(x)) == http_outstanding_bytes_max);
  CHECK(all(x).empty());
  CHECK(x.streaming());
}

TEST_CASE("A body of one window, or for a gateway without streaming, is sent in one message") {
  for (const auto& [bytes_n, streams, parts] :
       {std::tuple{std::size_t{1} << 20, true, std::size_t{1}},
        {(std::size_t{1} << 20) + 1, true, std::size_t{16}},
        {std::size_t{20'971'520}, false, std::size_t{1}}}) {
    CAPTURE(bytes_n);
    http_exchange x{exchange_position{id, 0, streams}};
    CHECK(x.respond(response(bytes_n)).ok());
    CHECK(x.streaming() == (parts != 1));
    CHECK(all(x).size() == parts);
    CHECK(x.done() == (parts == 1));
  }
}

TEST_CASE("An abort cuts a response that has begun, with one message") {
  http_exchange x{exchange_position{id, 0, true}};
  CHECK(x.respond(response(2 << 20)).ok());
  CHECK(all(x).size() == 16);
  x.abort(http_stream_abort_reason_kind::handler_error, "gone");
  x.abort();
  x.handle_window_update(1 << 20);
  const auto sent = all(x);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].message_id.message_index == 16);
  CHECK(
      get<to_rivet_response_abort>(sent[0]).reason.kind ==
      http_stream_abort_reason_kind::handler_error);
  CHECK(x.done());
}

// -- bit by bit

namespace {

to_rivet_response_start head() {
  to_rivet_response_start x;
  x.status = 200;
  return x;
}

to_envoy_request_chunk chunk_of(std::size_t n, bool finish = false) { return {filled(n), finish}; }

}  // namespace

TEST_CASE("A streaming response is sent as it is written") {
  auto x = begun(false);
  CHECK(x.begin(head()).ok());
  CHECK(!x.begin(head()).ok());
  CHECK(x.writing());
  auto sent = all(x);
  REQUIRE(sent.size() == 1);
  CHECK(get<to_rivet_response_start>(sent[0]).stream);
  CHECK(!get<to_rivet_response_start>(sent[0]).body);
  CHECK(x.write(filled(10)).ok());
  CHECK(x.write(filled(20)).ok());
  sent = all(x);
  REQUIRE(sent.size() == 1);  // what waited together goes together
  CHECK(get<to_rivet_response_chunk>(sent[0]).body.size() == 30);
  CHECK(!get<to_rivet_response_chunk>(sent[0]).finish);
  CHECK(sent[0].message_id.message_index == 1);
  CHECK(all(x).empty());
  CHECK(x.finish().ok());
  sent = all(x);
  REQUIRE(sent.size() == 1);
  CHECK(get<to_rivet_response_chunk>(sent[0]).body.empty());
  CHECK(get<to_rivet_response_chunk>(sent[0]).finish);
  CHECK(x.done());
  CHECK(x.write(filled(1)).error().code == errc::cancelled);
}

TEST_CASE("I13 backpressure: a writer is told how much it may write") {
  auto x = begun(false);
  REQUIRE(x.begin(head()).ok());
  CHECK(x.room() == http_window_bytes);
  CHECK(x.write(filled(http_window_bytes + 1)).error().code == errc::queue_full);
  CHECK(x.write(filled(http_window_bytes)).ok());
  CHECK(x.room() == 0);
  CHECK(sent_body(all(x)) == http_outstanding_bytes_max);
  CHECK(x.room() == http_outstanding_bytes_max);  // that much is on the way
  CHECK(x.write(filled(x.room())).ok());
  CHECK(all(x).empty());
  CHECK(x.room() == 0);
  CHECK(x.held() == http_window_bytes);
  x.handle_window_update(1000);
  CHECK(sent_body(all(x)) == 1000);
  CHECK(x.room() == 1000);
  CHECK(x.finish().ok());
  x.handle_window_update(2 * http_window_bytes);
  auto rest = all(x);
  CHECK(sent_body(rest) == http_outstanding_bytes_max);
  x.handle_window_update(2 * http_window_bytes);
  rest = all(x);
  CHECK(sent_body(rest) == http_chunk_bytes_max - 1000);
  CHECK(get<to_rivet_response_chunk>(rest.back()).finish);
  CHECK(x.done());
}

TEST_CASE("The bytes of a written response are those that were written, in order") {
  auto x = begun(false);
  REQUIRE(x.begin(head()).ok());
  std::string written, seen;
  for (std::size_t i = 0; i < 40; ++i) {
    std::string part((i * 7919) % 30000, static_cast<char>('a' + i % 26));
    written += part;
    REQUIRE(x.write(bytes{std::move(part)}).ok());
    if (i % 3 != 0) continue;
    for (const auto& m : all(x))
      if (const auto* c = std::get_if<to_rivet_response_chunk>(&m.message_kind)) {
        CHECK(c->body.size() <= http_chunk_bytes_max);
        seen += c->body.view();
      }
    x.handle_window_update(seen.size());
  }
  CHECK(x.finish().ok());
  for (const auto& m : all(x)) seen += get<to_rivet_response_chunk>(m).body.view();
  CHECK(seen == written);
  CHECK(x.done());
}

TEST_CASE("I13 backpressure: short writes take little more memory than their bytes") {
  const auto used = [] { return mallinfo2().uordblks + mallinfo2().hblkhd; };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr bool measures = false;  // their allocators say nothing of this
#else
  constexpr bool measures = true;
#endif
  auto x = begun(false);
  REQUIRE(x.begin(response(0)).ok());
  while (x.poll_transmit()) {
  }
  const auto before = used();
  std::string written;
  const std::size_t sizes[] = {30, 1, 4095, 30, 30, 4096, 2, 5000};
  for (std::size_t n = 0; x.room() >= 5000; ++n) {
    // Short ones for the most part.
    const auto size = n % 1000 < 8 ? sizes[n % 1000] : 30;
    const std::string piece(size, static_cast<char>('a' + n % 26));
    written += piece;
    const auto length = written.size();
    REQUIRE(x.write(bytes{piece}).ok());
    CHECK(x.unsent() == length);
  }
  if (measures) CHECK(used() - before - written.capacity() < x.unsent() + x.unsent() / 10);
  std::string got;
  while (got.size() < written.size()) {
    while (const auto m = x.poll_transmit())
      got += std::string{get<to_rivet_response_chunk>(*m).body.view()};
    x.handle_window_update(got.size());
  }
  CHECK(got == written);
  CHECK(x.unsent() == 0);
}

TEST_CASE("A gateway without streaming gets the whole response, at its end") {
  auto x = begun(false, false, {.response_bytes_max = 100});
  REQUIRE(x.begin(head()).ok());
  CHECK(x.room() == 101);  // one too many, to hear of it
  CHECK(x.write(filled(60)).ok());
  CHECK(all(x).empty());
  CHECK(x.write(filled(40)).ok());
  CHECK(!x.done());
  CHECK(x.finish().ok());
  const auto sent = all(x);
  REQUIRE(sent.size() == 1);
  CHECK(get<to_rivet_response_start>(sent[0]).body->size() == 100);
  CHECK(!get<to_rivet_response_start>(sent[0]).stream);
  CHECK(x.done());

  auto y = begun(false, false, {.response_bytes_max = 100});
  REQUIRE(y.begin(head()).ok());
  CHECK(y.write(filled(60)).ok());
  CHECK(y.write(filled(41)).error().code == errc::too_large);
  const auto answer = all(y);
  REQUIRE(answer.size() == 1);
  CHECK(get<to_rivet_response_start>(answer[0]).status == 500);
  CHECK(y.done());
}

TEST_CASE("A writer that fails: 500 before anything was sent, a cut after that") {
  auto x = begun(false);
  REQUIRE(x.begin(head()).ok());
  x.fail("no");
  auto sent = all(x);
  REQUIRE(sent.size() == 1);
  CHECK(get<to_rivet_response_start>(sent[0]).status == 500);
  CHECK(x.done());

  auto y = begun(false);
  REQUIRE(y.begin(head()).ok());
  all(y);
  CHECK(y.write(filled(10)).ok());
  y.fail("no");
  sent = all(y);
  REQUIRE(sent.size() == 1);
  CHECK(
      get<to_rivet_response_abort>(sent[0]).reason.kind ==
      http_stream_abort_reason_kind::handler_error);
  CHECK(y.done());
}

TEST_CASE("I13 backpressure: parts of a request are credited as they are taken") {
  auto x = begun(true, true, {.parts = true});
  CHECK(!x.poll_body());
  CHECK(!x.poll_part());
  std::uint16_t index = 1;
  for (int i = 0; i < 16; ++i) x.handle_request_chunk(index++, chunk_of(65536));
  CHECK(x.held() == http_window_bytes);
  CHECK(all(x).empty());  // nothing is taken yet
  for (int i = 0; i < 8; ++i) REQUIRE(x.poll_part());
  const auto credit = all(x);
  REQUIRE(credit.size() == 1);
  CHECK(get<to_rivet_request_body_window_update>(credit[0]).consumed_bytes == 8 * 65536);
  x.handle_request_chunk(index++, chunk_of(0, true));
  for (int i = 0; i < 8; ++i) CHECK(!x.poll_part()->last);
  CHECK(x.poll_part()->last);
  CHECK(!x.poll_part());
  CHECK(all(x).empty());  // the whole body is here: no credit is needed
  CHECK(x.respond(response(1)).ok());
  CHECK(all(x).size() == 1);
  CHECK(x.done());

  auto y = begun(true, true, {.parts = true});
  for (std::uint16_t i = 1; i <= 16; ++i) y.handle_request_chunk(i, chunk_of(65536));
  y.handle_request_chunk(17, chunk_of(1));
  CHECK(
      get<to_rivet_response_abort>(all(y).at(0)).reason.kind ==
      http_stream_abort_reason_kind::internal_error);
}

TEST_CASE("A request in parts may be answered while it comes, and answered before its end") {
  auto x = begun(true, true, {.parts = true});
  x.handle_request_chunk(1, chunk_of(10));
  REQUIRE(x.begin(head()).ok());
  x.handle_request_chunk(2, chunk_of(20));
  CHECK(x.poll_part()->data.size() == 10);
  CHECK(x.poll_part()->data.size() == 20);
  CHECK(x.write(filled(30)).ok());
  x.handle_request_chunk(3, chunk_of(0, true));
  CHECK(x.poll_part()->last);
  CHECK(x.finish().ok());
  CHECK(sent_body(all(x)) == 30);
  CHECK(x.done());

  auto y = begun(true, true, {.parts = true});
  y.handle_request_chunk(1, chunk_of(10));
  CHECK(y.respond(response(1)).ok());
  const auto sent = all(y);
  REQUIRE(sent.size() == 2);
  get<to_rivet_request_body_cancel>(sent[0]);
  CHECK(!y.poll_part());
  CHECK(y.done());
}

TEST_CASE("Credit for the response takes its place between the request's parts") {
  auto x = begun(true, true, {.parts = true});
  REQUIRE(x.begin(head()).ok());
  x.handle_request_chunk(1, chunk_of(10));
  x.handle_window_update(0, 2);
  x.handle_window_update(0, 2);  // twice, or told again, it takes no further place
  x.handle_window_update(0);
  x.handle_request_chunk(3, chunk_of(20, true));
  CHECK(x.poll_part()->data.size() == 10);
  CHECK(x.poll_part()->last);

  // What is missing before a credit is found by the next part.
  auto y = begun(true, true, {.parts = true});
  REQUIRE(y.begin(head()).ok());
  y.handle_window_update(0, 2);
  y.handle_request_chunk(3, chunk_of(20));
  const auto sent = all(y);
  REQUIRE(!sent.empty());
  get<to_rivet_response_abort>(sent.back());
}

TEST_CASE("A part that reports that the client gave up") {
  auto x = begun(true, true, {.parts = true});
  x.handle_request_chunk(1, chunk_of(10));
  x.handle_body_cancel();
  CHECK(x.poll_part()->data.size() == 10);
  CHECK(x.poll_part()->failed);
  CHECK(!x.poll_part());
  CHECK(x.respond(response(1)).ok());
  CHECK(all(x).size() == 1);
}

TEST_CASE("I13 backpressure: an upload that is quiet while it is waited for is answered 408") {
  auto x = begun(true, true, {.parts = true});
  x.handle_request_chunk(1, {filled(10), false});
  for (int i = 0; i < 3; ++i) x.handle_quiet();
  CHECK(all(x).empty());  // its reader has not taken it: nobody waits for the client
  CHECK(x.poll_part().has_value());
  x.handle_quiet();
  x.handle_request_chunk(2, {filled(10), false});
  CHECK(x.poll_part().has_value());
  x.handle_quiet();
  CHECK(all(x).empty());
  x.handle_quiet();
  const auto sent = all(x);
  REQUIRE(sent.size() == 2);
  CHECK(std::holds_alternative<to_rivet_request_body_cancel>(sent[0].message_kind));
  CHECK(get<to_rivet_response_start>(sent[1]).status == 408);
  CHECK(x.done());
}

TEST_CASE("A complete request may be silent for as long as its handler likes") {
  auto x = begun(false);
  CHECK(x.poll_body().has_value());
  for (int i = 0; i < 3; ++i) x.handle_quiet();
  CHECK(all(x).empty());
}

TEST_CASE("An exchange continues at the same position in another object") {
  auto x = begun(true, true, {.parts = true});
  x.handle_request_chunk(1, chunk_of(600'000));
  REQUIRE(x.poll_part());
  CHECK(all(x).size() == 1);
  auto fresh = begun(true, true, {.parts = true});
  http_exchange y{fresh.position()};
  y.handle_request_chunk(1, chunk_of(10));
  y.handle_request_chunk(1, chunk_of(10));
  y.handle_request_chunk(2, chunk_of(5, true));
  CHECK(y.poll_part()->data.size() == 10);
  CHECK(y.poll_part()->last);
  CHECK(!y.poll_part());
}

TEST_CASE(
    "I13 backpressure: body bytes that came with the start count for credit in another object, "
    "too") {
  http_exchange x{id, {.parts = true}};
  auto start = request(true);
  start.body = filled(600'000);
  x.handle_request_start(0, start);
  CHECK(x.poll_part()->data.size() == 600'000);
  http_exchange y{x.position()};
  const auto first = all(y);
  REQUIRE(first.size() == 1);
  CHECK(get<to_rivet_request_body_window_update>(first[0]).consumed_bytes == 600'000);
  y.handle_request_chunk(1, chunk_of(500'000));
  CHECK(all(y).empty());
  CHECK(y.poll_part()->data.size() == 500'000);
  y.handle_request_chunk(2, chunk_of(100'000));
  CHECK(y.poll_part()->data.size() == 100'000);
  const auto second = all(y);
  REQUIRE(second.size() == 1);
  CHECK(get<to_rivet_request_body_window_update>(second[0]).consumed_bytes == 1'200'000);

  // Also when it is the whole window, so that nothing more can come.
  auto full = request(true);
  full.body = filled(http_window_bytes);
  http_exchange joined{id};
  joined.handle_request_start(0, full);
  CHECK(all(joined).size() == 1);
}

TEST_CASE("A message that the link had no room for is returned again, unchanged") {
  const failure full{errc::queue_full, "full"};
  const auto again = [&](http_exchange& x) {
    auto first = x.poll_transmit();
    REQUIRE(first);
    const auto held = x.held();
    const auto copy = *first;
    x.handle_not_sent(std::move(*first), full);
    CHECK(!x.done());
    CHECK(x.held() >= held);
    const auto second = x.poll_transmit();
    REQUIRE(second);
    CHECK(*second == copy);
    CHECK(x.held() == held);
    return *second;
  };
  auto whole = begun(false);
  CHECK(whole.respond(response(70'000)).ok());
  CHECK(whole.held() == 70'000);
  CHECK(get<to_rivet_response_start>(again(whole)).body->size() == 70'000);
  CHECK(whole.done());

  auto parts = begun(false);
  CHECK(parts.respond(response(http_window_bytes + 1)).ok());
  again(parts);
  std::size_t sent = 0;
  for (int i = 0; i < 15; ++i) sent += get<to_rivet_response_chunk>(again(parts)).body.size();
  CHECK(sent == http_outstanding_bytes_max);
  CHECK(!parts.poll_transmit());
  parts.handle_window_update(http_window_bytes / 2);
  auto last = again(parts);
  while (!get<to_rivet_response_chunk>(last).finish) last = again(parts);
  CHECK(parts.done());

  auto cut = begun(true);
  cut.abort({}, "why");
  CHECK(get<to_rivet_response_abort>(again(cut)).reason.detail == text{"why"});
  CHECK(cut.done());

  auto upload = begun(true, true, {.parts = true});
  for (std::uint16_t i = 1; i <= 8; ++i) upload.handle_request_chunk(i, {filled(65536), false});
  while (upload.poll_part()) {
  }
  CHECK(get<to_rivet_request_body_window_update>(again(upload)).consumed_bytes == 8 * 65536);
  upload.cancel_upload();
  CHECK(std::holds_alternative<to_rivet_request_body_cancel>(again(upload).message_kind));
}

TEST_CASE("A message that no link accepts becomes 500, and then a cut") {
  const failure no{errc::malformed, "no such text"};
  auto x = begun(false);
  CHECK(x.respond(response(5)).ok());
  x.handle_not_sent(*x.poll_transmit(), no);
  auto small = x.poll_transmit();
  REQUIRE(small);
  CHECK(get<to_rivet_response_start>(*small).status == 500);
  CHECK(small->message_id.message_index == 0);
  CHECK(x.done());
  x.handle_not_sent(std::move(*small), no);
  auto cut = x.poll_transmit();
  REQUIRE(cut);
  CHECK(get<to_rivet_response_abort>(*cut).reason.detail == text{"no such text"});
  x.handle_not_sent(std::move(*cut), no);
  cut = x.poll_transmit();
  REQUIRE(cut);
  CHECK(!get<to_rivet_response_abort>(*cut).reason.detail);
  CHECK(cut->message_id.message_index == 0);
  x.handle_not_sent(std::move(*cut), no);
  CHECK(!x.poll_transmit());
  CHECK(x.done());

  auto parts = begun(false);
  CHECK(parts.respond(response(http_window_bytes + 1)).ok());
  CHECK(parts.poll_transmit());
  parts.handle_not_sent(*parts.poll_transmit(), no);
  const auto left = all(parts);
  REQUIRE(left.size() == 1);
  CHECK(get<to_rivet_response_abort>(left[0]).reason.detail == text{"no such text"});
  CHECK(parts.done());
}

TEST_CASE("Once nothing can be sent any more, nothing is left to send") {
  auto x = begun(true);
  CHECK(x.respond(response(2 * http_window_bytes)).ok());
  x.handle_not_sent(*x.poll_transmit(), {errc::cancelled, "over"});
  CHECK(all(x).empty());
  CHECK(x.held() == 0);
  CHECK(x.done());
}

}  // namespace http_exchange_test
