// WebSockets that no instance holds: what happens to them, and to their clients' messages.
#include <doctest/doctest.h>

#include <nuncio/tunnel/absent_sockets.hpp>
#include <string>

namespace absent_sockets_test {

using namespace nuncio;
using namespace std::chrono_literals;
using fate = absent_sockets::fate;

namespace {

exchange_id socket(std::uint8_t n) {
  exchange_id out;
  out.request.value[0] = n;
  return out;
}

struct fixture {
  std::shared_ptr<waiting_pool> said = std::make_shared<waiting_pool>(100'000);
  absent_sockets all{{2min, 28s, 1U << 20U, 1U << 20U, said, 1500}};
  actor_id a{"a"}, b{"b"};
  time_point now{1h};

  void says(std::uint8_t n, std::uint16_t index, std::string text) {
    protocol::to_envoy_web_socket_message message;
    message.data = bytes{std::move(text)};
    all.handle_message(socket(n), index, message, now);
  }

  /// What was said, as "INDEX:TEXT ", or "lost".
  std::string heard(std::uint8_t n) {
    const auto messages = all.take_messages(socket(n), now);
    if (!messages) return "lost";
    std::string out;
    for (const auto& [index, message] : *messages)
      out += std::to_string(index) + ":" + std::string{message.data.view()} + " ";
    return out;
  }
};

}  // namespace

TEST_CASE_FIXTURE(
    fixture,
    "a WebSocket that an instance left is open to the next, unless its client closed it "
    "meanwhile") {
  for (std::uint8_t n = 1; n <= 3; ++n) all.handle_left(a, socket(n), now);
  all.handle_close(socket(2), now);
  CHECK(all.take_listed(a, socket(1), now) == fate::open);
  CHECK(all.take_listed(a, socket(2), now) == fate::closed);
  // Its record may be looked for all the same, and is told the same once.
  CHECK(all.take_unlisted(a, socket(2), now) == fate::closed);
  CHECK(all.take_unlisted(a, socket(2), now) == fate::open);
  CHECK(all.take_unlisted(a, socket(3), now) == fate::open);
}

TEST_CASE_FIXTURE(
    fixture,
    "one that its client closed while no actor could be notified stays closed until it can't be "
    "listed any more") {
  all.handle_closed(a, socket(1), now);
  now += 2min - 1s;
  CHECK(all.take_listed(a, socket(1), now) == fate::closed);
  all.handle_left(a, socket(2), now + 1s);  // which forgets what is over
  CHECK(all.take_listed(a, socket(1), now + 1s) == fate::open);
}

TEST_CASE_FIXTURE(fixture, "what does not fit is unknown, for that actor only") {
  absent_sockets small{{2min, 28s, 4096, 4096, said, 1500}};
  for (std::uint8_t n = 0; n < 100; ++n) small.handle_left(a, socket(n), now);
  small.handle_left(b, socket(200), now);
  CHECK(small.take_listed(a, socket(99), now) == fate::unknown);
  CHECK(small.take_listed(b, socket(200), now) == fate::open);
}

TEST_CASE_FIXTURE(fixture, "an actor's next instance looks once for those that are not listed") {
  all.handle_hibernated(a, now);
  CHECK(all.take_hibernated(a, now));
  CHECK_FALSE(all.take_hibernated(a, now));
  CHECK_FALSE(all.take_hibernated(b, now));
}

TEST_CASE_FIXTURE(
    fixture,
    "messages of clients while instances restore are kept in order, for the right instance") {
  says(1, 1, "too early");
  all.begin_restoring();
  all.begin_restoring();
  says(1, 5, "x");
  says(1, 6, "y");
  says(2, 9, "z");
  CHECK(said->used() > 0);
  CHECK(heard(1) == "5:x 6:y ");
  CHECK(heard(1) == "");
  all.end_restoring();
  CHECK(heard(2) == "9:z ");
  says(3, 1, "nobody's");
  all.end_restoring();
  CHECK(said->used() == 0);
  CHECK(heard(3) == "");
}

TEST_CASE_FIXTURE(
    fixture, "a message without room is lost, and earlier ones stay to show the gap") {
  all.begin_restoring();
  SUBCASE("its own") {
    says(1, 1, std::string(300, 'x'));
    says(1, 2, std::string(300, 'x'));
    says(2, 1, "y");
  }
  SUBCASE("too long to be kept") {
    all.handle_lost_message(socket(1), now);
    says(2, 1, "y");
  }
  CHECK(heard(1) == "lost");
  CHECK(heard(2) == "1:y ");
}

TEST_CASE_FIXTURE(fixture, "messages under way of one that was closed here belong to nobody") {
  all.begin_restoring();
  all.handle_ended(a, socket(1), now);
  says(1, 1, "x");
  CHECK(said->used() == 0);
  CHECK(all.take_unlisted(a, socket(1), now) == fate::closed);
  all.handle_ended(a, socket(2), now);
  all.handle_present(socket(2));
  says(2, 1, "y");
  CHECK(heard(2) == "1:y ");
}

TEST_CASE_FIXTURE(
    fixture,
    "one that its client closes while instances restore is closed for the instance that finds it") {
  all.handle_close(socket(1), now);  // nobody restores
  all.begin_restoring();
  all.handle_close(socket(2), now);
  CHECK(all.take_unlisted(a, socket(1), now) == fate::open);
  CHECK(all.take_unlisted(a, socket(2), now) == fate::closed);
  all.handle_close(socket(3), now);
  all.end_restoring();
  CHECK(all.take_unlisted(a, socket(3), now) == fate::open);
}

}  // namespace absent_sockets_test
