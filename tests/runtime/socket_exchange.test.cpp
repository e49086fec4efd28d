// The two machines of a client WebSocket.
#include <doctest/doctest.h>

#include <nuncio/tunnel/socket_exchange.hpp>

namespace socket_exchange_test {

using namespace nuncio;
using verdict = socket_intake::verdict;

namespace {

template <class T>
const T* kind(const outcome<socket_session::message>& x) {
  return x ? std::get_if<T>(&x->message_kind) : nullptr;
}

bytes data(std::string x) { return bytes{std::move(x)}; }

}  // namespace

TEST_CASE("a client's messages come in order, each once") {
  socket_intake x{0};
  CHECK(x.handle_message(1) == verdict::fresh);
  CHECK(x.handle_message(2) == verdict::fresh);
  CHECK(x.handle_message(2) == verdict::duplicate);
  CHECK(x.handle_message(1) == verdict::duplicate);
  CHECK(x.handle_message(4) == verdict::lost);
  CHECK(x.handle_message(3) == verdict::fresh);
}

TEST_CASE("a client's messages are counted modulo 2^16") {
  socket_intake x{0};
  for (std::uint32_t n = 1; n <= 200'000; ++n)
    REQUIRE(x.handle_message(static_cast<std::uint16_t>(n)) == verdict::fresh);
  CHECK(x.handle_message(static_cast<std::uint16_t>(200'000)) == verdict::duplicate);
  CHECK(x.handle_message(static_cast<std::uint16_t>(200'000 - 30'000)) == verdict::duplicate);
  CHECK(x.handle_message(static_cast<std::uint16_t>(200'002)) == verdict::lost);
}

TEST_CASE("a restored socket's count continues at any index") {
  auto x = socket_intake::restored();
  CHECK(x.handle_message(40'000) == verdict::fresh);
  CHECK(x.handle_message(40'000) == verdict::duplicate);
  CHECK(x.handle_message(40'002) == verdict::lost);
  CHECK(x.handle_message(40'001) == verdict::fresh);
}

TEST_CASE("nothing is sent before the accept, and nothing after the close") {
  socket_session x{{}};
  CHECK(x.send(data("a"), false).error().code == errc::invalid_argument);
  CHECK(x.close(1000, "").error().code == errc::invalid_argument);
  const auto opened = x.accept(false);
  REQUIRE(kind<protocol::to_rivet_web_socket_open>(opened) != nullptr);
  CHECK(opened->message_id.message_index == 0);
  CHECK(x.accept(false).error().code == errc::invalid_argument);
  const auto sent = x.send(data("a"), true);
  REQUIRE(kind<protocol::to_rivet_web_socket_message>(sent) != nullptr);
  CHECK(sent->message_id.message_index == 1);
  CHECK(kind<protocol::to_rivet_web_socket_message>(sent)->binary);
  const auto closed = x.close(4001, "bye");
  const auto* close = kind<protocol::to_rivet_web_socket_close>(closed);
  REQUIRE(close != nullptr);
  CHECK(closed->message_id.message_index == 2);
  CHECK(close->code == 4001);
  CHECK(close->reason == text{"bye"});
  CHECK_FALSE(close->hibernate);
  CHECK(x.send(data("a"), false).error().code == errc::cancelled);
  CHECK(x.accept(false).error().code == errc::cancelled);
  CHECK(x.close(1000, "").error().code == errc::cancelled);
}

TEST_CASE("a message that would break the link or the client is refused before it is sent") {
  socket_session x{{}};
  REQUIRE(x.accept(false));
  CHECK(x.send(data("\xff"), false).error().code == errc::invalid_argument);
  CHECK(x.send(data("\xff"), true));
  CHECK(
      x.send(data(std::string(socket_message_bytes_max + 1, 'a')), true).error().code ==
      errc::too_large);
  CHECK(x.close(1005, "").error().code == errc::invalid_argument);
  CHECK(x.now_in() == socket_session::state::open);
}

TEST_CASE("close codes that may be sent") {
  for (const auto good : std::initializer_list<std::uint16_t>{
           1000, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 1014, 3000, 4999})
    CHECK(check_close(good, ""));
  for (const auto bad : std::initializer_list<std::uint16_t>{
           0, 999, 1001, 1002, 1004, 1005, 1006, 1010, 1015, 1016, 2999, 5000, 65535})
    CHECK_FALSE(check_close(bad, ""));
  CHECK(check_close(1000, std::string(123, 'x')));
  CHECK_FALSE(check_close(1000, std::string(124, 'x')));
  CHECK_FALSE(check_close(1000, "\xc3"));
}

TEST_CASE("only hibernating sockets ack, and consumed messages are acked once") {
  socket_session plain{{}};
  REQUIRE(plain.accept(false));
  plain.handle_consumed(1, 10);
  CHECK_FALSE(plain.poll_ack(true));

  socket_session x{{}};
  REQUIRE(x.accept(true));
  CHECK_FALSE(x.poll_ack(true));
  x.handle_consumed(1, 10);
  x.handle_consumed(2, 10);
  CHECK_FALSE(x.poll_ack(false));
  CHECK(x.ack_due());
  const auto ack = x.poll_ack(true);
  REQUIRE(ack);
  CHECK(std::get<protocol::to_rivet_web_socket_message_ack>(ack->message_kind).index == 2);
  CHECK_FALSE(x.poll_ack(true));
  x.handle_duplicate();
  CHECK(x.poll_ack(true));
  x.handle_consumed(1, 10);  // never goes back, but is acked again
  const auto again = x.poll_ack(true);
  REQUIRE(again);
  CHECK(std::get<protocol::to_rivet_web_socket_message_ack>(again->message_kind).index == 2);
}

TEST_CASE("much that is consumed is acked at once") {
  socket_session x{{}};
  REQUIRE(x.accept(true));
  for (std::uint16_t n = 1; n < 64; ++n) {
    x.handle_consumed(n, 1);
    CHECK_FALSE(x.poll_ack(false));
  }
  x.handle_consumed(64, 1);
  CHECK(x.poll_ack(false));
  x.handle_consumed(65, 300'000);
  CHECK(x.poll_ack(false));
}

TEST_CASE("a restored session knows what was consumed before, across the wrap") {
  socket_session x{{}, 7, 65'535};
  CHECK(x.now_in() == socket_session::state::open);
  CHECK(x.hibernates());
  CHECK(x.consumed_before(65'535));
  CHECK(x.consumed_before(65'000));
  CHECK_FALSE(x.consumed_before(0));
  const auto sent = x.send(data("a"), false);
  REQUIRE(sent);
  CHECK(sent->message_id.message_index == 7);
  x.handle_consumed(0, 1);
  const auto ack = x.poll_ack(true);
  REQUIRE(ack);
  CHECK(std::get<protocol::to_rivet_web_socket_message_ack>(ack->message_kind).index == 0);
}

TEST_CASE("a restored session detects a gap after its record only if the record is exact") {
  const socket_session exact{{}, 7, 65'534, true};
  CHECK_FALSE(exact.skips_to(65'530));  // again
  CHECK_FALSE(exact.skips_to(65'535));
  CHECK(exact.skips_to(0));
  auto later = exact;
  later.handle_consumed(65'535, 1);
  CHECK_FALSE(later.exact());
  CHECK_FALSE(later.skips_to(9));  // from here on ingress counts
  CHECK_FALSE(socket_session{{}, 7, 65'534}.skips_to(0));
  CHECK_FALSE(socket_session{{}, 7, std::nullopt, true}.skips_to(3));
}

}  // namespace socket_exchange_test
