// Acks: merged, limited, and dropped with their connection.
#include <doctest/doctest.h>

#include <nuncio/commands/ack_aggregator.hpp>
#include <string>
#include <vector>

namespace ack_aggregator_test {

using namespace nuncio;
using points = std::vector<protocol::actor_checkpoint>;

namespace {

points one(std::int64_t index, std::uint32_t generation = 1) {
  return {{actor_id{"a"}, generation, index}};
}

}  // namespace

TEST_CASE(
    "I7 re-ack: checkpoints fold to the highest of each generation while a frame is in flight") {
  ack_aggregator x;
  x.handle_link_up(1);
  CHECK(!x.poll_transmit());
  x.handle_processed(1, one(1));
  CHECK(x.poll_transmit());
  x.handle_processed(1, one(2));
  x.handle_processed(1, one(1));
  x.handle_processed(1, one(1, 2));
  CHECK(!x.poll_transmit());
  x.handle_written(1);
  const auto frame = x.poll_transmit();
  REQUIRE(frame);
  CHECK(frame->last_command_checkpoints.size() == 2);
  for (const auto& c : frame->last_command_checkpoints)
    CHECK(c.index == (c.generation == 1 ? 2 : 1));
  CHECK(x.pending() == 0);
}

TEST_CASE("I8 one truth: pending acks die with their connection") {
  ack_aggregator x;
  x.handle_link_up(1);
  x.handle_processed(1, one(1));
  x.handle_link_down();
  CHECK(x.pending() == 0);
  x.handle_processed(1, one(1));
  CHECK(x.pending() == 0);
  x.handle_processed(2, one(1));  // ingress was faster than the word that the link is up
  CHECK(!x.poll_transmit());
  x.handle_link_up(2);
  x.handle_processed(1, one(9));
  const auto frame = x.poll_transmit();
  REQUIRE(frame);
  CHECK(frame->last_command_checkpoints == one(1));
  x.handle_written(1);
  x.handle_processed(2, one(2));
  CHECK(!x.poll_transmit());
}

TEST_CASE("I13 backpressure: acks of an engine that does not read have a bound") {
  ack_aggregator x{{.pending_bytes_max = 3 * ack_aggregator::entry_bytes}};
  x.handle_link_up(1);
  for (std::uint32_t i = 1; i <= 5; ++i) x.handle_processed(1, one(1, i));
  CHECK(x.pending() == 3);
  x.handle_processed(1, one(2, 3));  // those that wait still rise
  const auto frame = x.poll_transmit();
  REQUIRE(frame);
  std::int64_t sum = 0;
  for (const auto& c : frame->last_command_checkpoints) sum += c.index;
  CHECK(frame->last_command_checkpoints.size() == 3);
  CHECK(sum == 1 + 1 + 2);
  // Those of the others come again with the next connection.
  x.handle_link_up(2);
  for (std::uint32_t i = 4; i <= 5; ++i) x.handle_processed(2, one(1, i));
  const auto rest = x.poll_transmit();
  REQUIRE(rest);
  CHECK(rest->last_command_checkpoints.size() == 2);
}

TEST_CASE("I13 backpressure: a burst leaves in frames of limited size") {
  ack_aggregator x;
  x.handle_link_up(1);
  for (int i = 0; i < 3000; ++i) x.handle_processed(1, points{{actor_id{std::to_string(i)}, 1, 1}});
  std::size_t sent = 0;
  while (const auto frame = x.poll_transmit()) {
    CHECK(frame->last_command_checkpoints.size() <= 1400);
    sent += frame->last_command_checkpoints.size();
    x.handle_written(1);
  }
  CHECK(sent == 3000);
}

TEST_CASE(
    "I5 acks complete: ids of any length leave in frames that an engine takes, and count as kept") {
  ack_aggregator x{{.frame_bytes_max = 1000, .pending_bytes_max = 10'000}};
  const auto id = [](std::size_t size, int n) {
    return actor_id{std::to_string(n) + std::string(size, 'x')};
  };
  x.handle_link_up(1);
  for (int i = 0; i < 5; ++i) x.handle_processed(1, points{{id(400, i), 1, 1}});
  x.handle_processed(1, points{{id(3000, 5), 1, 1}});
  x.handle_processed(1, points{{id(9000, 6), 1, 1}});  // there is no room for it
  std::size_t sent = 0;
  while (const auto frame = x.poll_transmit()) {
    std::size_t bytes = 0;
    for (const auto& c : frame->last_command_checkpoints) bytes += c.actor_id.view().size();
    if (frame->last_command_checkpoints.size() > 1) CHECK(bytes <= 1000);
    sent += frame->last_command_checkpoints.size();
    x.handle_written(1);
  }
  CHECK(sent == 6);
  // What has left takes no room any more.
  x.handle_processed(1, points{{id(9000, 6), 1, 1}});
  CHECK(x.pending() == 1);
}

}  // namespace ack_aggregator_test
