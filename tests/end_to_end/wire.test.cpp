// What can go wrong on a connection: frames that are not messages, truncated frames, silence without an end. Each costs the
// connection, and no actor anything.
#include <fmt/format.h>

#include <future>
#include <nuncio/codec.hpp>

#include "command_judges.hpp"
#include "fixture.hpp"
#include "tunnel_judges.hpp"

namespace nuncio::e2e {
namespace {

using namespace protocol;
using octets_of = std::vector<std::uint8_t>;

octets_of encoded(const to_envoy& m) {
  auto out = encode(m, 8);
  if (!out) FAIL(out.error().message);
  return std::move(*out);
}

octets_of with(octets_of x, std::size_t at, std::uint8_t value) {
  x.at(at) = value;
  return x;
}

struct wire_case : hosted_pool {
  explicit wire_case(const case_setup& setup = {}) : hosted_pool(setup) {}

  // A Stop that the engine never sent.
  [[nodiscard]] octets_of stop() const {
    return encoded(to_envoy_commands{
        {{.checkpoint = {.actor_id = actor_id{id}, .generation = 1, .index = 2},
          .inner = command_stop_actor{stop_actor_reason::sleep_intent}}}});
  }

  // The connection is given up for `reason` once `bad` was sent, and the `renewals`-th after it serves.
  void check_refused(
      const std::function<void()>& bad, std::string_view reason, std::size_t renewals = 1) {
    const auto frames = host->stats().link.bad_frames;
    const auto connections = proxy->records().size() + renewals;
    const auto logged = fmt::format("reason={} bytes=", reason);
    const auto before = count(logged);
    bad();
    CHECK(await([&] { return count(logged) > before; }));
    CHECK(host->stats().link.bad_frames == frames + 1);
    CHECK(await([&] { return proxy->records().size() == connections && proxy->last().barrier; }));
    check_unharmed();
  }

  [[nodiscard]] std::size_t count(std::string_view in_log) const {
    const auto log = host->log();
    std::size_t n = 0;
    for (auto at = log.find(in_log); at != std::string::npos; at = log.find(in_log, at + 1)) ++n;
    return n;
  }

  // The same instance answers, with what it knew, and has run nothing twice.
  void check_unharmed() {
    const auto reply = client.post(id, "/increment");
    CHECK(reply.status == 200);
    CHECK(reply.body == std::to_string(++increments));
    CHECK(reply.header("x-instance") == instance);
  }

  std::string id = client.create_running("probe");
  std::string instance{client.get(id, "/n").header("x-instance")};
  int increments = 0;
};

struct impatient_case : wire_case {
  impatient_case() : wire_case({.ping_after = 500ms, .hangup_after = 2s}) {}
};

}  // namespace

TEST_SUITE_BEGIN("wire");

TEST_CASE_FIXTURE(
    wire_case, "a frame that is not a message: logged with its offset, and the actors go on") {
  const auto ping = encoded(to_envoy_ping{1});
  REQUIRE(ping.size() == 9);
  auto longer = ping;
  longer.push_back(0);
  auto half = stop();
  half.resize(half.size() / 2);

  const struct {
    const char* what;
    octets_of frame;
    const char* reason;
  } frames[] = {
      {"nothing", {}, "offset 0: truncated"},
      {"garbage", {0xff, 0xff, 0xff, 0xff}, "offset 4: truncated"},
      {"an unknown tag", with(ping, 0, 99), "offset 0: unknown union tag"},
      {"half a Ping", {ping.begin(), ping.begin() + 5}, "offset 1: truncated"},
      {"a byte too many", longer, "offset 9: trailing bytes"},
      {"half a Stop", half, "offset 2: length is larger than what is left"},
      {"a second Init", encoded(to_envoy_init{}), "a second Init"},
  };

  for (const auto& each : frames) {
    CAPTURE(std::string{each.what});
    check_refused([&] { proxy->send_to_host(each.frame); }, each.reason);
  }
  CHECK(host->factory_calls() == 1);
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(wire_case, "a message longer than any limit: the connection is renewed") {
  const auto connections = proxy->records().size();
  proxy->send_to_host(octets_of((32U << 20U) + 1U));
  CHECK(proxy->await_barrier(connections + 1));
  CHECK(host->log().find("the engine broke the protocol") != std::string::npos);
  check_unharmed();
  CHECK(host->factory_calls() == 1);
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(
    wire_case, "commands after a bad frame on the same connection are not carried out") {
  check_refused(
      [&] {
        proxy->send_to_host({0});
        for (int i = 0; i < 3; ++i) proxy->send_to_host(stop());
      },
      "offset 1: truncated");
  CHECK(host->stats().ingress.stops == 0);
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(wire_case, "a command before Init is refused, and not considered done") {
  check_refused(
      [&] {
        proxy->greet_host(stop());
        proxy->cut();
      },
      "ToEnvoyCommands came before Init",
      2);
  CHECK(host->stats().ingress.stops == 0);
  // The engine's own, with the same index, is carried out.
  must(client.sleep(id));
  CHECK(client.await_sleeping(id).sleeping);
  CHECK(client.get(id, "/generation").body == "2");
  CHECK(host->stats().ingress.stops == 1);
  CHECK(host->factory_calls() == 2);
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(wire_case, "a truncated Start and a truncated Stop are sent again") {
  proxy->judge_to_host(at_first(fate::spoil, is_start));
  const auto other = client.create_running("probe");
  CHECK(host->stats().link.bad_frames == 1);
  CHECK(client.get(other, "/generation").body == "1");
  proxy->judge_to_host(at_first(fate::spoil, is_stop));
  must(client.sleep(other));
  CHECK(client.await_sleeping(other).sleeping);
  CHECK(await([&] { return host->stats().ingress.stops == 1; }));
  CHECK(host->stats().link.bad_frames == 2);
  CHECK(client.get(other, "/generation").body == "2");
  CHECK(host->factory_calls() == 3);
  check_unharmed();
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(wire_case, "a cut in the middle of a frame towards the host") {
  auto connections = proxy->records().size();
  proxy->judge_to_host(at_first(fate::cut_inside, is_start));
  const auto other = client.create_running("probe");
  CHECK(proxy->records().size() == ++connections);
  proxy->judge_to_host(at_first(fate::cut_inside, is_stop));
  must(client.sleep(other));
  CHECK(await([&] { return host->stats().ingress.stops == 1; }));
  CHECK(proxy->records().size() == ++connections);
  CHECK(client.await_sleeping(other).sleeping);
  CHECK(client.get(other, "/generation").body == "2");
  CHECK(host->factory_calls() == 3);
  CHECK(host->stats().link.bad_frames == 0);
  check_unharmed();
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(wire_case, "a cut in the middle of a frame towards the engine") {
  auto connections = proxy->records().size();
  for (const auto& step : std::vector<cut_step>{
           {"Running", at_first(fate::cut_inside, says<actor_state_running>)},
           {"the ack of a Start", at_first(fate::cut_inside, acks(1))}}) {
    CAPTURE(std::string{step.name});
    proxy->judge_to_engine(step.to_engine);
    const auto other = client.create_running("probe");
    CHECK(proxy->await_barrier(++connections));
    CHECK(client.get(other, "/generation").body == "1");
  }
  CHECK(host->factory_calls() == 3);
  // A response, in one frame and in several.
  for (const auto size : {1000, 700'000}) {
    CAPTURE(size);
    proxy->judge_to_engine(nth<to_rivet_response_start>(1, fate::cut_inside));
    const auto reply = client.get(id, fmt::format("/big?bytes={}", size));
    CHECK(reply.status == 200);
    CHECK((reply.body == std::string(static_cast<std::size_t>(size), 'x')));
    CHECK(proxy->records().size() == ++connections);
  }
  CHECK(client.get(id, "/calls").body == "2");
  check_unharmed();
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(
    impatient_case, "a connection that falls silent without closing is noticed and replaced") {
  auto slow = std::async(std::launch::async, [&] { return client.get(id, "/slow?ms=500"); });
  REQUIRE(await([&] { return host->stats().ingress.requests_open == 1; }));
  const auto connections = proxy->records().size();
  const auto from = std::chrono::steady_clock::now();
  proxy->freeze();
  const auto other = must(client.create({.name = "probe"})).id;
  REQUIRE(proxy->await_barrier(connections + 1));
  CHECK(std::chrono::steady_clock::now() - from > 1s);
  CHECK(slow.get().status == 200);
  must(client.wait_for(
      other, [](const actor_view& x) { return x.connectable; }, 20s));
  CHECK(client.get(other, "/generation").body == "1");
  CHECK(host->factory_calls() == 2);
  CHECK(host->stats().link.leases_ended == 0);
  CHECK(host->stats().ingress.requests == 3);
  check_unharmed();
  CHECK(backlog_drains());
}

TEST_SUITE_END();

}  // namespace nuncio::e2e
