// The terms with which a host dials: the version that the engine supports, and the current token of its source. Against a
// scripted engine.
#include <doctest/doctest.h>

#include <caf/all.hpp>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <nuncio/codec.hpp>
#include <nuncio/host.hpp>
#include <span>

#include "support/raw_server.hpp"
#include "support/serving_host.hpp"

namespace dialling_host_test {

using namespace nuncio;
using namespace nuncio::test;
using namespace std::chrono_literals;

namespace {

struct config : caf::actor_system_config {
  config() { recommended(*this); }
};

/// Says which version it speaks, knows every pool, and ends each WebSocket as it was told, in
/// order; the last answer stays.
class scripted_engine {
public:
  enum class answer : std::uint8_t {
    refuse_parameters,
    refuse_token,
    refuse_token_in_http,
    refuse_namespace,
    hold,
    greet,  ///< Init and a Ping, and whatever the test says then
  };

  explicit scripted_engine(int speaks, std::deque<answer> answers)
      : speaks_(speaks), answers_(std::move(answers)) {}

  void speak(int version) {
    const std::lock_guard guard{mutex_};
    speaks_ = version;
  }

  /// Answers whatever is asked over HTTP with this token with 401.
  void refuse(std::string token) {
    const std::lock_guard guard{mutex_};
    refused_ = std::move(token);
  }

  /// Knows no namespace for the next `n` questions after pools.
  void lack_namespace(int n) {
    const std::lock_guard guard{mutex_};
    lacks_namespace_ = n;
  }

  /// Answers the next question over HTTP with this instead.
  void answer_once(int status, const std::string& body = {}) {
    const std::lock_guard guard{mutex_};
    odd_answer_ = "HTTP/1.1 " + std::to_string(status) +
                  " X\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
                  "\r\n\r\n" + body;
  }

  /// Whether that question has come.
  [[nodiscard]] bool answered_once() {
    const std::lock_guard guard{mutex_};
    return odd_answer_.empty();
  }

  /// With answer::greet, on the server's thread.
  std::function<void(raw_peer&)> speaks_further;

  static engine_ms wall_clock() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }

  static void send(raw_peer& p, const protocol::to_envoy& x) {
    const auto raw = protocol::encode(x, 8);
    p.send(raw_peer::frame(2, {reinterpret_cast<const char*>(raw->data()), raw->size()}));
  }

  [[nodiscard]] std::string endpoint() const {
    return "http://127.0.0.1:" + std::to_string(server_.port());
  }

  /// Waits for that many WebSockets. @returns their requests
  std::vector<std::string> await_dials(std::size_t n) {
    std::unique_lock guard{mutex_};
    CHECK(changed_.wait_for(guard, 20s, [&] { return dials_.size() >= n; }));
    return dials_;
  }

private:
  void serve(raw_peer& p) {
    const auto head = p.read_head();
    if (head.find(" /envoys/connect?") == std::string::npos) {
      std::unique_lock guard{mutex_};
      if (!odd_answer_.empty()) {
        p.send(std::exchange(odd_answer_, {}));
        return;
      }
      if (!refused_.empty() && raw_peer::header(head, "authorization") == "Bearer " + refused_) {
        p.send("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        return;
      }
      if (!head.starts_with("GET /metadata") && lacks_namespace_ > 0) {
        --lacks_namespace_;
        const std::string none = R"({"group":"namespace","code":"not_found","message":"no"})";
        p.send(
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: " +
            std::to_string(none.size()) + "\r\n\r\n" + none);
        return;
      }
      const auto body =
          head.starts_with("GET /metadata")
              ? "{\"version\":\"9\",\"envoy_protocol_version\":" + std::to_string(speaks_) + "}"
              : std::string{"{\"runner_configs\":{\"default\":{}}}"};
      guard.unlock();
      p.send(
          "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
          "\r\n\r\n" + body);
      return;
    }
    auto then = answer::hold;
    {
      const std::lock_guard guard{mutex_};
      then = answers_.front();
      if (answers_.size() > 1) answers_.pop_front();
    }
    if (then == answer::refuse_token_in_http) {
      p.send("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      note(head);
      return;
    }
    // The head was read here, so the upgrade is answered with what accept() would have read.
    p.accept_with(head, "rivet");
    note(head);
    if (then == answer::hold) return p.wait_for_end();
    if (then == answer::greet) {
      send(p, protocol::to_envoy_init{{15'000, 1'800'000, 20'971'520}});
      send(p, protocol::to_envoy_ping{wall_clock()});
      if (speaks_further) return speaks_further(p);
      return p.wait_for_end();
    }
    p.send(raw_peer::close_frame(
        1011,
        then == answer::refuse_token       ? "auth.forbidden#r"
        : then == answer::refuse_namespace ? "namespace.not_found#r"
                                           : "ws.invalid_request#r"));
    p.wait_for_end();
  }

  void note(const std::string& head) {
    {
      const std::lock_guard guard{mutex_};
      dials_.push_back(head);
    }
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int speaks_;
  std::deque<answer> answers_;
  std::string refused_, odd_answer_;
  int lacks_namespace_ = 0;
  std::vector<std::string> dials_;
  raw_server server_{[this](raw_peer& p) { serve(p); }};
};

using answer = scripted_engine::answer;

struct fixture {
  config cfg;
  caf::actor_system sys{cfg};

  static host_options options(const scripted_engine& engine) {
    host_options x;
    x.endpoint = engine.endpoint();
    x.drain_timeout = 0ms;
    return x;
  }
};

bool dialled_with(const std::string& head, std::string_view what) {
  return head.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE_FIXTURE(fixture, "a host uses the newest version that the engine supports too") {
  scripted_engine engine{7, {answer::hold}};
  serving_host h{sys, options(engine)};
  REQUIRE(h.start());
  CHECK(dialled_with(engine.await_dials(1).front(), "protocol_version=6&"));
  CHECK(h.protocol_version() == 6);
}

TEST_CASE_FIXTURE(fixture, "a forced version is not asked about") {
  scripted_engine engine{8, {answer::hold}};
  auto forced = options(engine);
  forced.protocol_version = 4;
  serving_host h{sys, forced};
  REQUIRE(h.start());
  CHECK(dialled_with(engine.await_dials(1).front(), "protocol_version=4&"));
}

TEST_CASE_FIXTURE(
    fixture, "an engine that has no namespace yet is asked, and dialled, until it has") {
  scripted_engine engine{8, {answer::refuse_namespace, answer::refuse_namespace, answer::hold}};
  engine.lack_namespace(2);
  auto patient = options(engine);
  patient.policy.slow_delay = 10ms;
  std::mutex mutex;
  std::string said;
  patient.log = [&](log_level, std::string_view, std::span<const log_field> fields) {
    const std::lock_guard guard{mutex};
    for (const auto& field : fields) said += std::string{field.value} + "\n";
  };
  serving_host h{sys, patient};
  REQUIRE(h.start());
  CHECK(engine.await_dials(3).size() == 3);
  CHECK(!h.ended());
  const std::lock_guard guard{mutex};
  CHECK(said.find("no namespace \"default\"") != std::string::npos);
}

TEST_CASE_FIXTURE(
    fixture, "an engine that supports at most version 2 is refused with an explanation") {
  scripted_engine engine{2, {answer::hold}};
  serving_host h{sys, options(engine)};
  REQUIRE(h.start());
  const auto why = h.wait_ended(20s);
  REQUIRE(why.has_value());
  CHECK(why->code == errc::refused);
  CHECK(why->message.find("up to version 2") != std::string::npos);
  CHECK(engine.await_dials(0).empty());
}

TEST_CASE_FIXTURE(fixture, "an engine that was replaced by an older one is asked again") {
  scripted_engine engine{8, {answer::refuse_parameters, answer::hold}};
  auto asked = options(engine);
  int asks = 0;
  asked.token_from = [&]() -> outcome<std::string> {
    if (++asks == 3)
      engine.speak(5);  // start() checks, then it is asked for the first dial, then for the second
    return std::string{};
  };
  serving_host h{sys, asked};
  REQUIRE(h.start());
  const auto dials = engine.await_dials(2);
  CHECK(dialled_with(dials[0], "protocol_version=8&"));
  CHECK(dialled_with(dials[1], "protocol_version=5&"));
  CHECK(!h.ended());
}

TEST_CASE_FIXTURE(
    fixture, "1.4: a host that runs survives an odd answer of what stands in front of its engine") {
  struct odd {
    int status = 200;
    std::string body;
  };

  for (const auto& given :
       {odd{},
        odd{302, {}},
        odd{404, {}},
        odd{408, {}},
        odd{429, {}},
        odd{200, R"({"version":"9"})"},
        odd{200, R"({"version":"9","envoy_protocol_version":2})"}}) {
    CAPTURE(given.status);
    CAPTURE(given.body);
    scripted_engine engine{8, {answer::refuse_parameters, answer::hold}};
    auto asked = options(engine);
    int asks = 0;
    asked.token_from = [&]() -> outcome<std::string> {
      if (++asks == 3)
        engine.answer_once(given.status, given.body);  // as above: before the second dial
      return std::string{};
    };
    serving_host h{sys, asked};
    REQUIRE(h.start());
    CHECK(engine.await_dials(2).size() == 2);
    CHECK(engine.answered_once());
    CHECK(!h.ended());
  }
}

TEST_CASE_FIXTURE(fixture, "1.4: an engine that has no time for a host yet is asked again") {
  for (const auto status : {408, 425, 429, 503}) {
    CAPTURE(status);
    scripted_engine engine{8, {answer::hold}};
    engine.answer_once(status);
    serving_host h{sys, options(engine)};
    REQUIRE(h.start());
    CHECK(engine.await_dials(1).size() == 1);
  }
}

TEST_CASE_FIXTURE(fixture, "1.4: a reply too long for an engine's API is not read") {
  scripted_engine engine{8, {answer::hold}};
  engine.answer_once(200, std::string(2'000'000, '['));
  serving_host h{sys, options(engine)};
  REQUIRE(h.start());
  const auto why = h.wait_ended(20s);
  REQUIRE(why.has_value());
  CHECK(why->message.find("longer than 1048576 bytes") != std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "refused parameters that are still the same end the host") {
  scripted_engine engine{8, {answer::refuse_parameters}};
  serving_host h{sys, options(engine)};
  REQUIRE(h.start());
  const auto why = h.wait_ended(20s);
  REQUIRE(why.has_value());
  CHECK(why->code == errc::refused);
  CHECK(why->message.find("host_options::envoy_key") != std::string::npos);
  CHECK(engine.await_dials(1).size() == 1);
}

TEST_CASE_FIXTURE(
    fixture, "a token that the engine refuses is read again, and the new one is used") {
  for (const auto refusal : {answer::refuse_token, answer::refuse_token_in_http}) {
    scripted_engine engine{8, {refusal, answer::hold}};
    auto renewed = options(engine);
    int reads = 0;
    renewed.token_from = [&]() -> outcome<std::string> {
      return std::string{++reads < 3 ? "old-one" : "new-one"};
    };
    serving_host h{sys, renewed};
    REQUIRE(h.start());
    const auto dials = engine.await_dials(2);
    CHECK(dialled_with(dials[0], "rivet_token.old-one"));
    CHECK(dialled_with(dials[1], "rivet_token.new-one"));
    CHECK(!h.ended());
  }
}

TEST_CASE_FIXTURE(
    fixture,
    "a token that is renewed while a host begins is read again when HTTP refuses the old one") {
  scripted_engine engine{8, {answer::hold}};
  engine.refuse("old-one");
  auto renewed = options(engine);
  int reads = 0;
  renewed.token_from = [&]() -> outcome<std::string> {
    // start() checks, then comes the first question.
    return std::string{++reads < 3 ? "old-one" : "new-one"};
  };
  serving_host h{sys, renewed};
  REQUIRE(h.start());
  const auto dials = engine.await_dials(1);
  REQUIRE(!dials.empty());
  CHECK(dialled_with(dials[0], "rivet_token.new-one"));
  CHECK(!h.ended());
}

TEST_CASE_FIXTURE(fixture, "a token that HTTP refuses and that stays the same ends the host") {
  scripted_engine engine{8, {answer::hold}};
  engine.refuse("wrong");
  auto wrong = options(engine);
  wrong.token_from = [] { return outcome<std::string>{"wrong"}; };
  serving_host h{sys, wrong};
  REQUIRE(h.start());
  const auto why = h.wait_ended(20s);
  REQUIRE(why.has_value());
  CHECK(why->code == errc::refused);
  CHECK(why->message.find("`token`") != std::string::npos);
}

TEST_CASE_FIXTURE(
    fixture, "a token that was never accepted ends the host, and the error names it") {
  scripted_engine engine{8, {answer::refuse_token_in_http}};
  auto wrong = options(engine);
  wrong.token = "wrong";
  serving_host h{sys, wrong};
  REQUIRE(h.start());
  const auto why = h.wait_ended(20s);
  REQUIRE(why.has_value());
  CHECK(why->code == errc::refused);
  CHECK(why->message.find("token") != std::string::npos);
  CHECK(why->message.find("wrong") == std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "a token that can't be sent, or read, is a wrong option") {
  scripted_engine engine{8, {answer::hold}};
  auto bad = options(engine);
  bad.token = "two words";
  CHECK(host{sys, bad}.start().error().code == errc::invalid_argument);
  bad.token_from = token_from_file("/nonexistent/token");
  CHECK(host{sys, bad}.start().error().message.find("/nonexistent/token") != std::string::npos);
  bad = options(engine);
  bad.tls.cert_file = "/nonexistent/cert";
  CHECK(host{sys, bad}.start().error().message.find("tls.cert_file") != std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "5.3: no token becomes a second header, wherever it comes from") {
  const std::string bad = "secret\r\nx-admin: yes";
  const token_source source = [&] { return outcome{bad}; };
  const auto refused = [](const failure& why) {
    CHECK(why.code == errc::invalid_argument);
    CHECK(why.message.find("secret") == std::string::npos);
  };
  refused(host{sys, {.token = bad}}.start().error());
  refused(host{sys, {.token_from = source}}.start().error());
  refused(spawn_client(sys, {.token = bad}).error());
  refused(spawn_client(sys, {.token_from = source}).error());
}

TEST_CASE_FIXTURE(fixture, "waiting for a host returns that it is ready, or why it is not") {
  SUBCASE("ready") {
    scripted_engine engine{8, {answer::greet}};
    serving_host h{sys, options(engine)};
    REQUIRE(h.start());
    CHECK(h.wait_ready(20s));
    CHECK(h.wait_ready(0ms));
  }
  SUBCASE("connected, and not ready in time") {
    scripted_engine engine{8, {answer::hold}};
    serving_host h{sys, options(engine)};
    REQUIRE(h.start());
    engine.await_dials(1);
    const auto ready = h.wait_ready(10ms);
    REQUIRE(!ready);
    CHECK(ready.error().code == errc::timed_out);
  }
  SUBCASE("refused") {
    scripted_engine engine{8, {answer::refuse_parameters}};
    serving_host h{sys, options(engine)};
    REQUIRE(h.start());
    const auto ready = h.wait_ready(20s);
    REQUIRE(!ready);
    CHECK(ready.error() == *h.ended());
  }
  SUBCASE("stopped") {
    scripted_engine engine{8, {answer::hold}};
    serving_host h{sys, options(engine)};
    REQUIRE(h.start());
    h.stop();
    const auto ready = h.wait_ready(20s);
    REQUIRE(!ready);
    CHECK(ready.error().code == errc::cancelled);
  }
}

TEST_CASE_FIXTURE(
    fixture, "an exception in a part of the runtime ends its host, and the engine sees it go") {
  std::promise<void> gone;
  scripted_engine engine{8, {answer::greet}};
  engine.speaks_further = [&](raw_peer& p) {
    while (p.read_frame().opcode > 0) {
    }
    gone.set_value();
  };
  auto throwing = options(engine);
  throwing.drain_timeout = 60s;
  throwing.on_ready = [] { throw std::runtime_error{"boom"}; };
  serving_host h{sys, throwing};
  REQUIRE(h.start());
  const auto why = h.wait_ended(20s);
  REQUIRE(why.has_value());
  CHECK(why->code == errc::internal);
  CHECK(gone.get_future().wait_for(20s) == std::future_status::ready);
  const auto before = boot_clock::now();
  h.stop();
  CHECK(boot_clock::now() - before < 30s);  // nobody is left to drain
}

TEST_CASE_FIXTURE(
    fixture, "3.6: handlers that block every thread of the pool delay no ack and no event") {
  std::promise<void> release;
  const auto released = release.get_future().share();
  std::promise<void> heard;
  scripted_engine engine{8, {answer::greet}};
  const auto blockers = std::max(2U, std::thread::hardware_concurrency()) + 2;
  engine.speaks_further = [&](raw_peer& p) {
    const auto start = [&](const std::string& id, const char* name) {
      protocol::command_start_actor x;
      x.config.name = text{name};
      x.config.create_ts = scripted_engine::wall_clock();
      scripted_engine::send(p, protocol::to_envoy_commands{{{{actor_id{id}, 1, 0}, std::move(x)}}});
    };
    for (auto i = 0U; i < blockers; ++i) start(std::to_string(i), "blocker");
    start("last", "nobody");
    bool acked = false, stopped = false;
    while (!acked || !stopped) {
      const auto frame = p.read_frame();
      if (frame.opcode < 0 || frame.opcode == 8) return;
      if (frame.opcode == 9) p.send(raw_peer::frame(10, frame.payload));
      if (frame.opcode != 2) continue;
      const auto message = protocol::decode_to_rivet(bytes{frame.payload}, 8);
      if (!message) return;
      if (const auto* acks = std::get_if<protocol::to_rivet_ack_commands>(&*message))
        for (const auto& x : acks->last_command_checkpoints)
          acked = acked || x.actor_id.view() == "last";
      if (const auto* events = std::get_if<protocol::to_rivet_events>(&*message))
        for (const auto& x : events->events)
          stopped = stopped || x.checkpoint.actor_id.view() == "last";
    }
    heard.set_value();
    p.wait_for_end();
  };
  serving_host h{sys, options(engine)};
  h.serve(
      "blocker",
      [](engine_actor*, const std::shared_future<void>& until) -> caf::behavior {
        until.wait();
        return {[](const http_request&) { return http_response{}; }};
      },
      released);
  REQUIRE(h.start());
  CHECK(heard.get_future().wait_for(20s) == std::future_status::ready);
  release.set_value();
}

}  // namespace dialling_host_test
