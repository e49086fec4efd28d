// The end of a host while actors live, pooled and detached ones, with WebSockets and requests open: by stop() from anywhere,
// and by the end of its actor system.
#include <fmt/format.h>

#include <atomic>
#include <caf/all.hpp>
#include <condition_variable>
#include <future>
#include <mutex>
#include <nuncio/host.hpp>
#include <nuncio/testing/socket_client.hpp>
#include <optional>

#include "fixture.hpp"
#include "raw_client.hpp"

namespace nuncio::e2e {
namespace {

namespace ends {

/// What the actors of a case share with it.
struct shared {
  void open() {
    {
      const std::lock_guard guard{mutex};
      is_open = true;
    }
    changed.notify_all();
  }

  void pass() {
    std::unique_lock guard{mutex};
    ++waiting;
    changed.wait(guard, [&] { return is_open; });
    --waiting;
  }

  int now_waiting() {
    const std::lock_guard guard{mutex};
    return waiting;
  }

  void log(std::string line) {
    const std::lock_guard guard{mutex};
    lines += line + '\n';
  }

  std::string log() {
    const std::lock_guard guard{mutex};
    return lines;
  }

  std::mutex mutex;
  std::condition_variable changed;
  bool is_open = false;
  int waiting = 0;
  std::string lines;
  host* own = nullptr;
  std::shared_ptr<int> alive = std::make_shared<int>();  ///< of which each actor has a copy
};

struct resident_state {
  std::shared_ptr<int> alive;
};

// GET /hold is never answered; /block blocks until the case opens; /stop and /abort end the host, after the case has opened.
caf::behavior resident(
    caf::stateful_actor<resident_state, engine_actor>* self, const std::shared_ptr<shared>& of) {
  state_of(self).alive = of->alive;
  return {
      [=](const http_request& r) -> caf::result<http_response> {
        const auto path = r.path_only();
        if (path == "/hold") return self->make_response_promise<http_response>();
        if (path == "/block") of->pass();
        if (path == "/stop") of->own->stop();
        if (path == "/stop-later") {
          of->pass();
          of->own->stop();
        }
        if (path == "/abort") of->own->abort();
        return http_response{
            .status = 200, .headers = {}, .body = std::to_string(self->start().self.generation)};
      },
      [](const socket_opened& s) { s.socket.accept(); },
      [](const socket_message& m) { m.socket.send(m.data, m.binary); },
  };
}

std::size_t count_in(const std::string& all, std::string_view what) {
  std::size_t n = 0;
  for (auto at = all.find(what); at != std::string::npos; at = all.find(what, at + 1)) ++n;
  return n;
}

struct config : caf::actor_system_config {
  config() { recommended(*this); }
};

/// A host whose actor system may end first.
struct fixture {
  /// @param drain_timeout  longer than a suite may take: whoever waits for it fails
  explicit fixture(std::chrono::milliseconds drain_timeout = 30min) {
    host_options options;
    options.endpoint = engine.endpoint();
    options.pool = pool;
    options.drain_timeout = drain_timeout;
    options.log = [of = of](
                      log_level, std::string_view message, std::span<const log_field> fields) {
      auto line = std::string{message};
      for (const auto& f : fields) line += fmt::format(" {}={}", f.name, f.value);
      of->log(std::move(line));
    };
    const auto ready = std::make_shared<std::promise<void>>();
    options.on_ready = [ready] { ready->set_value(); };
    the_host.emplace(*sys, options);
    of->own = &*the_host;
    the_host->serve("pooled", resident, of);
    the_host->serve({.name = "detached", .detached = true}, resident, of);
    REQUIRE(the_host->start());
    REQUIRE(ready->get_future().wait_for(20s) == std::future_status::ready);
  }

  ~fixture() { of->open(); }

  fixture(const fixture&) = delete;
  fixture& operator=(const fixture&) = delete;

  raw_client request(const std::string& id, std::string_view path) const {
    raw_client out{engine.port()};
    CHECK(out.send(request_head("GET", fmt::format("/gateway/{}{}", id, path))));
    return out;
  }

  /// Two actors of each kind, each with a request that waits and a WebSocket that has been used.
  void populate() {
    for (const auto* name : {"pooled", "pooled", "detached", "detached"}) {
      ids.push_back(client.create_running(name));
      waiting.push_back(request(ids.back(), "/hold"));
      sockets.emplace_back(engine.port(), fmt::format("/gateway/{}/websocket/x", ids.back()));
      REQUIRE(sockets.back().send("hello"));
      CHECK(sockets.back().text() == "hello");
    }
    REQUIRE(await([&] {
      const auto now = the_host->stats().ingress;
      return now.requests_open == 4 && now.sockets_open == 4;
    }));
    CHECK(of->alive.use_count() == static_cast<long>(ids.size()) + 1);
  }

  [[nodiscard]] std::uint64_t instances() const { return the_host->stats().ingress.instances; }

  /// Ends the actor system, and whatever is left of it is gone. On the thread that has made it: CAF's logger waits for
  /// any other thread that has spawned.
  void end_system() {
    sys.reset();
    CHECK(of->alive.use_count() == 1);
  }

  /// The same with an actor that blocks its thread: lets it go once `before` has returned.
  template <class F>
  void end_system_blocked(F before) {
    std::atomic<bool> ended = false;
    auto ended_early = std::async(std::launch::async, [&] {
      before();
      // That it does not end has nothing to wait on.
      std::this_thread::sleep_for(200ms);
      const bool early = ended;
      of->open();
      return early;
    });
    end_system();
    ended = true;
    CHECK_FALSE(ended_early.get());
  }

  engine_under_test& engine = shared_engine();
  std::string pool = new_pool();
  pool_client client{engine, pool};
  std::shared_ptr<shared> of = std::make_shared<shared>();
  config cfg;
  std::optional<caf::actor_system> sys{std::in_place, cfg};
  std::optional<host> the_host;
  std::vector<std::string> ids;
  std::vector<raw_client> waiting;
  std::vector<socket_client> sockets;
};

struct hasty : fixture {
  hasty() : fixture(1s) {}
};

}  // namespace ends

}  // namespace

TEST_SUITE_BEGIN("hosts_end");

TEST_CASE_FIXTURE(ends::fixture, "the actor system ends first, with requests and WebSockets open") {
  populate();
  end_system();
  const auto why = the_host->ended();
  REQUIRE(why);
  CHECK(why->message.find("actor system") != std::string::npos);
  the_host->stop();
  CHECK(the_host->stats().ingress.instances == 4);  // nobody is left who could count
}

TEST_CASE_FIXTURE(
    ends::fixture, "the actor system ends first, and waits for an actor that blocks its thread") {
  populate();
  const auto blocked = request(client.create_running("detached"), "/block");
  REQUIRE(await([&] { return of->now_waiting() == 1; }));
  bool over = false;
  end_system_blocked([&] {
    // The host is over by then, whatever its actors do.
    over = the_host->wait_ended(20s).has_value();
    the_host->stop();
  });
  CHECK(over);
}

TEST_CASE_FIXTURE(ends::hasty, "stop() from two threads at once and again, with all that is open") {
  populate();
  auto one = std::async(std::launch::async, [&] { the_host->stop(); });
  auto two = std::async(std::launch::async, [&] { the_host->stop(); });
  one.get();
  two.get();
  the_host->stop();
  INFO(of->log());
  // What is never answered is cut.
  CHECK(ends::count_in(of->log(), "drained slept=0 moved=0 cut=4") == 1);
  CHECK(instances() == 0);
  CHECK(await([&] { return of->alive.use_count() == 1; }));
  end_system();
}

TEST_CASE_FIXTURE(ends::fixture, "stop() from a hosted actor, pooled or detached, and then again") {
  for (const auto* name : {"pooled", "detached"}) ids.push_back(client.create_running(name));
  const auto one = request(ids[0], "/stop"), two = request(ids[1], "/stop");
  REQUIRE(await([&] { return of->log().find("drained ") != std::string::npos; }));
  CHECK(instances() == 0);
  the_host->stop();
  the_host->stop();
  INFO(of->log());
  CHECK(ends::count_in(of->log(), "drained slept=") == 1);
  CHECK(of->log().find("cut=0") != std::string::npos);
  end_system();
}

TEST_CASE_FIXTURE(
    ends::fixture, "stop() from a hosted actor while another thread's stop() waits for it") {
  const auto id = client.create_running("detached");
  const auto asks = request(id, "/stop-later");
  REQUIRE(await([&] { return of->now_waiting() == 1; }));
  auto stopping = std::async(std::launch::async, [&] { the_host->stop(); });
  REQUIRE(await([&] { return of->log().find("draining actors=1") != std::string::npos; }));
  of->open();
  stopping.get();
  // Had it waited for the host, which waits for it, the deadline would have had to end both.
  INFO(of->log());
  CHECK(of->log().find("cut=0") != std::string::npos);
  CHECK(of->log().find("ignores its end") == std::string::npos);
  end_system();
}

TEST_CASE_FIXTURE(ends::fixture, "abort() from a hosted actor, pooled or detached") {
  SUBCASE("pooled") { ids.push_back(client.create_running("pooled")); }
  SUBCASE("detached") { ids.push_back(client.create_running("detached")); }
  populate();
  const auto asks = request(ids[0], "/abort");
  CHECK(await([&] { return of->alive.use_count() == 1; }));
  the_host->stop();
  end_system();
}

TEST_CASE_FIXTURE(
    ends::hasty, "stop() goes on without an actor that blocks its thread, and names it") {
  populate();
  const auto id = client.create_running("detached");
  const auto blocked = request(id, "/block");
  REQUIRE(await([&] { return of->now_waiting() == 1; }));
  the_host->stop();
  INFO(of->log());
  const auto line = "an actor ignores its end; going on without it name=detached actor=" + id;
  CHECK(ends::count_in(of->log(), line) == 1);
  CHECK(ends::count_in(of->log(), "ignores its end") == 1);
  CHECK(of->log().find("drained slept=0 moved=0 cut=5") != std::string::npos);
  CHECK(instances() == 0);
  CHECK(of->now_waiting() == 1);
  // Its thread is still there, and the actor system's end waits for it.
  end_system_blocked([] {});
}

TEST_SUITE_END();

}  // namespace nuncio::e2e
