// The demo's verdict: a good report has no objections, and each wrong number causes its own.
#include <doctest/doctest.h>

#include <functional>

#include "demo_report.hpp"

namespace demo_report_test {

using namespace nuncio;

namespace {

using texts = std::vector<std::string>;

/// A run of which every number is as it must be, and no two that are not to be equal are.
demo_numbers good_report() {
  demo_numbers x;
  x.wire.commands = 100;
  x.wire.starts = 60;
  x.wire.stops = 40;
  x.wire.deliveries = 170;
  x.wire.duplicates_of = {20, 30, 10};
  x.engine.emplace();
  x.engine->commands_issued = 100;
  x.host.ingress.commands = 170;
  x.host.ingress.dispatched = 100;
  x.host.ingress.starts = 60;
  x.host.ingress.stops = 40;
  x.host.ledger.duplicates = 65;
  x.host.ledger.superseded = 5;
  x.factory_calls = 60;
  x.work.created = 12;
  x.work.destroyed = 12;
  x.work.requests = 230;
  x.work.answered = 220;
  x.work.failed = 10;
  return x;
}

struct wrong_number {
  const char* what;
  std::function<void(demo_numbers&)> spoil;
  texts objections;
};

}  // namespace

TEST_CASE(
    "the demo's verdict: a good report gives no objection, with the engine's counters or without") {
  auto x = good_report();
  CHECK(objections(x) == texts{});
  x.engine.reset();
  CHECK(objections(x) == texts{});
  // What may be any number.
  x.wire.duplicates = 70;
  x.wire.re_acked = 65;
  x.wire.cuts = 7;
  x.wire.unacked = 3;
  x.host.ledger.entries = x.host.ledger.gone = 9;
  x.host.outbox.resent = 4;
  x.work.calls_failed = 2;
  x.work.sleeps = 8;
  x.last_reconnects = 3;
  CHECK(objections(x) == texts{});
}

TEST_CASE("the demo's verdict: each wrong number gives its objection") {
  const wrong_number all[] = {
      {"a delivery that the host did not see",
       [](auto& x) { x.host.ingress.commands = 169; },
       {"commands received by the host (169) is not deliveries on the wire (170)"}},
      {"a command carried out twice",
       [](auto& x) { x.host.ingress.dispatched = 101; },
       {"dispatched (101) is not distinct commands delivered (100)",
        "dispatched + duplicates + superseded + expired (171) is not deliveries (170)"}},
      {"a distinct command more on the wire",
       [](auto& x) {
         x.engine.reset();
         x.wire.commands = 101;
       },
       {"dispatched (100) is not distinct commands delivered (101)"}},
      {"a duplicate that the ledger did not see",
       [](auto& x) { x.host.ledger.duplicates = 64; },
       {"dispatched + duplicates + superseded + expired (169) is not deliveries (170)"}},
      {"a command superseded that never came",
       [](auto& x) { x.host.ledger.superseded = 6; },
       {"dispatched + duplicates + superseded + expired (171) is not deliveries (170)"}},
      {"a Start carried out twice",
       [](auto& x) { x.host.ingress.starts = 61; },
       {"Starts dispatched (61) is not distinct Starts delivered (60)"}},
      {"a Stop not carried out",
       [](auto& x) { x.host.ingress.stops = 39; },
       {"Stops dispatched (39) is not distinct Stops delivered (40)"}},
      {"a factory called once more",
       [](auto& x) { x.factory_calls = 61; },
       {"factory calls (61) is not distinct Starts delivered (60)"}},
      {"a factory called twice for one generation",
       [](auto& x) { x.factory_calls_repeated = 1; },
       {"repeated factory calls: 1, must be 0"}},
      {"a Start that was too old",
       [](auto& x) {
         x.host.ledger.expired = 1;
         x.host.ledger.superseded = 4;
       },
       {"Starts too old to run: 1, must be 0"}},
      {"no duplicate after a delivery",
       [](auto& x) { x.wire.duplicates_of[0] = 0; },
       {"duplicates after a cut after delivery, before the ack: none"}},
      {"no duplicate after a lost ack",
       [](auto& x) { x.wire.duplicates_of[1] = 0; },
       {"duplicates after a cut with acks in flight: none"}},
      {"no duplicate after a Stop",
       [](auto& x) { x.wire.duplicates_of[2] = 0; },
       {"duplicates after a cut between Stop and Stopped: none"}},
      {"a replay at the end",
       [](auto& x) { x.wire.replayed_last = 2; },
       {"commands replayed on the last reconnect: 2, must be 0"}},
      {"an ack that never arrived",
       [](auto& x) { x.wire.unacked_engine = 1; },
       {"commands whose ack never reached the engine: 1, must be 0"}},
      {"an ack for nothing",
       [](auto& x) { x.wire.acks_unfounded = 1; },
       {"acks for commands that were never delivered: 1, must be 0"}},
      {"a Stopped said twice",
       [](auto& x) { x.wire.stopped_twice = 1; },
       {"Stopped sent twice on one connection: 1, must be 0"}},
      {"an actor lost, on the wire",
       [](auto& x) { x.wire.lost = 1; },
       {"actors that the engine gave up as lost: 1, must be 0"}},
      {"a message that the proxy can't decode",
       [](auto& x) { x.wire.undecodable = 1; },
       {"messages that do not decode: 1, must be 0"}},
      {"a message that the host can't decode",
       [](auto& x) { x.host.link.bad_frames = 1; },
       {"messages that do not decode: 1, must be 0"}},
      {"an instance left",
       [](auto& x) { x.host.ingress.instances = 1; },
       {"instances left in the host: 1, must be 0"}},
      {"an entry of an actor that lives",
       [](auto& x) { x.host.ledger.entries = x.host.ledger.gone + 1; },
       {"ledger entries of actors that live: 1, must be 0"}},
      {"an actor not destroyed",
       [](auto& x) { x.work.destroyed = 11; },
       {"actors destroyed (11) is not actors created (12)"}},
      {"no answer at all",
       [](auto& x) {
         x.work.answered = 0;
         x.work.failed = 230;
       },
       {"HTTP requests answered: none"}},
      {"a request without an answer",
       [](auto& x) { x.work.silent = 1; },
       {"HTTP requests without any answer: 1, must be 0"}},
      {"a request with a wrong answer",
       [](auto& x) { x.work.wrong = 1; },
       {"HTTP requests with a wrong answer: 1, must be 0"}},
      {"a request of which nothing is known",
       [](auto& x) { x.work.requests = 231; },
       {"HTTP requests (231) is not answered + failed with a reason (230)"}},
      {"a command issued and never delivered",
       [](auto& x) { x.engine->commands_issued = 101; },
       {"commands issued by the engine (101) is not distinct commands delivered (100)"}},
      {"a command that the engine holds",
       [](auto& x) { x.engine->commands_left = 1; },
       {"commands that the engine still holds: 1, must be 0"}},
      {"an actor lost, as the engine counts",
       [](auto& x) { x.engine->actors_lost = 1; },
       {"actors lost, as the engine counts: 1, must be 0"}}};
  for (const auto& wrong : all) {
    CAPTURE(wrong.what);
    auto x = good_report();
    wrong.spoil(x);
    CHECK(objections(x) == wrong.objections);
  }
}

TEST_CASE("the demo's verdict: no counts at all are no success") {
  CHECK(
      objections({}) == texts{
                            "duplicates after a cut after delivery, before the ack: none",
                            "duplicates after a cut with acks in flight: none",
                            "duplicates after a cut between Stop and Stopped: none",
                            "HTTP requests answered: none"});
}

}  // namespace demo_report_test
