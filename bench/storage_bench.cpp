// What storage costs an actor: KV, SQL by the engine and the local SQLite, one request after the
// other and many at once, through a whole host. Against the dev engine, or the real one when
// NUNCIO_RIVET_ENGINE names it. Prints a table.
#include <fmt/format.h>

#include <algorithm>
#include <caf/all.hpp>
#include <cstdlib>
#include <functional>
#include <nuncio/errors.hpp>
#include <nuncio/host.hpp>
#include <nuncio/sqlite.hpp>
#include <nuncio/testing/client.hpp>
#include <nuncio/testing/dev_engine.hpp>
#include <optional>
#include <vector>

#include "rivet_engine.hpp"

namespace {

using namespace nuncio;
using clock_type = std::chrono::steady_clock;

double us_since(clock_type::time_point begun) {
  return std::chrono::duration<double, std::micro>(clock_type::now() - begun).count();
}

// `asks(i, done)` is run `n` times, `window` at a time; answers the request with the times of all.
struct series {
  std::size_t n = 0, begun = 0, ended = 0;
  std::function<void(std::size_t, std::function<void(const caf::error&)>)> ask;
  caf::typed_response_promise<http_response> promise;
  std::vector<double> times;
  clock_type::time_point start = clock_type::now();

  static void next(const std::shared_ptr<series>& x) {
    const auto i = x->begun++;
    const auto at = clock_type::now();
    x->ask(i, [x, at](const caf::error& e) {
      if (const auto why = storage_failure_of(e)) {
        if (std::exchange(x->n, 0) != 0)
          x->promise.deliver(http_response{.status = 500, .headers = {}, .body = why->message});
        return;
      }
      x->times.push_back(us_since(at));
      if (++x->ended == x->n) {
        std::sort(x->times.begin(), x->times.end());
        x->promise.deliver(http_response{
            .status = 200,
            .headers = {},
            .body = fmt::format(
                "{:>9.0f} {:>9.0f} {:>9.0f}",
                x->times[x->n / 2],
                x->times[x->n * 99 / 100],
                static_cast<double>(x->n) * 1e6 / us_since(x->start))});
      } else if (x->begun < x->n) {
        next(x);
      }
    });
  }
};

template <class R>
void tell(R response, std::function<void(const caf::error&)> done) {
  response.then([done](const auto&...) { done({}); }, [done](const caf::error& e) { done(e); });
}

caf::behavior remote(engine_actor* self) {
  return {[self](const http_request& r) -> caf::result<http_response> {
    const auto path = r.path_only();
    const auto many = path.ends_with("64");
    const auto what = path.substr(1, path.rfind('/') - 1);
    auto x = std::make_shared<series>();
    x->n = many ? 5000 : 500;
    x->promise = self->make_response_promise<http_response>();
    const std::string value(100, 'v');
    if (what == "put")
      x->ask = [=](std::size_t i, auto done) {
        tell(self->kv().put(fmt::format("k{}", i % 1000), value), done);
      };
    if (what == "get")
      x->ask = [=](std::size_t i, auto done) {
        tell(self->kv().get(fmt::format("k{}", i % 1000)), done);
      };
    if (what == "select")
      x->ask = [=](std::size_t i, auto done) {
        tell(self->sql().execute("select b from t where a = ?", i % 1000), done);
      };
    if (what == "insert")
      x->ask = [=](std::size_t, auto done) {
        tell(self->sql().execute("insert into t (b) values (?)", value), done);
      };
    if (what == "setup") {
      x->n = 1;
      x->ask = [=](std::size_t, auto done) {
        tell(self->sql().exec("create table t (a integer primary key, b)"), done);
      };
    }
    if (!x->ask) return http_response{.status = 404, .headers = {}, .body = {}};
    for (std::size_t i = 0; i < (many ? 64U : 1U); ++i) series::next(x);
    return x->promise;
  }};
}

caf::behavior local(engine_actor* self) {
  auto opened = self->open_sqlite();
  if (!opened) {
    self->quit(opened.error());
    return {};
  }
  const auto db = std::make_shared<sqlite>(std::move(*opened));
  return {[db](const http_request& r) {
    const auto path = r.path_only();
    const std::string value(100, 'v');
    const auto run = [&](std::size_t n, auto&& once) {
      std::vector<double> times;
      const auto start = clock_type::now();
      for (std::size_t i = 0; i < n; ++i) {
        const auto at = clock_type::now();
        if (const auto got = once(i); !got)
          return http_response{
              .status = 500, .headers = {}, .body = storage_failure_of(got.error())->message};
        times.push_back(us_since(at));
      }
      const auto all = us_since(start);
      std::sort(times.begin(), times.end());
      return http_response{
          .status = 200,
          .headers = {},
          .body = fmt::format(
              "{:>9.0f} {:>9.0f} {:>9.0f}",
              times[n / 2],
              times[n * 99 / 100],
              static_cast<double>(n) * 1e6 / all)};
    };
    if (path == "/setup")
      return run(1, [&](auto) { return db->execute("create table t (a integer primary key, b)"); });
    if (path == "/insert")
      return run(500, [&](auto) { return db->execute("insert into t (b) values (?)", value); });
    if (path == "/insert in one transaction") {
      static_cast<void>(db->exec("begin"));
      auto out =
          run(5000, [&](auto) { return db->execute("insert into t (b) values (?)", value); });
      static_cast<void>(db->exec("commit"));
      return out;
    }
    if (path == "/select")
      return run(5000, [&](auto i) { return db->execute("select b from t where a = ?", i % 400); });
    if (path == "/fill") {
      return run(1, [&](auto) {
        return db->execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000) "
            "insert into t (b) select randomblob(4000) from n");
      });
    }
    if (path == "/scan")
      return run(1, [&](auto) { return db->execute("select sum(length(b)) from t"); });
    return http_response{.status = 404, .headers = {}, .body = {}};
  }};
}

struct config : caf::actor_system_config {
  config() { recommended(*this); }
};

}  // namespace

int main() {
  std::optional<testing::dev_engine> dev;
  std::optional<rivet_engine> rivet;
  std::string endpoint;
  if (std::getenv("NUNCIO_RIVET_ENGINE") != nullptr) {
    rivet.emplace();
    if (const auto started = rivet->start(); !started)
      return fmt::print("{}\n", started.error().message), 1;
    endpoint = rivet->endpoint();
  } else {
    dev.emplace(testing::dev_engine_options{});
    if (const auto started = dev->start(); !started)
      return fmt::print("{}\n", started.error().message), 1;
    endpoint = dev->endpoint();
  }
  config settings;
  caf::actor_system system{settings};
  host hosting{system, {.endpoint = endpoint, .pool = "bench"}};
  hosting.serve("remote", remote);
  hosting.serve(serve_options{.name = "local", .detached = true}, local);
  if (const auto started = hosting.start(); !started)
    return fmt::print("{}\n", started.error().message), 1;
  const testing::client client{
      {.endpoint = endpoint, .pool = "bench", .timeout = std::chrono::seconds{120}}};
  fmt::print(
      "{} engine\n{:<44} {:>9} {:>9} {:>9}\n",
      rivet ? "rivet" : "dev",
      "",
      "p50 us",
      "p99 us",
      "per s");
  const auto run = [&](const std::string& id, const std::string& what, const std::string& path) {
    const auto got = client.request(id, "GET", path);
    fmt::print("{:<44} {}\n", what, !got ? got.error().message : got->body);
  };
  const auto make = [&](const std::string& name) {
    for (int tries = 0; tries < 100; ++tries)
      if (const auto made = client.create({.name = name}); made) return made->id;
    return std::string{};
  };
  const auto a = make("remote");
  run(a, "KV put of 100 bytes, one at a time", "/put/1");
  run(a, "KV put, 64 in flight", "/put/64");
  run(a, "KV get, one at a time", "/get/1");
  run(a, "KV get, 64 in flight", "/get/64");
  run(a, "sql(): create table", "/setup/1");
  run(a, "sql(): insert, one at a time", "/insert/1");
  run(a, "sql(): select by key, one at a time", "/select/1");
  run(a, "sql(): select by key, 64 in flight", "/select/64");
  const auto b = make("local");
  run(b, "sqlite: create table", "/setup");
  run(b, "sqlite: insert, a commit each", "/insert");
  run(b, "sqlite: select by key, cached", "/select");
  run(b, "sqlite: insert of 20 MB, staged commit", "/fill");
  run(b, "sqlite: scan of 20 MB, first half cached", "/scan");
  hosting.stop();
  return 0;
}
