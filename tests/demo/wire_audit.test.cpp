// The demo's proxy: its audit and its frames, tested by calls. The proof depends on them.
#include "proxy/wire_audit.hpp"

#include <doctest/doctest.h>

#include "proxy/frame_splitter.hpp"

using namespace nuncio;
using namespace nuncio::proxy;

namespace {

protocol::actor_checkpoint at(std::int64_t index) { return {actor_id{"a1"}, 1, index}; }

protocol::to_envoy commands(std::initializer_list<std::int64_t> indexes) {
  protocol::to_envoy_commands out;
  for (const auto i : indexes) {
    protocol::command_wrapper c;
    c.checkpoint = at(i);
    if (i > 1) c.inner = protocol::command_stop_actor{};
    out.commands.push_back(c);
  }
  return out;
}

protocol::to_rivet acks(std::int64_t index) {
  protocol::to_rivet_ack_commands out;
  out.last_command_checkpoints.push_back(at(index));
  return out;
}

}  // namespace

TEST_CASE("a delivery whose ack was swallowed is a duplicate of that cut when it comes again") {
  wire_audit a;
  a.handle_connection();
  CHECK(a.handle_to_host(commands({1})) == passage::forward);
  a.arm(cut_moment::ack_in_flight);
  CHECK(a.handle_to_engine(acks(1)) == passage::swallow_then_cut);
  CHECK(a.handle_to_engine(acks(1)) == passage::swallow);
  CHECK(a.stats().unacked_engine == 1);
  a.handle_cut();
  a.handle_connection();
  a.handle_to_host(commands({1}));
  CHECK(a.stats().replayed_last == 1);
  CHECK(a.stats().commands == 1);
  CHECK(a.stats().duplicates == 1);
  CHECK(a.stats().duplicates_of[static_cast<std::size_t>(cut_moment::ack_in_flight)] == 1);
  CHECK(a.handle_to_engine(acks(1)) == passage::forward);
  CHECK(a.stats().re_acked == 1);
  CHECK(a.stats().unacked_engine == 0);
}

TEST_CASE("a cut during Stop waits for a Stop; a replay ends with the first Ping") {
  wire_audit a;
  a.handle_connection();
  a.arm(cut_moment::during_stop);
  CHECK(a.handle_to_host(commands({1})) == passage::forward);
  CHECK(a.handle_to_host(protocol::to_envoy_ping{}) == passage::forward);
  CHECK(a.handle_to_host(commands({2})) == passage::forward_then_cut);
  CHECK_FALSE(a.armed());
  CHECK(a.stats().replayed_last == 1);
  CHECK(a.stats().stops == 1);
}

TEST_CASE("an ack covers lower indexes, and one for an unknown checkpoint is reported") {
  wire_audit a;
  a.handle_connection();
  a.handle_to_host(commands({1, 2}));
  a.handle_to_engine(acks(2));
  CHECK(a.stats().unacked == 0);
  CHECK(a.stats().acks_unfounded == 0);
  a.handle_to_engine(acks(3));
  CHECK(a.stats().acks_unfounded == 1);
}

TEST_CASE("Stopped twice on one connection is reported, on two it is not") {
  wire_audit a;
  protocol::to_rivet_events events;
  events.events.push_back(
      {at(250), protocol::event_actor_state_update{protocol::actor_state_stopped{}}});
  a.handle_connection();
  a.handle_to_engine(events);
  a.handle_connection();
  a.handle_to_engine(events);
  CHECK(a.stats().stopped_twice == 0);
  a.handle_to_engine(events);
  CHECK(a.stats().stopped_twice == 1);
}

TEST_CASE("frames are cut apart at any split, unmasked for reading and unchanged for forwarding") {
  // Two fragments of "abcd", masked with 1, 2, 3, 4, and a ping between them.
  const std::string first{"\x02\x82\x01\x02\x03\x04`\x60", 8};
  const std::string ping{"\x89\x80\x00\x00\x00\x00", 6};
  const std::string last{"\x80\x82\x00\x00\x00\x00yz", 8};
  const auto all = first + ping + last;
  for (std::size_t split = 0; split <= all.size(); ++split) {
    CAPTURE(split);
    frame_splitter s;
    std::vector<frame_piece> out;
    REQUIRE(s.feed(all.substr(0, split), out));
    REQUIRE(s.feed(all.substr(split), out));
    REQUIRE(out.size() == 2);
    CHECK(out[0].raw == ping);
    CHECK(out[1].raw == first + last);
    CHECK(out[1].message);
    CHECK(out[1].payload == "abyz");
  }
}
