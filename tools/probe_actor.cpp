// See probe_actor.hpp.
#include "probe_actor.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <caf/all.hpp>
#include <charconv>
#include <nlohmann/json.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/hex.hpp>
#include <nuncio/kv.hpp>
#include <nuncio/messages_lifecycle.hpp>
#include <nuncio/sql.hpp>
#include <nuncio/sqlite.hpp>
#include <nuncio/support/time_range.hpp>
#include <nuncio/tunnel/socket_exchange.hpp>
#include <nuncio/utf8.hpp>

namespace nuncio::probe_messages {

/// A delayed message of the probe to itself.
struct later {
  std::function<void()> what;
};

}  // namespace nuncio::probe_messages

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::probe_messages::later)
CAF_BEGIN_TYPE_ID_BLOCK(probe, caf::first_custom_type_id)
CAF_ADD_TYPE_ID(probe, (nuncio::probe_messages::later))
CAF_END_TYPE_ID_BLOCK(probe)

namespace nuncio {
namespace {

const bool types_registered = register_types<caf::id_block::probe>();

using probe_messages::later;
using json = nlohmann::json;

struct digest {
  std::shared_ptr<EVP_MD_CTX> context{EVP_MD_CTX_new(), EVP_MD_CTX_free};

  digest() { EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr); }

  void add(const bytes& x) { EVP_DigestUpdate(context.get(), x.data(), x.size()); }

  std::string hex() {
    std::array<std::uint8_t, EVP_MAX_MD_SIZE> raw{};
    unsigned size = 0;
    EVP_DigestFinal_ex(context.get(), raw.data(), &size);
    return to_hex({raw.data(), size});
  }
};

struct probe_state {
  std::function<std::uint64_t()> starts;  ///< of this actor in this process, all generations
  std::uint64_t wakes = 0;                ///< kept in storage
  std::string last_stop;
  std::uint64_t alarms = 0;
};

using probe_actor = caf::stateful_actor<probe_state, engine_actor>;

http_response said_plainly(std::uint16_t status, std::string body) {
  return {.status = status, .headers = {{"content-type", "text/plain"}}, .body = std::move(body)};
}

// JSON holds UTF-8 text only; anything else is written as {"hex": …}.
json in_json(std::string_view x) {
  if (is_utf8(x)) return x;
  return {{"hex", to_hex({reinterpret_cast<const std::uint8_t*>(x.data()), x.size()})}};
}

http_response as_json(const json& x, std::uint16_t status = 200) {
  return {.status = status, .headers = {{"content-type", "application/json"}}, .body = x.dump()};
}

std::optional<std::uint64_t> number(const http_request& r, std::string_view name) {
  return query_number<std::uint64_t>(r.path, name);
}

/// Any number of milliseconds; values above chrono's largest become the largest.
std::chrono::milliseconds time_of(
    const http_request& r, std::string_view name, std::chrono::milliseconds otherwise = {}) {
  constexpr std::uint64_t most = std::chrono::milliseconds::max().count();
  const auto x = number(r, name);
  return x ? std::chrono::milliseconds{std::min(*x, most)} : otherwise;
}

http_response wants(std::string_view what) {
  return said_plainly(400, fmt::format("this request needs {}\n", what));
}

http_response failed(const caf::error& e, caf::actor_system& sys, std::uint16_t too_large = 500) {
  const auto why = storage_failure_of(e);
  const auto code = why ? why->code : errc::internal;
  const std::uint16_t status = code == errc::too_large          ? too_large
                               : code == errc::invalid_argument ? 400
                               : code == errc::queue_full       ? 503
                                                                : 500;
  return said_plainly(status, describe(sys, e) + "\n");
}

using promise = caf::typed_response_promise<http_response>;

// Calls `f` with the whole body, whether it arrives whole or in chunks.
template <class F>
caf::result<http_response> with_body(probe_actor* self, const http_request& r, F f) {
  auto answer = self->make_response_promise<http_response>();
  const auto all = std::make_shared<std::vector<std::uint8_t>>();
  static_cast<void>(self->on_body(r, [=](const request_part& part) {
    all->insert(all->end(), part.data.begin(), part.data.end());
    if (part.last) f(bytes{std::move(*all)}, answer);
  }));
  return answer;
}

// -- key-value storage

auto failing(probe_actor* self, promise to, std::uint16_t too_large = 500) {
  return [=](const caf::error& e) mutable { to.deliver(failed(e, self->system(), too_large)); };
}

caf::result<http_response> handle_kv(probe_actor* self, const http_request& r) {
  if (const auto prefix = query_value(r.path, "prefix"); prefix && r.method == "GET") {
    kv_query what{
        .prefix = *prefix,
        .reverse = query_value(r.path, "reverse") == "1",
        .limit = number(r, "limit")};
    auto answer = self->make_response_promise<http_response>();
    self->kv()
        .list(std::move(what))
        .then(
            [answer](const std::vector<kv_entry>& found) mutable {
              auto out = json::array();
              for (const auto& each : found)
                out.push_back(json::array({in_json(each.key.view()), in_json(each.value.view())}));
              answer.deliver(as_json(out));
            },
            failing(self, answer));
    return answer;
  }
  const auto key = query_value(r.path, "key");
  if (!key) return wants("?key= or ?prefix=");
  if (r.method == "PUT")
    return with_body(self, r, [self, key](bytes body, promise to) {
      self->kv()
          .put(*key, std::move(body))
          .then(
              [to]() mutable { to.deliver(said_plainly(200, "stored\n")); },
              failing(self, to, 413));
    });
  auto answer = self->make_response_promise<http_response>();
  if (r.method == "DELETE") {
    self->kv().erase(*key).then(
        [answer]() mutable { answer.deliver(said_plainly(200, "erased\n")); },
        failing(self, answer, 413));
  } else {
    self->kv().get(*key).then(
        [answer](const std::optional<bytes>& value) mutable {
          answer.deliver(
              value ? http_response{.status = 200, .headers = {}, .body = *value}
                    : said_plainly(404, "no such key\n"));
        },
        failing(self, answer, 413));
  }
  return answer;
}

// -- SQL

json to_json(const sql_value& x) {
  if (const auto n = x.integer()) return *n;
  if (const auto n = x.real()) return *n;
  if (const auto t = x.string()) return in_json(*t);
  if (const auto b = x.blob()) return to_hex(b->span());
  return {};
}

http_response as_json(const sql_result& x) {
  auto rows = json::array();
  for (const auto& row : x.rows) {
    auto& out = rows.emplace_back(json::array());
    for (const auto& value : row) out.push_back(to_json(value));
  }
  auto columns = json::array();
  for (const auto& name : x.columns) columns.push_back(in_json(name));
  return as_json(json{{"columns", std::move(columns)}, {"rows", std::move(rows)}});
}

caf::result<http_response> handle_sql(probe_actor* self, const http_request& r) {
  return with_body(self, r, [self](const bytes& body, promise answer) {
    if (!is_utf8(body.view())) {
      answer.deliver(wants("SQL in UTF-8"));
      return;
    }
    self->sql()
        .exec(std::string{body.view()})
        .then(
            [answer](const sql_result& x) mutable { answer.deliver(as_json(x)); },
            failing(self, answer));
  });
}

// Waits for the engine: this actor has its own thread. Opened for each request, because the engine's SQL and an open database
// exclude each other.
http_response run_here(probe_actor* self, std::string_view script) {
  auto database = self->open_sqlite();
  if (!database) return failed(database.error(), self->system());
  auto result = database->exec(script);
  return result ? as_json(*result) : failed(result.error(), self->system());
}

// -- streaming bodies

void handle_stream(probe_actor* self, const http_request& r) {
  const auto total = number(r, "bytes").value_or(0);
  const auto chunk = std::clamp<std::uint64_t>(number(r, "chunk").value_or(65536), 1, 1UL << 20U);
  const auto out = self->stream(
      r, {.status = 200, .headers = {{"content-type", "application/octet-stream"}}, .body = {}});
  self->on_writable(out, [=, sent = std::uint64_t{0}](body_writer& to) mutable {
    while (to.is_open() && sent < total) {
      const auto size = std::min({chunk, total - sent, static_cast<std::uint64_t>(to.room())});
      if (size == 0) return;
      std::vector<std::uint8_t> part(size);
      for (auto& x : part) x = static_cast<std::uint8_t>(sent++ % 251);
      if (!to.write(bytes{std::move(part)})) return;
    }
    if (to.is_open()) to.finish();
  });
}

struct event_feed {
  std::uint64_t count;
  std::chrono::milliseconds pause;
  std::uint64_t next = 0;
  bool pausing = false;
};

// Writes the events that are due, as far as there is room.
void feed(probe_actor* self, const std::shared_ptr<event_feed>& events, const body_writer& to) {
  while (to.is_open() && !events->pausing) {
    if (events->next == events->count) return to.finish();
    if (!to.write(bytes{fmt::format("id: {}\ndata: {}\n\n", events->next, events->next)}))
      return;  // on_writable continues when there is room
    if (++events->next == events->count || events->pause.count() == 0) continue;
    events->pausing = true;
    self->delayed_send(self, events->pause, later{[=] {
                         events->pausing = false;
                         feed(self, events, to);
                       }});
  }
}

void handle_events(probe_actor* self, const http_request& r) {
  const auto events = std::make_shared<event_feed>();
  events->count = number(r, "count").value_or(1);
  events->pause = waitable(time_of(r, "ms", std::chrono::seconds{1}));
  const auto out = self->stream(
      r, {.status = 200, .headers = {{"content-type", "text/event-stream"}}, .body = {}});
  self->on_writable(out, [=](const body_writer& to) { feed(self, events, to); });
}

caf::result<http_response> handle_sink(probe_actor* self, const http_request& r) {
  auto answer = self->make_response_promise<http_response>();
  const auto rate = number(r, "read").value_or(0);

  struct progress {
    digest sum;
    std::uint64_t size = 0;
    body_reader reader;
  };

  const auto so_far = std::make_shared<progress>();
  so_far->reader = self->on_body(r, [=](const request_part& part) mutable {
    so_far->sum.add(part.data);
    so_far->size += part.data.size();
    if (part.last)
      answer.deliver(as_json({{"bytes", so_far->size}, {"sha256", so_far->sum.hex()}}));
    if (part.last || part.failed || rate == 0) return;
    so_far->reader.pause();
    self->delayed_send(
        self, std::chrono::milliseconds{1000 * part.data.size() / rate}, later{[so_far] {
          so_far->reader.resume();
        }});
  });
  return answer;
}

// -- everything else

caf::result<http_response> handle_info(probe_actor* self) {
  const auto& start = self->start();
  return as_json({
      {"id", start.self.actor.str()},
      {"key", start.key ? json(start.key->str()) : json{}},
      {"generation", start.self.generation},
      {"starts", state_of(self).starts()},
      {"wakes", state_of(self).wakes},
      {"lastStop", in_json(state_of(self).last_stop)},
      {"alarms", state_of(self).alarms},
      {"requests", self->open_requests()},
      {"sockets", self->sockets().size()},
  });
}

caf::result<http_response> handle(probe_actor* self, const http_request& r) {
  const auto path = r.path_only();
  const auto is = [&](std::string_view name) { return path == fmt::format("/request/{}", name); };
  if (is("kv")) return handle_kv(self, r);
  if (is("sql")) return handle_sql(self, r);
  if (is("sqlite"))
    return with_body(self, r, [self](const bytes& body, promise answer) {
      answer.deliver(run_here(self, body.view()));
    });
  if (is("sink")) return handle_sink(self, r);
  if (is("info")) return handle_info(self);
  if (is("stream")) {
    handle_stream(self, r);
    return caf::delegated<http_response>{};
  }
  if (is("events")) {
    handle_events(self, r);
    return caf::delegated<http_response>{};
  }
  if (is("slow")) {
    auto answer = self->make_response_promise<http_response>();
    self->delayed_send(self, waitable(time_of(r, "ms")), later{[answer]() mutable {
                         answer.deliver(said_plainly(200, "at last\n"));
                       }});
    return answer;
  }
  if (is("fail"))
    return said_plainly(
        static_cast<std::uint16_t>(number(r, "status").value_or(500)), "as you asked\n");
  if (is("crash")) throw std::runtime_error("crashed as asked");
  if (is("sleep")) {
    self->sleep();
    return said_plainly(200, "good night\n");
  }
  if (is("destroy")) {
    self->destroy();
    return said_plainly(200, "farewell\n");
  }
  if (is("alarm")) {
    self->set_alarm(nuncio::later(std::chrono::system_clock::now(), time_of(r, "ms")));
    return said_plainly(200, "set\n");
  }
  return said_plainly(404, fmt::format("no route for {} {}\n", r.method.view(), path));
}

// -- WebSockets

void handle_hibernating(probe_actor* self, const socket_message& m) {
  std::uint64_t n = 0;
  const auto kept = m.socket.state();
  std::from_chars(kept.view().data(), kept.view().data() + kept.size(), n);
  m.socket.set_state(bytes{std::to_string(++n)});
  const json out{{"n", n}, {"generation", self->start().self.generation}, {"text", m.text()}};
  m.socket.send(text{out.dump(-1, ' ', false, json::error_handler_t::replace)});
}

void handle_message(probe_actor* self, const socket_message& m) {
  if (m.socket.hibernates())
    handle_hibernating(self, m);
  else if (const auto sent = m.socket.send(m.data, m.binary);
           !sent && sent.error() == errc::too_large)
    m.socket.close(close_too_large, "too long to echo");
}

void handle_open(const socket_opened& s) {
  const auto path = s.socket.path().substr(0, s.socket.path().find('?'));
  if (path == "/websocket/echo")
    s.socket.accept();
  else if (path == "/websocket/hibernate")
    s.socket.accept({.hibernate = true, .state = bytes{std::string{"0"}}});
  else
    s.socket.refuse(4004, "no such WebSocket");
}

// Counts this start as one of the actor's.
void remember_start(probe_actor* self) {
  self->kv()
      .get_all({"probe/wakes", "probe/stop"})
      .then(
          [self](const std::vector<std::optional<bytes>>& kept) {
            if (kept[0])
              std::from_chars(
                  kept[0]->view().data(),
                  kept[0]->view().data() + kept[0]->size(),
                  state_of(self).wakes);
            if (kept[1]) state_of(self).last_stop = kept[1]->view();
            self->kv()
                .put("probe/wakes", std::to_string(++state_of(self).wakes))
                .then([] {}, [](const caf::error&) {});
          },
          [](const caf::error&) {});
}

caf::behavior probe(probe_actor* self, const std::shared_ptr<start_census>& census) {
  const auto& who = self->start().self;
  census->count(who);
  state_of(self).starts = [census, id = who.actor, then = census->starts_of(who.actor)] {
    return std::max(then, census->starts_of(id));
  };
  remember_start(self);
  return {
      [self](const http_request& r) { return handle(self, r); },
      [](const socket_opened& s) { handle_open(s); },
      [self](const socket_message& m) { handle_message(self, m); },
      [self](const alarm_due&) { ++state_of(self).alarms; },
      [self](const stop_command& why) {
        const auto name = wire_enum(why.reason).values[static_cast<std::size_t>(why.reason)];
        self->kv()
            .put("probe/stop", name)
            .then([self] { self->finish(); }, [self](const caf::error&) { self->finish(); });
      },
      [](const later& x) { x.what(); },
  };
}

}  // namespace

void serve_probe(host& to, const std::shared_ptr<start_census>& census, std::string name) {
  to.serve(
      serve_options{.name = std::move(name), .detached = true, .stream_requests = true},
      probe,
      census);
}

}  // namespace nuncio
