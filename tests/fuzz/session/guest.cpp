// See guest.hpp.
#include "session/guest.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <nlohmann/json.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/kv.hpp>
#include <nuncio/persistent_actor.hpp>
#include <nuncio/sql.hpp>
#include <nuncio/storage/sqlite_pages.hpp>
#include <nuncio/storage/storage_client.hpp>
#include <stdexcept>
#include <string>

namespace nuncio::fuzz {

struct kept_state {
  int n = 0;
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(kept_state, n)

namespace {

using promise = caf::typed_response_promise<http_response>;

struct guest_state {
  std::vector<promise> later;
  std::shared_ptr<const void> awake;
};

using guest_actor = caf::stateful_actor<guest_state, engine_actor>;
using keeper_actor = persistent_actor<kept_state>;
using archive_actor = persistent_actor<kept_state, state_in::sql>;

http_response plain(std::string body) {
  return {.status = 200, .headers = {{"content-type", "text/plain"}}, .body = std::move(body)};
}

// Answers what a storage call came to.
template <class Call>
caf::result<http_response> answer_with(engine_actor* self, Call call) {
  auto answer = self->make_response_promise<http_response>();
  call.then(
      [answer](const auto&...) mutable { answer.deliver(plain("done")); },
      [answer](const caf::error& e) mutable { answer.deliver(e); });
  return answer;
}

caf::result<http_response> stream(engine_actor* self, const http_request& r, std::size_t total) {
  const auto out = self->stream(r, {.status = 200, .headers = {}, .body = {}});
  self->on_writable(out, [total, sent = std::size_t{0}](body_writer& to) mutable {
    while (to.is_open() && sent < total) {
      const auto size = std::min({to.room(), total - sent, std::size_t{65536}});
      if (size == 0) return;
      if (!to.write(bytes{std::string(size, 's')})) return;
      sent += size;
    }
    if (to.is_open()) to.finish();
  });
  return caf::delegated<http_response>{};
}

caf::result<http_response> sink(engine_actor* self, const http_request& r, bool fails) {
  auto answer = self->make_response_promise<http_response>();
  static_cast<void>(self->on_body(r, [=](const request_part& part) mutable {
    if (fails) throw std::runtime_error("not this part");
    if (part.last) answer.deliver(plain("read"));
  }));
  return answer;
}

// Every call of storage that there is.
std::optional<caf::result<http_response>> ask_storage(engine_actor* self, const http_request& r) {
  const auto path = r.path_only();
  auto kv = self->kv();
  if (path == "/get") return answer_with(self, kv.get("key"));
  if (path == "/get-all") return answer_with(self, kv.get_all({"key", "k", "other"}));
  if (path == "/put") return answer_with(self, kv.put("key", r.path.str()));
  if (path == "/put-all") return answer_with(self, kv.put_all({{"k", "1"}, {"key", r.body}}));
  if (path == "/list") return answer_with(self, kv.list({.prefix = "k", .limit = 3}));
  if (path == "/erase") return answer_with(self, kv.erase("key"));
  if (path == "/erase-range") return answer_with(self, kv.erase_range("k", "kf"));
  if (path == "/drop") return answer_with(self, kv.drop());
  if (path == "/sql") return answer_with(self, self->sql().execute("select ?", 1));
  if (path == "/exec") return answer_with(self, self->sql().exec("delete from t; select 1"));
  if (path == "/batch")
    return answer_with(self, self->sql().batch({{"insert into t values (?)", {1}}, {"select 1"}}));
  if (path != "/await") return std::nullopt;
  auto answer = self->make_response_promise<http_response>();
  kv.get("key").await(
      [answer](const auto&) mutable { answer.deliver(plain("awaited")); },
      [answer](const caf::error& e) mutable { answer.deliver(e); });
  return answer;
}

// What every kind of guest does; what is particular to the last two handles itself.
std::optional<caf::result<http_response>> handle_common(engine_actor* self, const http_request& r) {
  const auto path = r.path_only();
  if (path == "/echo") return http_response{.status = 200, .headers = {}, .body = r.body};
  if (path == "/throw") throw std::runtime_error("thrown as asked");
  if (path == "/error") return caf::make_error(caf::sec::invalid_argument, "refused as asked");
  if (path == "/stream") return stream(self, r, 200'000);
  if (path == "/endless") return stream(self, r, 40'000'000);
  if (path == "/sink") return sink(self, r, false);
  if (path == "/fail-sink") return sink(self, r, true);
  if (auto asked = ask_storage(self, r)) return std::move(*asked);
  if (path == "/big") return plain(std::string(300'000, 'b'));
  if (path == "/nothing") return http_response{.status = 204, .headers = {}, .body = {}};
  if (path == "/bad")
    return http_response{.status = 1, .headers = {{"a", "b\r\nc"}}, .body = "no response"};
  if (path == "/broadcast") self->broadcast(text{"to all"});
  if (path == "/alarm")
    self->set_alarm(
        std::chrono::system_clock::time_point{std::chrono::milliseconds{1'700'000'000'500}});
  if (path == "/sleep") self->sleep();
  if (path == "/destroy") self->destroy();
  if (path == "/quit") self->quit();
  if (path == "/finish") self->finish();
  return std::nullopt;
}

caf::result<http_response> handle(guest_actor* self, const http_request& r) {
  if (auto done = handle_common(self, r)) return std::move(*done);
  const auto path = r.path_only();
  auto& state = state_of(self);
  if (path == "/later") {
    state.later.push_back(self->make_response_promise<http_response>());
    return state.later.back();
  }
  if (path == "/answer") {
    for (auto& each : std::exchange(state.later, {})) each.deliver(plain("at last"));
  }
  if (path == "/awake") state.awake = state.awake ? nullptr : self->keep_awake();
  return plain("ok");
}

void handle_open(const socket_opened& s) {
  if (s.socket.path() == "/hibernate")
    s.socket.accept({.hibernate = true, .state = bytes{std::string{"0"}}});
  else if (s.socket.path() == "/refuse")
    s.socket.refuse(4000, "refused as asked");
  else if (s.socket.path() != "/silent")
    s.socket.accept();
}

void handle_message(engine_actor* self, const socket_message& m) {
  const auto first = m.data.empty() ? '\0' : m.text().front();
  if (first == 'c') m.socket.close(1000, "closed as asked");
  if (first == 's') m.socket.set_state(m.data);
  if (first == 't') throw std::runtime_error("thrown as asked");
  if (first == 'z') self->sleep();
  if (first == 'k')
    self->kv().put("key", m.data).then([socket = m.socket] { socket.send(text{"stored"}); });
  m.socket.send(m.data, m.binary);
}

void handle_order(engine_actor* self, const std::string& order) {
  if (order == "quit") self->quit();
  if (order == "fail") self->quit(caf::make_error(caf::sec::runtime_error, "failed as asked"));
  if (order == "sleep") self->sleep();
  if (order == "destroy") self->destroy();
  if (order == "throw") throw std::runtime_error("thrown as asked");
  if (order == "finish") self->finish();
  if (order == "broadcast") self->broadcast(bytes{std::string(70'000, 'b')});
}

// Both are told of before anything else can happen to the instance.
template <class Actor>
void enter(Actor* self, guest_book* book) {
  const auto who = self->start().self;
  book->of->handle_factory(who, book->counts->ledger.get().fresh);
  book->of->handle_alive(who);
  book->present[who] = self->address();
  self->attach_functor([book, who](const caf::error&) {
    book->of->handle_ended(who);
    book->present.erase(who);
  });
}

caf::behavior guest(guest_actor* self, guest_book* book) {
  enter(self, book);
  return {
      [self](const http_request& r) { return handle(self, r); },
      [](const socket_opened& s) { handle_open(s); },
      [](const socket_restored& s) { s.socket.send(text{"back"}); },
      [self](const socket_message& m) { handle_message(self, m); },
      [self](const std::string& order) { handle_order(self, order); },
      [](const alarm_due&) {},
  };
}

// Goes on when it is told to stop, until somebody ends it.
caf::behavior restless(guest_actor* self, guest_book* book) {
  enter(self, book);
  return {
      [self](const http_request& r) { return handle(self, r); },
      [](const socket_opened& s) { handle_open(s); },
      [self](const socket_message& m) { handle_message(self, m); },
      [](const socket_closed&) {},
      [self](const std::string& order) { handle_order(self, order); },
      [](const stop_command&) {},
  };
}

template <class Actor>
caf::behavior keeper(Actor* self, guest_book* book) {
  enter(self, book);
  return {
      [self](const http_request& r) -> caf::result<http_response> {
        ++self->state.n;
        if (auto done = handle_common(self, r)) return std::move(*done);
        return plain(std::to_string(self->state.n));
      },
      [](const socket_opened& s) { handle_open(s); },
      [self](const socket_message& m) { handle_message(self, m); },
      [self](const std::string& order) { handle_order(self, order); },
  };
}

caf::behavior broken(engine_actor* self, guest_book* book) {
  book->of->handle_factory(self->start().self, book->counts->ledger.get().fresh);
  throw std::runtime_error("broken as asked");
}

caf::behavior quitter(engine_actor* self, guest_book* book) {
  enter(self, book);
  self->quit();
  return {[](const http_request&) { return plain("too late"); }};
}

class room final : public engine_actor {
public:
  room(caf::actor_config& cfg, guest_book* book) : engine_actor(cfg) { enter(this, book); }

  caf::behavior make_behavior() override {
    return {
        [](const http_request& r) { return plain(r.path.str()); },
        [this](const std::string& order) { handle_order(this, order); },
    };
  }
};

// A database as a local SQLite has it, with a few writes in SQLite's place: opened, read and committed as answers come, for
// each of which it waits as SQLite does.
class pager final : public engine_actor {
public:
  pager(caf::actor_config& cfg, guest_book* book) : engine_actor(cfg), book_(book) {
    enter(this, book);
  }

  caf::behavior make_behavior() override {
    in_use_ = storage().use_local_database();
    return {
        [this](const http_request& r) { return handle(r); },
        [this](const std::string& order) { handle_order(this, order); },
    };
  }

private:
  using done = std::function<void(outcome<void>)>;

  caf::result<http_response> handle(const http_request& r) {
    const auto path = r.path_only();
    auto answer = make_response_promise<http_response>();
    const done tell = [answer](const outcome<void>& came) mutable {
      answer.deliver(plain(came ? "done" : came.error().message));
    };
    std::function<void()> next;
    if (path == "/put") next = [=, this] { write(1, 3, tell); };
    // More than one commit takes.
    if (path == "/big") next = [=, this] { write(60, sqlite_pages::commit_pages_max + 10, tell); };
    if (path == "/erase")
      next = [=, this] {
        pages_.truncate(2);
        written_.erase(written_.upper_bound(2), written_.end());
        write(1, 1, tell);
      };
    if (path == "/get") next = [=, this] { read(pages_.size(), 1, tell); };
    if (path == "/list") next = [=, this] { read(1, 100, tell); };
    if (next) {
      open(std::move(next), tell);
      return answer;
    }
    if (auto common = handle_common(this, r)) return std::move(*common);
    return plain("ok");
  }

  void open(std::function<void()> next, const done& failed) {
    if (opened_) return next();
    pages_.begin_open();
    pump([=, this](const outcome<void>& came) {
      opened_ = came.ok();
      opened_ ? next() : failed(came);
    });
  }

  outcome<void> write(std::uint32_t pgno, const std::vector<std::uint8_t>& content) {
    auto good = pages_.write(pgno, content);
    if (good) written_[pgno] = content.back();
    return good;
  }

  void write(std::uint32_t first, std::uint32_t count, const done& next) {
    std::vector<std::uint8_t> content(
        sqlite_pages::page_bytes, static_cast<std::uint8_t>(++writes_));
    for (auto pgno = std::max(first, 2U); pgno < first + count; ++pgno)
      if (auto good = write(pgno, content); !good) return next(good);
    // SQLite writes the size into each commit.
    const auto size = std::max(pages_.size(), first + count - 1);
    for (unsigned i = 0; i < 4; ++i)
      content[28 + i] = static_cast<std::uint8_t>(size >> (24 - 8 * i));
    if (auto good = write(1, content); !good) return next(good);
    pages_.begin_commit(1);
    pump(next);
  }

  void read(std::uint32_t pgno, std::uint32_t most, const done& next) {
    for (; most != 0 && pgno != 0 && pgno <= pages_.size(); ++pgno, --most) {
      if (const auto page = pages_.find(pgno)) {
        const auto known = written_.find(pgno);
        expect(
            !book_->store_is_honest || known == written_.end() || page->back() == known->second,
            "a local database does not read what it has written");
        continue;
      }
      pages_.begin_fetch(pgno);
      return pump([=, this](const outcome<void>& came) {
        if (!came || !pages_.find(pgno)) return next(came);  // or it did not come
        read(pgno, most, next);
      });
    }
    next({});
  }

  void pump(const done& next) {
    auto call = pages_.poll_transmit();
    if (!call) return next(pages_.take_outcome());
    const auto go_on = [this, next](const storage_result& came) {
      pages_.handle_result(came);
      pump(next);
    };
    storage_response<storage_answer>{
        *this, storage().ask(std::move(*call)), [](storage_answer& x) { return std::move(x); }}
        .await(
            [go_on](storage_answer x) { go_on(std::move(x)); },
            [go_on](const caf::error& e) {
              const auto why = storage_failure_of(e);
              expect(why.has_value(), "storage fails with what is no failure of storage");
              go_on(*why);
            });
  }

  guest_book* book_;
  sqlite_pages pages_{{.clean_bytes_max = 32 * sqlite_pages::page_bytes, .attempts_max = 2}};
  std::shared_ptr<void> in_use_;
  bool opened_ = false;
  unsigned writes_ = 0;
  std::map<std::uint32_t, std::uint8_t> written_;  ///< what each page of this instance holds
};

}  // namespace

internal::factories guest_factories(guest_book& book) {
  using namespace std::chrono_literals;
  internal::factories out;
  const auto add = [&](std::string_view name, internal::factory made, bool parts = false) {
    out.insert_or_assign(
        std::string{name},
        internal::served{
            std::move(made),
            serve_options{
                .name = std::string{name}, .stream_requests = parts, .idle_timeout = 20s}});
  };
  auto* const to = &book;
  add("guest", internal::function_factory(guest, to));
  add("reader", internal::function_factory(guest, to), true);
  add("restless", internal::function_factory(restless, to));
  add("keeper", internal::function_factory(keeper<keeper_actor>, to));
  add("archive", internal::function_factory(keeper<archive_actor>, to));
  add("pager", internal::class_factory<pager>(to));
  add("broken", internal::function_factory(broken, to));
  add("quitter", internal::function_factory(quitter, to));
  add("room", internal::class_factory<room>(to));
  return out;
}

}  // namespace nuncio::fuzz
