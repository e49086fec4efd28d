// Faults as text and what they decide.
#include <doctest/doctest.h>

#include <engine/fault_plan.hpp>
#include <nuncio/testing/fault.hpp>

namespace fault_test {

using namespace nuncio;
using namespace nuncio::testing;
using namespace nuncio::testing::engine;

namespace {

fault_plan with(std::string_view text) {
  fault_plan plan{1};
  auto f = parse_fault(text);
  REQUIRE(f);
  plan.add(*f, 0);
  return plan;
}

}  // namespace

TEST_CASE("every documented fault is read and written back") {
  for (const auto* x :
       {"drop",
        "drop:every=40",
        "drop:on=command",
        "reset:on=ack,count=3",
        "mute",
        "mute:read",
        "mute:write,ms=9",
        "stall:ms=500",
        "delay:ms=20,envoy=host",
        "duplicate",
        "reorder:count=2",
        "lose-acks:count=3",
        "lose-acks:fraction=0.25",
        "garbage",
        "garbage:every=10"}) {
    CAPTURE(x);
    const auto f = parse_fault(x);
    REQUIRE(f);
    const auto again = parse_fault(to_string(*f));
    REQUIRE(again);
    CHECK(*f == *again);
  }
  for (const auto* x :
       {"",
        "fire",
        "drop:every=0",
        "drop:every=x",
        "delay",
        "stall:ms=0",
        "lose-acks:fraction=2",
        "mute:on=ack",
        "drop:on=what",
        "drop:envoy="}) {
    CAPTURE(x);
    CHECK_FALSE(parse_fault(x));
  }
}

TEST_CASE("a fault that can't be parsed: the error says what is wrong and what is allowed there") {
  const auto why = [](std::string_view text) {
    const auto f = parse_fault(text);
    REQUIRE(!f);
    CHECK(f.error().code == errc::invalid_argument);
    return f.error().message;
  };
  const auto* kinds =
      "must be drop, reset, mute, stall, delay, duplicate, reorder, lose-acks or garbage";
  CHECK(why("fire") == std::string{"kind 'fire': "} + kinds);
  CHECK(why("") == std::string{"kind '': "} + kinds);
  CHECK(why("drop:on=foo") == "on 'foo': must be command, stop, ack or events");
  CHECK(why("drop:on") == "on '': must be command, stop, ack or events");
  CHECK(
      why("drop:onn=ack") ==
      "option 'onn': must be on, every, ms, read, write, fraction, count or envoy");
  CHECK(why("drop:envoy=") == "envoy '': must be an envoy key");
  CHECK(why("mute:read=1") == "read '1': takes no value");
  CHECK(why("stall") == "stall needs ms=N, with N above 0");
  CHECK(
      why("mute:on=ack") ==
      "mute: on= and every= belong to drop and reset, every= also to garbage");
}

TEST_CASE("5.6: every number of a fault has a range") {
  struct option {
    std::string_view before, name, low, high;
  };

  for (const auto& x :
       {option{"drop:", "count", "0", "1000000000"},
        option{"delay:", "ms", "0", "86400000"},
        option{"drop:", "every", "1", "1000000000"},
        option{"lose-acks:", "fraction", "0", "1"}})
    for (const auto* value :
         {"",
          "-1",
          "-0.1",
          "1000000001",
          "1e400",
          "9223372036854775807",
          "18446744073709551616",
          "nan",
          "inf",
          " 1",
          "0x1",
          "1x"}) {
      const auto text = std::string{x.before} + std::string{x.name} + "=" + value;
      CAPTURE(text);
      const auto f = parse_fault(text);
      REQUIRE(!f);
      CHECK(f.error().code == errc::invalid_argument);
      CHECK(f.error().message.ends_with(
          std::string{x.name} + " '" + value + "': must be " + std::string{x.low} + " to " +
          std::string{x.high}));
    }
}

TEST_CASE("lose-acks:count=3 loses three") {
  auto plan = with("lose-acks:count=3");
  int lost = 0;
  for (int i = 0; i < 10; ++i) lost += plan.inbound(frame_kind::ack, "h", 0).ignore;
  CHECK(lost == 3);
  CHECK(plan.list().empty());
}

TEST_CASE("drop:on=command cuts after the next command, once") {
  auto plan = with("drop:on=command");
  CHECK(plan.outbound(frame_kind::other, "h", 0).cut == cut_kind::none);
  CHECK(plan.outbound(frame_kind::start, "h", 0).cut == cut_kind::drop);
  CHECK(plan.outbound(frame_kind::start, "h", 0).cut == cut_kind::none);
}

TEST_CASE("mute and stall end with their time, and touch only their envoy") {
  auto plan = with("mute:read,ms=50,envoy=h");
  CHECK_FALSE(plan.reads("h", 10));
  CHECK(plan.reads("other", 10));
  CHECK(plan.writes("h", 10));
  CHECK(plan.reads("h", 50));
}

}  // namespace fault_test
