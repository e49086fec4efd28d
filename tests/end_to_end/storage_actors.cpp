// See storage_actors.hpp.
#include "storage_actors.hpp"

#include <fmt/format.h>

#include <caf/all.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/hex.hpp>
#include <nuncio/persistent_actor.hpp>
#include <nuncio/sqlite.hpp>

namespace nuncio::e2e {
namespace {

http_response ok(std::string body) {
  return {.status = 200, .headers = {}, .body = std::move(body)};
}

http_response in_words(const caf::error& e) {
  const auto why = storage_failure_of(e).value_or(
      storage_failure{errc::internal, "no error of storage", false, {}});
  return {
      .status = 500,
      .headers = {},
      .body = fmt::format(
          "{}{}: {}", to_string(why.code), why.may_have_happened ? " maybe" : "", why.message)};
}

std::string in_words(const sql_value& x) {
  if (x.is_null()) return "null";
  if (const auto v = x.integer()) return std::to_string(*v);
  if (const auto v = x.real()) return fmt::format("{}", *v);
  if (const auto v = x.string()) return fmt::format("'{}'", *v);
  const auto blob = x.blob();
  return "x" + to_hex(blob->span());
}

http_response in_words(const sql_result& x) {
  std::string out;
  for (const auto& name : x.columns) out += (out.empty() ? "" : "|") + name;
  for (const auto& row : x.rows) {
    out += '\n';
    for (std::size_t i = 0; i < row.size(); ++i) out += (i == 0 ? "" : "|") + in_words(row[i]);
  }
  return ok(std::move(out));
}

// Answers with what `f` makes of it, or with the error in words.
template <class R, class F>
caf::result<http_response> told(engine_actor* self, R response, F f) {
  auto promise = self->make_response_promise<http_response>();
  response.then(
      [promise, f](auto... xs) mutable { promise.deliver(f(std::move(xs)...)); },
      [promise](const caf::error& e) mutable { promise.deliver(in_words(e)); });
  return promise;
}

std::vector<sql_statement> lines_of(std::string_view body) {
  std::vector<sql_statement> out;
  while (!body.empty()) {
    const auto end = std::min(body.find('\n'), body.size());
    out.push_back({std::string{body.substr(0, end)}, {}});
    body.remove_prefix(std::min(end + 1, body.size()));
  }
  return out;
}

struct count {
  std::size_t waits = 0, good = 0;
  std::string error;
};

caf::behavior store(engine_actor* self) {
  return {[self](const http_request& r) -> caf::result<http_response> {
    const auto path = r.path_only();
    const auto rest =
        path.size() < r.path.size() ? r.path.view().substr(path.size() + 1) : std::string_view{};
    const auto done = [] { return ok("done"); };
    if (path == "/put") return told(self, self->kv().put(rest, r.body), done);
    if (path == "/put-quit") {
      self->kv().put(rest, r.body).then([] {}, [](const caf::error&) {});
      self->quit();
      return ok("never seen");
    }
    if (path == "/get")
      return told(self, self->kv().get(rest), [](std::optional<bytes> v) {
        return v ? ok(std::string{v->view()})
                 : http_response{.status = 404, .headers = {}, .body = {}};
      });
    if (path == "/list")
      return told(self, self->kv().list({.prefix = rest}), [](std::vector<kv_entry> found) {
        std::string out;
        for (const auto& x : found) out += fmt::format("{}={}\n", x.key.view(), x.value.view());
        return ok(std::move(out));
      });
    if (path == "/count")
      return told(self, self->kv().list({.prefix = rest}), [](std::vector<kv_entry> found) {
        return ok(fmt::to_string(found.size()));
      });
    if (path == "/zeros")
      return told(
          self, self->kv().put(std::string(std::stoul(std::string{rest}), '\0'), "v"), done);
    if (path == "/largest") {  // keys as the engine counts them, and values: `rest` bytes together
      std::vector<std::pair<octets, octets>> entries;
      for (auto left = std::stoul(std::string{rest}); left != 0;) {
        const auto value = std::min<std::size_t>(left - 11, 131'072);
        entries.emplace_back(fmt::format("large {:02}", entries.size()), std::string(value, 'x'));
        left -= value + 11;
      }
      return told(self, self->kv().put_all(std::move(entries)), done);
    }
    if (path == "/erase") return told(self, self->kv().erase(rest), done);
    if (path == "/drop") return told(self, self->kv().drop(), done);
    if (path == "/many") {
      auto promise = self->make_response_promise<http_response>();
      auto all = std::make_shared<count>();
      all->waits = std::stoul(std::string{rest});
      auto ended = [promise, all]() mutable {
        if (--all->waits == 0) promise.deliver(ok(fmt::format("{} {}", all->good, all->error)));
      };
      for (std::size_t i = 0, n = all->waits; i < n; ++i)
        self->kv()
            .put(fmt::format("many {:04}", i), "v")
            .then(
                [all, ended]() mutable {
                  ++all->good;
                  ended();
                },
                [all, ended](const caf::error& e) mutable {
                  all->error = std::string{in_words(e).body.view()};
                  ended();
                });
      return promise;
    }
    const auto rows = [](const sql_result& x) { return in_words(x); };
    if (path == "/sql") return told(self, self->sql().execute(std::string{r.body.view()}), rows);
    if (path == "/exec") return told(self, self->sql().exec(std::string{r.body.view()}), rows);
    if (path == "/params")
      return told(
          self,
          self->sql().execute(
              "select ?, ?, ?, ?, ?", nullptr, -7, 1.5, "text", bytes{std::string{"\0\xff", 2}}),
          rows);
    if (path == "/spare")  // a parameter more than the statement has
      return told(self, self->sql().execute("select ?", 1, 2), rows);
    if (path == "/bind")
      return told(
          self,
          self->sql().execute("select ?", std::string(std::stoul(std::string{rest}), 'x')),
          rows);
    if (path == "/batch")
      return told(
          self, self->sql().batch(lines_of(r.body.view())), [](const std::vector<sql_result>& xs) {
            std::string out;
            for (const auto& x : xs) out += fmt::format("{} ", x.changes);
            return ok(std::move(out));
          });
    if (path == "/open") {
      const auto db = self->open_sqlite();
      return db ? ok("open") : in_words(db.error());
    }
    return http_response{.status = 404, .headers = {}, .body = {}};
  }};
}

caf::behavior local(engine_actor* self) {
  auto opened = self->open_sqlite();
  if (!opened) {
    self->quit(opened.error());
    return {};
  }
  const auto db = std::make_shared<sqlite>(std::move(*opened));
  return {[self, db](const http_request& r) -> caf::result<http_response> {
    const auto path = r.path_only();
    if (path == "/sql") {
      const auto got = db->run(r.body.view(), {});
      return got ? in_words(*got) : in_words(got.error());
    }
    if (path == "/exec") {
      const auto got = db->exec(r.body.view());
      return got ? ok("done") : in_words(got.error());
    }
    if (path == "/stats") {
      const auto& x = db->stats();
      return ok(fmt::format(
          "fetches {} commits {} staged {} probes {}", x.fetches, x.commits, x.staged, x.probes));
    }
    if (path == "/remote")
      return told(
          self, self->sql().execute("select 1"), [](const sql_result& x) { return in_words(x); });
    if (path == "/again") {
      const auto again = self->open_sqlite();
      return again ? ok("open") : in_words(again.error());
    }
    return http_response{.status = 404, .headers = {}, .body = {}};
  }};
}

// One database by both doors: opened and closed as it is told.
caf::behavior two_doors(engine_actor* self) {
  const auto db = std::make_shared<std::optional<sqlite>>();
  return {[self, db](const http_request& r) -> caf::result<http_response> {
    const auto path = r.path_only();
    if (path == "/open") {
      auto opened = self->open_sqlite();
      if (!opened) return in_words(opened.error());
      db->emplace(std::move(*opened));
      return ok("open");
    }
    if (path == "/close") {
      db->reset();
      return ok("closed");
    }
    if (path == "/local" && *db) {
      const auto got = (*db)->run(r.body.view(), {});
      return got ? in_words(*got) : in_words(got.error());
    }
    if (path == "/sql")
      return told(self, self->sql().execute(std::string{r.body.view()}), [](const sql_result& x) {
        return in_words(x);
      });
    return http_response{.status = 404, .headers = {}, .body = {}};
  }};
}

struct tallied {
  int n = 0;
  std::string pad{};
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(tallied, n, pad)

struct measured {
  double number = 1;
};

void to_json(nlohmann::json& to, const measured& from) { to = {{"number", from.number}}; }

void from_json(const nlohmann::json& from, measured& to) {
  if (measured_is_unreadable) throw std::runtime_error{"the type has changed"};
  from.at("number").get_to(to.number);
}

template <state_in Where>
caf::behavior gauge(persistent_actor<measured, Where>* self) {
  return {[self](const http_request& r) -> caf::result<http_response> {
    const auto path = r.path_only();
    if (path == "/nan") self->state.number = std::numeric_limits<double>::quiet_NaN();
    if (path == "/set") self->state.number = std::stod(std::string{r.body.view()});
    if (path == "/sleep") self->sleep();
    if (path == "/save") return self->save_now().answer([] { return ok("saved"); });
    return ok(fmt::format("{} {}", self->state.number, self->start().self.generation));
  }};
}

template <state_in Where>
caf::behavior tally(persistent_actor<tallied, Where>* self) {
  return {[self](const http_request& r) -> caf::result<http_response> {
    const auto path = r.path_only();
    if (path == "/up") ++self->state.n;
    if (path == "/pad") self->state.pad.assign(std::stoul(std::string{r.body.view()}), 'x');
    if (path == "/throw") throw std::runtime_error{"thrown"};
    if (path == "/quit") self->quit();
    auto said = fmt::format(
        "{}{} {} {}",
        self->is_new() ? "new " : "",
        self->state.n,
        self->state.pad.size(),
        self->start().self.generation);
    if (path == "/save") return self->save_now().answer([said] { return ok(said); });
    return ok(std::move(said));
  }};
}

}  // namespace

void serve_storage_actors(host& to) {
  to.serve("store", store);
  to.serve("tally", tally<state_in::kv>);
  to.serve("sql tally", tally<state_in::sql>);
  to.serve("gauge", gauge<state_in::kv>);
  to.serve("sql gauge", gauge<state_in::sql>);
  to.serve(serve_options{.name = "sqlite", .detached = true}, local);
  to.serve(serve_options{.name = "two doors", .detached = true}, two_doors);
}

}  // namespace nuncio::e2e
