// link_machine: the decisions of a link, without a socket and with time passed in by the test.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <nuncio/codec.hpp>
#include <nuncio/connection/link_machine.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace nuncio::link_machine_test {

using namespace std::chrono_literals;

constexpr std::uint16_t version = 8;

struct fixture {
  fixture() { machine.handle_start({.protocol_version = version}); }

  // Names of what the machine wants done, in order; batches are granted back by the test.
  std::vector<std::string> outputs() {
    static constexpr std::array names{
        "dial",
        "reset",
        "close_socket",
        "set_reading",
        "request_write",
        "up",
        "inbound",
        "written",
        "fence",
        "down",
        "lease_ended",
        "ask",
        "over"};
    std::vector<std::string> out;
    while (auto x = machine.poll_output()) {
      out.emplace_back(names.at(x->index()));
      last = std::move(*x);
    }
    return out;
  }

  void open() {
    machine.handle_open(now);
    say(protocol::to_envoy_init{.metadata = {.envoy_lost_threshold = 15000}});
    ping();
    outputs();
  }

  void say(protocol::to_envoy x) {
    machine.handle_message(std::move(x), {10, received += 10, now});
    machine.handle_batch_end(now);
  }

  void ping() {
    say(protocol::to_envoy_ping{now.time_since_epoch() / 1ms});
    machine.poll_frame(now);  // the Pong
  }

  void lose() { machine.handle_gone({connection_end::kind::lost, 0, 0, "cut"}, now); }

  // Reconnects as soon as it may.
  void come_back() {
    outputs();
    const auto at = machine.poll_timeout();
    REQUIRE(at);
    now = std::max(now, *at);
    machine.expire(now, received);
    REQUIRE(outputs() == strings{"dial"});
    open();
  }

  using strings = std::vector<std::string>;

  // "ping" or the name of a message, of all that may leave now.
  strings leaves() {
    strings out;
    while (auto x = machine.poll_frame(now)) {
      if (x->is_ping) {
        ping_number = outbound_queue::ping_number_of(x->buffer).value();
        out.emplace_back("ping");
        continue;
      }
      auto message = protocol::decode_to_rivet(bytes{std::move(x->buffer)}, version);
      REQUIRE(message);
      const auto* tunnel = std::get_if<protocol::to_rivet_tunnel_message>(&*message);
      out.push_back(
          tunnel != nullptr ? std::to_string(tunnel->message_id.message_index)
                            : std::string{protocol::name_of(*message)});
    }
    return out;
  }

  strings leaves_but_pings() {
    auto out = leaves();
    std::erase(out, "ping");
    return out;
  }

  static protocol::to_rivet_response_start whole_response(std::size_t size = 0) {
    protocol::to_rivet_response_start out;
    out.body = bytes::copy_of(std::vector<std::uint8_t>(size));
    return out;
  }

  static protocol::to_rivet_response_start part_of_response() {
    protocol::to_rivet_response_start out;
    out.stream = true;
    return out;
  }

  static protocol::to_rivet_response_chunk last_chunk() {
    protocol::to_rivet_response_chunk out;
    out.finish = true;
    return out;
  }

  static protocol::to_rivet_web_socket_close hibernating_close() {
    protocol::to_rivet_web_socket_close out;
    out.hibernate = true;
    return out;
  }

  // The engine has read what was written.
  void confirm() {
    now += 100ms;
    CHECK(leaves() == strings{"ping"});
    machine.handle_pong(ping_number, now);
    outputs();
  }

  outcome<void> tell(std::uint16_t index, protocol::to_rivet_tunnel_message_kind what) {
    protocol::to_rivet_tunnel_message x;
    x.message_id.message_index = index;
    x.message_kind = std::move(what);
    return machine.intake().send_across_connections({gate, {}}, std::move(x));
  }

  outcome<void> answer(std::uint16_t index) {
    return tell(index, protocol::to_rivet_response_abort{});
  }

  link_machine make() {
    return {
        {.policy = {},
         .lease = {},
         .outbound = {},
         .inbound = {.messages = 4, .bytes = 1000},
         .inbound_message_bytes_max = 100,
         .token_renewable = false,
         .endpoint = {},
         .pool = {},
         .envoy_key = {},
         .log = {}},
        [this] { ++wakes; }};
  }

  time_point now{1000s};
  std::uint64_t received = 0, ping_number = 0;
  int wakes = 0;
  std::shared_ptr<output_gate> gate = std::make_shared<output_gate>(1);
  link_output::any last;
  link_machine machine = make();
};

using strings = fixture::strings;

TEST_CASE_FIXTURE(fixture, "I13 backpressure: short messages count as kept, not as sent") {
  std::size_t kept = 0;
  for (std::uint16_t i = 0; answer(i); ++i) {
    kept += sizeof(outbound_message) + 256;  // which the encoder reserves
    REQUIRE(kept < outbound_bounds{}.clients);
  }
  CHECK(machine.stats().outbound_bytes <= outbound_bounds{}.clients);
}

TEST_CASE_FIXTURE(fixture, "a connection comes up, and is dialled again after it is lost") {
  CHECK(outputs() == strings{"dial"});
  machine.handle_open(now);
  CHECK(outputs() == strings{"up", "request_write"});
  CHECK(machine.up());
  lose();
  CHECK(outputs() == strings{"down"});
  CHECK_FALSE(machine.up());
  CHECK(
      machine.intake()
          .send_frame(frame_class::ack, 1, protocol::to_rivet_ack_commands{})
          .error()
          .code == errc::link_lost);
  come_back();
  CHECK(machine.stats().connections == 2);
}

TEST_CASE_FIXTURE(
    fixture,
    "I12 nothing silent: messages that the engine may not have read move to the next connection, "
    "in order") {
  open();
  REQUIRE(answer(1));
  REQUIRE(answer(2));
  CHECK(leaves() == strings{"1", "2"});
  REQUIRE(answer(3));
  lose();
  come_back();
  CHECK(leaves() == strings{"1", "2", "3"});
  CHECK(machine.stats().moved == 3);
  now += 100ms;
  CHECK(leaves() == strings{"ping"});
  machine.handle_pong(ping_number, now);
  CHECK(machine.stats().outbound_bytes == 0);
  lose();
  come_back();
  CHECK(leaves().empty());
}

// The real engine answers a ping when it has read it, and forgets with the connection what it has read and not handled.
TEST_CASE_FIXTURE(
    fixture,
    "I12 nothing silent: the end of an exchange that the engine has just read is sent again after "
    "a cut") {
  open();
  REQUIRE(tell(1, whole_response()));
  REQUIRE(tell(2, last_chunk()));
  REQUIRE(tell(3, protocol::to_rivet_web_socket_close{}));
  // A second copy of these would do harm.
  REQUIRE(tell(4, part_of_response()));
  REQUIRE(tell(5, protocol::to_rivet_response_chunk{}));
  REQUIRE(tell(6, protocol::to_rivet_response_abort{}));
  REQUIRE(tell(7, hibernating_close()));
  CHECK(leaves() == strings{"1", "2", "3", "4", "5", "6", "7"});
  confirm();
  CHECK(machine.stats().outbound_bytes == 0);
  REQUIRE(tell(8, whole_response()));
  lose();
  come_back();
  CHECK(leaves() == strings{"1", "2", "3", "8"});
  CHECK(machine.stats().moved == 4);
  confirm();
  CHECK(machine.stats().outbound_bytes == 0);
}

TEST_CASE_FIXTURE(fixture, "what the engine read a second before a cut is not sent again") {
  open();
  REQUIRE(tell(1, whole_response()));
  CHECK(leaves() == strings{"1"});
  confirm();
  now += 500ms;
  REQUIRE(tell(2, whole_response()));
  CHECK(leaves() == strings{"2"});
  confirm();
  REQUIRE(machine.poll_timeout() == now + 400ms);  // 1, 100 ms before 2 was read
  now += 400ms;
  machine.expire(now, received);
  CHECK(machine.poll_timeout() == now + 600ms);
  lose();
  now += 5s;  // how long the connection is down plays no part
  come_back();
  CHECK(leaves() == strings{"2"});
}

TEST_CASE_FIXTURE(
    fixture, "I13 backpressure: of what the engine has just read, the last 4 MiB are kept") {
  open();
  for (std::uint16_t i = 1; i <= 5; ++i) REQUIRE(tell(i, whole_response(1UL << 20U)));
  strings all;
  while (all.size() < 5)
    for (auto& x : leaves())
      x == "ping" ? machine.handle_pong(ping_number, now) : all.push_back(std::move(x));
  confirm();
  lose();
  come_back();
  CHECK(leaves_but_pings() == strings{"3", "4", "5"});
}

TEST_CASE_FIXTURE(
    fixture,
    "I13 backpressure: a long response takes no other's place among those that were just read") {
  open();
  REQUIRE(tell(1, whole_response()));
  REQUIRE(tell(2, whole_response(5UL << 20U)));
  CHECK(leaves() == strings{"1", "2", "ping"});  // at once, after that many bytes
  machine.handle_pong(ping_number, now);
  lose();
  come_back();
  CHECK(leaves() == strings{"1"});
}

TEST_CASE_FIXTURE(
    fixture, "I14 single writer: nothing that the engine has just read outlives the lease") {
  open();
  REQUIRE(tell(1, whole_response()));
  CHECK(leaves() == strings{"1"});
  confirm();
  lose();
  outputs();
  now += 20s;
  machine.expire(now, received);
  CHECK(outputs() == strings{"lease_ended", "dial"});
  const std::weak_ptr kept = gate;
  gate.reset();
  CHECK(kept.expired());  // and with it the message
}

TEST_CASE_FIXTURE(fixture, "a client's WebSocket message is sent once, whatever happens to it") {
  open();
  REQUIRE(tell(1, protocol::to_rivet_web_socket_message{}));
  REQUIRE(answer(2));
  CHECK(leaves() == strings{"1", "2"});
  lose();
  come_back();
  CHECK(leaves() == strings{"2"});
}

TEST_CASE_FIXTURE(
    fixture, "I8 one truth: a frame dies with the connection for which it was queued") {
  open();
  REQUIRE(machine.intake().send_frame(frame_class::ack, 1, protocol::to_rivet_ack_commands{}));
  lose();
  come_back();
  CHECK(leaves().empty());
  CHECK(machine.stats().discarded == 1);
}

TEST_CASE_FIXTURE(
    fixture,
    "I10 events arrive: a fence is passed when the pong of a ping behind all that was queued is "
    "back") {
  open();
  REQUIRE(answer(1));
  machine.intake().fence(1, 7);
  machine.intake().fence(1, 8);
  CHECK(leaves() == strings{"1", "ping"});    // the second one waits for the first
  machine.handle_pong(ping_number + 1, now);  // none of ours
  CHECK(outputs() == strings{"request_write"});
  machine.handle_pong(ping_number, now);
  CHECK(outputs() == strings{"fence", "request_write"});
  CHECK(leaves() == strings{"ping"});
  machine.handle_pong(ping_number, now);
  REQUIRE(outputs() == strings{"fence", "request_write"});
}

TEST_CASE_FIXTURE(fixture, "a socket that takes nothing is asked once to confirm what was sent") {
  open();
  REQUIRE(answer(1));
  CHECK(leaves() == strings{"1"});
  const auto at = machine.poll_timeout();
  REQUIRE(at == now + 100ms);
  now = *at;
  machine.expire(now, received);
  CHECK(outputs() == strings{"request_write"});
  REQUIRE(machine.poll_timeout());
  CHECK(*machine.poll_timeout() > now + 1s);
  CHECK(leaves() == strings{"ping"});
}

TEST_CASE_FIXTURE(
    fixture, "I14 single writer: once the lease has ended, nothing that waits is sent any more") {
  open();
  const auto end = machine.poll_timeout();
  REQUIRE(end);
  REQUIRE(answer(1));
  REQUIRE(machine.intake().send_frame(frame_class::ack, 1, protocol::to_rivet_ack_commands{}));
  now = *end - 1ms;
  CHECK(leaves() == strings{"1", "ToRivetAckCommands"});
  REQUIRE(answer(2));
  now = *end;
  CHECK(leaves().empty());  // frozen till then: no timer has said so
  CHECK(outputs() == strings{"lease_ended", "reset"});
  CHECK(machine.stats().outbound_bytes == 0);
  lose();
  REQUIRE(answer(3));  // the host has not heard of it yet
  come_back();
  CHECK(leaves().empty());
  gate = std::make_shared<output_gate>(2);
  REQUIRE(answer(4));
  CHECK(leaves() == strings{"4"});
}

TEST_CASE_FIXTURE(
    fixture, "I14 single writer: the lease ends on time while the host is not connected") {
  open();
  lose();
  outputs();
  machine.expire(now + 1s, received);  // a dial that goes nowhere
  CHECK(outputs() == strings{"dial"});
  machine.expire(now + 15s, received);
  CHECK(outputs() == strings{"lease_ended"});
}

TEST_CASE_FIXTURE(fixture, "a closed gate lets nothing out, even if it was queued before") {
  open();
  REQUIRE(answer(1));
  gate->open = false;
  CHECK(leaves().empty());
  CHECK(machine.stats().outbound_bytes == 0);
  CHECK(answer(2).error().code == errc::cancelled);
}

TEST_CASE_FIXTURE(fixture, "a message before Init renews the connection, and is not handed on") {
  machine.handle_open(now);
  outputs();
  say(protocol::to_envoy_ping{});
  CHECK(outputs() == strings{"reset"});
  CHECK(machine.stats().bad_frames == 1);
  say(protocol::to_envoy_init{});
  CHECK(outputs().empty());
}

TEST_CASE_FIXTURE(
    fixture,
    "a connection whose engine stays silent at first is ended, unless part of a message has "
    "arrived") {
  machine.handle_open(now);
  outputs();
  auto due = machine.poll_timeout();
  REQUIRE(due);
  machine.expire(*due, received + 1);
  CHECK(outputs().empty());
  due = machine.poll_timeout();
  machine.expire(*due, received + 1);
  CHECK(outputs() == strings{"reset"});
}

TEST_CASE_FIXTURE(
    fixture, "I13 backpressure: the socket is not read while too much is not granted back") {
  open();
  machine.credit().handle_granted(2, 20);  // of open()
  for (int i = 0; i < 4; ++i) say(protocol::to_envoy_ack_events{});
  CHECK(outputs() == strings{"inbound", "inbound", "inbound", "inbound"});
  say(protocol::to_envoy_ack_events{});
  CHECK(outputs() == strings{"inbound", "set_reading"});
  CHECK_FALSE(std::get<link_output::set_reading>(last).on);
  CHECK_FALSE(machine.credit().handle_granted(2, 20));
  CHECK(machine.credit().handle_granted(1, 10));
  machine.handle_wake();
  CHECK(outputs() == strings{"set_reading", "request_write"});
}

TEST_CASE_FIXTURE(fixture, "a close first sends what is queued, and then it is over") {
  open();
  REQUIRE(machine.intake().send_frame(
      frame_class::events, machine.intake().connection(), protocol::to_rivet_events{}));
  machine.handle_close(now);
  CHECK(outputs() == strings{"request_write"});
  CHECK(leaves() == strings{"ToRivetEvents"});
  CHECK(outputs() == strings{"close_socket"});
  machine.handle_close(now);
  CHECK(outputs().empty());
  lose();
  CHECK(outputs() == strings{"over"});
  CHECK(std::get<link_output::over>(last).why.code == errc::cancelled);
  CHECK(machine.over());
  CHECK_FALSE(machine.poll_timeout());
}

TEST_CASE_FIXTURE(
    fixture, "I12 nothing silent: a close waits until the engine has handled what it has read") {
  open();
  REQUIRE(tell(1, whole_response()));
  machine.handle_close(now);
  CHECK(leaves() == strings{"1"});
  CHECK(outputs() == strings{"request_write"});
  confirm();
  CHECK(leaves().empty());
  CHECK(outputs().empty());
  REQUIRE(machine.poll_timeout() == now + 1s);
  now += 1s;
  machine.expire(now, received);
  CHECK(outputs() == strings{"close_socket"});
}

TEST_CASE_FIXTURE(fixture, "a close waits 3 s for an engine that answers nothing") {
  open();
  REQUIRE(answer(1));
  machine.handle_close(now);
  const auto limit = now + 3s;
  CHECK(leaves() == strings{"1"});
  now += 100ms;
  CHECK(leaves() == strings{"ping"});
  CHECK(outputs() == strings{"request_write"});
  REQUIRE(machine.poll_timeout() == limit);
  now = limit;
  machine.expire(now, received);
  CHECK(outputs() == strings{"close_socket"});
  CHECK(machine.poll_timeout() > limit);
}

TEST_CASE_FIXTURE(fixture, "a close while it dials, or waits to, is over at once") {
  CHECK(outputs() == strings{"dial"});
  SUBCASE("dials") {
    machine.handle_close(now);
    CHECK(outputs() == strings{"reset"});
    lose();
    CHECK(outputs() == strings{"over"});
  }
  SUBCASE("waits") {
    lose();
    CHECK(outputs() == strings{"down"});
    machine.handle_close(now);
    CHECK(outputs() == strings{"over"});
  }
}

TEST_CASE_FIXTURE(fixture, "a connection that is lost while it closes is over, and not down") {
  open();
  machine.handle_close(now);
  CHECK(leaves().empty());
  lose();
  CHECK(outputs() == strings{"request_write", "close_socket", "over"});
}

TEST_CASE_FIXTURE(fixture, "a link that is over keeps nothing, and notifies waiters for room") {
  open();
  REQUIRE(answer(1));
  CHECK(leaves() == strings{"1"});
  REQUIRE(answer(2));
  machine.handle_close(now);
  const std::weak_ptr<output_gate> kept = gate;
  gate.reset();
  lose();
  outputs();
  CHECK(kept.expired());
  CHECK(machine.stats().outbound_bytes == 0);
  gate = std::make_shared<output_gate>(1);
  CHECK(answer(3).error().code == errc::cancelled);
}

TEST_CASE_FIXTURE(fixture, "the rest of a long message does not count for the next connection") {
  open();
  REQUIRE(machine.handle_long_message(
      protocol::to_envoy{protocol::to_envoy_commands{}}, {64, received, now}));
  machine.handle_part({}, false, {900, received, now});
  machine.handle_batch_end(now);
  lose();
  come_back();
  CHECK(std::get<link_output::inbound>(last).batch.bytes == 10);
  CHECK(machine.stats().reading_paused == 0);
}

TEST_CASE_FIXTURE(fixture, "a host's greeting is sent first on each connection") {
  machine.intake().greet({protocol::to_rivet_metadata{}}, false);
  REQUIRE(answer(1));
  outputs();
  machine.handle_open(now);
  CHECK(leaves() == strings{"ToRivetMetadata", "1"});
  lose();
  come_back();
  CHECK(machine.stats().connections == 2);
}

TEST_CASE_FIXTURE(fixture, "the owner is woken for the first message of a burst only") {
  open();
  wakes = 0;
  REQUIRE(answer(1));
  REQUIRE(answer(2));
  CHECK(wakes == 1);
  CHECK(leaves() == strings{"1", "2"});
  REQUIRE(answer(3));
  CHECK(wakes == 2);
}

TEST_CASE_FIXTURE(fixture, "I14 single writer: a host whose key another one has taken is over") {
  open();
  machine.handle_gone({connection_end::kind::closed, 0, 1000, "ws.eviction#ray"}, now);
  CHECK(outputs() == strings{"over"});
  CHECK(std::get<link_output::over>(last).why.code == errc::evicted);
  CHECK(answer(1).error().code == errc::cancelled);
  CHECK_FALSE(machine.poll_timeout());
}

}  // namespace nuncio::link_machine_test
