// Cuts at every step of an actor's life: alarms, sleep, the end, hibernation.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "command_judges.hpp"
#include "probed_pool.hpp"
#include "tunnel_judges.hpp"

namespace nuncio::e2e {
namespace {

using json = nlohmann::json;
using namespace protocol;

// The judges are in force until the connection that follows the cut has passed its barrier.
struct cut_scope {
  cut_scope(wire_proxy& at, const cut_step& step) : proxy(at), before(at.records().size()) {
    proxy.judge_to_engine(step.to_engine);
    proxy.judge_to_host(step.to_host);
  }

  ~cut_scope() {
    proxy.judge_to_engine({});
    proxy.judge_to_host({});
  }

  cut_scope(const cut_scope&) = delete;
  cut_scope& operator=(const cut_scope&) = delete;

  // Exactly one cut has been.
  void check_renewed() const {
    CHECK(proxy.await_barrier(before + 1));
    CHECK(proxy.records().size() == before + 1);
  }

  wire_proxy& proxy;
  std::size_t before;
};

// What the actor answers next; null if the WebSocket is closed or nothing comes.
json answer_on(socket_client& socket) {
  const auto got = socket.receive();
  return got ? json::parse(got->data) : json{{"text", nullptr}};
}

}  // namespace

TEST_SUITE_BEGIN("withstand_lifecycle");

TEST_CASE_FIXTURE(hosted_pool, "a cut at every step of falling asleep: once, and awake once") {
  const std::vector<cut_step> steps{
      {"before the intent", at_first(fate::cut_before, intends<actor_intent_sleep>)},
      {"inside the intent", at_first(fate::cut_inside, intends<actor_intent_sleep>)},
      {"after the intent", at_first(fate::cut_after, intends<actor_intent_sleep>)},
      {"before Stop", {}, at_first(fate::cut_before, is_stop)},
      {"after Stop", {}, at_first(fate::cut_after, is_stop)},
      {"before Stop's ack", at_first(fate::cut_before, acks(2))},
      {"after Stop's ack", at_first(fate::cut_after, acks(2))},
      {"before Stopped", at_first(fate::cut_before, says<actor_state_stopped>)},
      {"inside Stopped", at_first(fate::cut_inside, says<actor_state_stopped>)},
      {"after Stopped", at_first(fate::cut_after, says<actor_state_stopped>)},
  };
  std::vector<std::string> ids;
  for (const auto& step : steps) {
    CAPTURE(std::string{step.name});
    ids.push_back(client.create_running("probe"));
    const cut_scope cut{*proxy, step};
    CHECK(client.post(ids.back(), "/sleep").status == 200);
    cut.check_renewed();
    CHECK(await([&] { return host->stats().ingress.stops == ids.size(); }));
    CHECK(client.await_sleeping(ids.back()).sleeping);
  }
  CHECK(host->factory_calls() == ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    CAPTURE(std::string{steps[i].name});
    CHECK(client.get(ids[i], "/generation").body == "2");
    CHECK(client.view(ids[i]).error.empty());
  }
  CHECK(host->factory_calls() == 2 * ids.size());
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(hosted_pool, "a cut at every step of waking up: one start") {
  const auto id = client.create_running("probe");
  const std::vector<cut_step> steps{
      {"before Start", {}, at_first(fate::cut_before, is_start)},
      {"inside Start", {}, at_first(fate::cut_inside, is_start)},
      {"after Start", {}, at_first(fate::cut_after, is_start)},
      {"before its ack", at_first(fate::cut_before, acks(1))},
      {"after its ack", at_first(fate::cut_after, acks(1))},
      {"before Running", at_first(fate::cut_before, says<actor_state_running>)},
      {"after Running", at_first(fate::cut_after, says<actor_state_running>)},
  };
  std::uint64_t generation = 1;
  for (const auto& step : steps) {
    CAPTURE(std::string{step.name});
    must(client.sleep(id));
    CHECK(client.await_sleeping(id).sleeping);
    CHECK(await([&] { return host->stats().ingress.instances == 0; }));
    const cut_scope cut{*proxy, step};
    // It wakes, but neither engine repeats a request that it forwarded in the moment of a cut.
    static_cast<void>(
        client.call({.method = "GET", .target = fmt::format("/gateway/{}/n", id), .timeout = 1s}));
    cut.check_renewed();
    CHECK(client.get(id, "/generation").body == std::to_string(++generation));
    CHECK(host->factory_calls() == generation);
  }
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(hosted_pool, "a cut at every step of destroy(): gone, once") {
  const std::vector<cut_step> steps{
      {"before the intent", at_first(fate::cut_before, intends<actor_intent_stop>)},
      {"after the intent", at_first(fate::cut_after, intends<actor_intent_stop>)},
      {"before Stop", {}, at_first(fate::cut_before, is_stop)},
      {"after Stop", {}, at_first(fate::cut_after, is_stop)},
      {"before Stop's ack", at_first(fate::cut_before, acks(2))},
      {"after Stop's ack", at_first(fate::cut_after, acks(2))},
      {"before Stopped", at_first(fate::cut_before, says<actor_state_stopped>)},
      {"after Stopped", at_first(fate::cut_after, says<actor_state_stopped>)},
  };
  std::uint64_t made = 0;
  for (const auto& step : steps) {
    CAPTURE(std::string{step.name});
    const auto id = client.create_running("probe", "one key");
    const cut_scope cut{*proxy, step};
    CHECK(client.post(id, "/destroy").status == 200);
    cut.check_renewed();
    must(client.wait_for(
        id, [](const actor_view& x) { return x.destroyed; }, 20s));
    CHECK(client.get(id, "/generation").status == 404);
    CHECK(host->factory_calls() == ++made);
  }
  CHECK(await([&] { return host->stats().ingress.instances == 0; }));
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(hosted_pool, "a cut at every step of an alarm: it wakes its actor, once") {
  // The alarms of the steps before may fire at any time.
  const auto steps_of = [](const std::string& id) {
    const auto is_alarm_kept = [id](const to_rivet& m) {
      const auto* kv = std::get_if<to_rivet_kv_request>(&m);
      const auto* put = kv == nullptr ? nullptr : std::get_if<kv_put_request>(&kv->data);
      return put != nullptr && kv->actor_id.view() == id && put->keys.front().view() == "\x06";
    };
    return std::vector<cut_step>{
        {"before it is kept", at_first(fate::cut_before, is_alarm_kept)},
        {"before SetAlarm", at_first(fate::cut_before, sets_alarm_of(id))},
        {"inside SetAlarm", at_first(fate::cut_inside, sets_alarm_of(id))},
        {"after SetAlarm", at_first(fate::cut_after, sets_alarm_of(id))},
    };
  };
  const std::vector<cut_step> wakes{
      {"before Start", {}, at_first(fate::cut_before, is_start)},
      {"after Start", {}, at_first(fate::cut_after, is_start)},
      {"before Start's ack", at_first(fate::cut_before, acks(1))},
      {"after Running", at_first(fate::cut_after, says<actor_state_running>)},
  };
  const auto await_woken = [&](const std::string& id) {
    // Without a request, which would wake it.
    must(client.wait_for(
        id, [](const actor_view& x) { return x.connectable; }, 20s));
    CHECK(await([&] { return info_of(client, id)["alarms"] == 1; }));
    CHECK(info_of(client, id)["generation"] == 2);
  };
  const auto set = [&](const std::string& id) {
    CHECK(client.post(id, "/request/alarm?ms=3000").status == 200);
  };
  const auto put_to_sleep = [&](const std::string& id) {
    must(client.sleep(id));
    CHECK(client.await_sleeping(id).sleeping);
  };
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < 4; ++i) {
    ids.push_back(client.create_running("outside"));
    const auto step = steps_of(ids.back())[i];
    CAPTURE(std::string{step.name});
    CHECK(await([&] { return info_of(client, ids.back())["wakes"] == 1; }));
    const cut_scope cut{*proxy, step};
    set(ids.back());
    cut.check_renewed();
    put_to_sleep(ids.back());
  }
  for (const auto& id : ids) await_woken(id);
  for (const auto& step : wakes) {
    CAPTURE(std::string{step.name});
    ids.push_back(client.create_running("outside"));
    CHECK(client.post(ids.back(), "/request/alarm?ms=2000").status == 200);
    put_to_sleep(ids.back());
    CHECK(await([&] { return host->stats().ingress.instances == ids.size() - 1; }));
    const cut_scope cut{*proxy, step};
    await_woken(ids.back());
    cut.check_renewed();
  }
  CHECK(host->factory_calls() == 2 * ids.size());
  for (const auto& id : ids) CHECK(info_of(client, id)["alarms"] == 1);
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(
    hosted_pool, "a cut at every step of keeping a hibernating WebSocket: nothing of it is lost") {
  const auto is_kept = [](const to_rivet& m) {
    const auto* kv = std::get_if<to_rivet_kv_request>(&m);
    return kv != nullptr && std::holds_alternative<kv_put_request>(kv->data);
  };
  const std::vector<cut_step> steps{
      {"before it is kept", at_first(fate::cut_before, is_kept)},
      {"inside what keeps it", at_first(fate::cut_inside, is_kept)},
      {"before the answer",
       {},
       at_first(fate::cut_before, is_kind<to_envoy_kv_response, to_envoy>)},
  };
  std::uint64_t made = 0;
  const auto fall_asleep = [&](const std::string& id) {
    must(client.sleep(id));
    CHECK(client.await_sleeping(id).sleeping);
    CHECK(await([&] { return host->stats().ingress.instances == made; }));
  };
  const auto await_kept = [&] { CHECK(await([&] { return host->stats().storage.open == 0; })); };
  for (const auto* when : {"opened", "used", "put to sleep"})
    for (const auto& step : steps) {
      CAPTURE(std::string{when});
      CAPTURE(std::string{step.name});
      const auto id = client.create_running("outside");
      CHECK(await([&] { return info_of(client, id)["wakes"] == 1; }));
      await_kept();
      std::unique_ptr<cut_scope> cut;
      const auto under_cut = [&, now = std::string_view{when}](std::string_view what, auto f) {
        if (now == what) cut = std::make_unique<cut_scope>(*proxy, step);
        f();
        if (now != what) return;
        cut->check_renewed();
        await_kept();
        cut.reset();
      };
      std::optional<socket_client> socket;
      under_cut("opened", [&] {
        socket.emplace(engine.port(), fmt::format("/gateway/{}/websocket/hibernate", id));
      });
      CHECK(socket->http_status() == 101);
      std::uint64_t said = 0;
      if (std::string_view{when} != "opened") {
        CHECK(socket->send("a"));
        CHECK(answer_on(*socket)["n"] == ++said);
        await_kept();
        under_cut("used", [&] {
          CHECK(socket->send("b"));
          ++said;
        });
      }
      under_cut("put to sleep", [&] { fall_asleep(id); });
      const auto heard = host->stats().ingress.socket_messages;
      CHECK(socket->send("c"));
      // The real engine may lose it between two instances (docs/protocol.md M): then it never comes here.
      if (kind_under_test() == engine_kind::rivet &&
          !await([&] { return host->stats().ingress.socket_messages > heard; }, 5s))
        CHECK(socket->send("c"));
      // The answer to "b" goes once: the cut may have taken it.
      auto answer = answer_on(*socket);
      if (answer["text"] == "b") answer = answer_on(*socket);
      CHECK(answer["text"] == "c");
      CHECK(answer["n"] == said + 1);
      CHECK(answer["generation"] == 2);
      ++made;
    }
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(
    hosted_pool,
    "a cut at every step of waking under a WebSocket: what the client says counts once") {
  const std::vector<cut_step> steps{
      {"before Start", {}, at_first(fate::cut_before, is_start)},
      {"after Start", {}, at_first(fate::cut_after, is_start)},
      {"before Running", at_first(fate::cut_before, says<actor_state_running>)},
      {"after Running", at_first(fate::cut_after, says<actor_state_running>)},
      {"before the ack", nth<to_rivet_web_socket_message_ack>(1, fate::cut_before)},
      {"inside the ack", nth<to_rivet_web_socket_message_ack>(1, fate::cut_inside)},
      {"after the ack", nth<to_rivet_web_socket_message_ack>(1, fate::cut_after)},
  };
  std::uint64_t made = 0;
  for (const auto& step : steps) {
    CAPTURE(std::string{step.name});
    const auto id = client.create_running("outside");
    socket_client socket{engine.port(), fmt::format("/gateway/{}/websocket/hibernate", id)};
    CHECK(socket.send("a"));
    CHECK(answer_on(socket)["n"] == 1);
    must(client.sleep(id));
    CHECK(client.await_sleeping(id).sleeping);
    CHECK(await([&] { return host->stats().ingress.instances == made; }));
    const cut_scope cut{*proxy, step};
    CHECK(socket.send("b"));
    cut.check_renewed();
    CHECK(socket.send("c"));
    // Neither engine sends again what it sends in the moment of the cut; the record tells that it is missing.
    const auto first = socket.receive(30s);
    if (!first) {
      CHECK(std::string_view{step.name} == "after Running");
      CHECK(socket.close_code() == 1011);
      CHECK(info_of(client, id)["sockets"] == 0);
      CHECK(host->factory_calls() == 2 * ++made);
      continue;
    }
    // The answer to "b" goes once: the cut may have taken it.
    auto answer = nlohmann::json::parse(first->data);
    if (answer["text"] == "b") {
      CHECK(answer["n"] == 2);
      answer = answer_on(socket);
    }
    CHECK(answer["text"] == "c");
    CHECK(answer["n"] == 3);
    CHECK(answer["generation"] == 2);
    CHECK(info_of(client, id)["sockets"] == 1);
    CHECK(host->factory_calls() == 2 * ++made);
    socket.drop();
  }
  CHECK(await([&] { return host->stats().ingress.sockets_open == 0; }));
  CHECK(backlog_drains());
}

TEST_SUITE_END();

}  // namespace nuncio::e2e
