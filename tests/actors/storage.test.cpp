// kv() and sql() of an engine actor: which requests reach the engine, and which results reach the actor.
#include <nuncio/kv.hpp>
#include <nuncio/sql.hpp>

#include "actors/watched_actors.hpp"

namespace nuncio::test::storage_test {
namespace {

using strings = std::vector<std::string>;
using reason = protocol::stop_actor_reason;

std::string in_words(const caf::error& e) {
  const auto why = storage_failure_of(e);
  if (!why) return "not an error of storage";
  return fmt::format(
      "{}{}: {}", to_string(why->code), why->may_have_happened ? " maybe" : "", why->message);
}

http_response ok(std::string body) {
  return {.status = 200, .headers = {}, .body = std::move(body)};
}

// Does what a path says; what it is told goes to `told`.
caf::behavior keeper(engine_actor* self, std::shared_ptr<strings> told) {
  const auto note = [told](std::string what) {
    return std::pair{
        [told, what] { told->push_back(what); },
        [told, what](const caf::error& e) { told->push_back(what + " " + in_words(e)); }};
  };
  return {[=](const http_request& r) -> caf::result<http_response> {
    const auto path = r.path.view();
    if (path.starts_with("/get/"))
      return self->kv().get(path.substr(5)).answer([](std::optional<bytes> v) {
        return v ? ok(std::string{v->view()})
                 : http_response{.status = 404, .headers = {}, .body = {}};
      });
    if (path == "/await") {
      self->kv().get("k").await([=](std::optional<bytes>) { told->push_back("awaited"); });
      return ok("");
    }
    if (path == "/patient") {
      self->kv().get("k").await(
          [](std::optional<bytes>) {}, [=](const caf::error&) { told->push_back("failed"); });
      return ok("");
    }
    if (path.starts_with("/put/"))
      return self->kv().put(path.substr(5), r.body).answer([] { return ok("put"); });
    if (path == "/turn") {
      for (const auto* key : {"a", "b", "a"}) {
        auto [good, bad] = note(std::string{"put "} + key);
        self->kv().put(key, "1").then(good, bad);
      }
      self->kv().get_all({"a", "x"}).then([=](std::vector<std::optional<bytes>> got) {
        told->push_back(
            fmt::format("got {}{}", got.at(0) ? got.at(0)->view() : "-", got.at(1) ? "?" : "-"));
      });
      auto [good, bad] = note("erase");
      self->kv().erase("b").then(good, bad);
    }
    if (path == "/list")
      return self->kv()
          .list({.prefix = "p", .reverse = true, .limit = 2})
          .answer([](std::vector<kv_entry> found) {
            std::string out;
            for (const auto& x : found)
              out += fmt::format(
                  "{}={}@{} ", x.key.view(), x.value.view(), x.updated.time_since_epoch() / 1ms);
            return ok(std::move(out));
          });
    if (path == "/ranges") {
      auto [good, bad] = note("drop");
      self->kv().list({.first = "b"}).then([](const std::vector<kv_entry>&) {}, bad);
      self->kv().list({.first = "b", .last = "d"}).then([](const std::vector<kv_entry>&) {}, bad);
      self->kv().list().then([](const std::vector<kv_entry>&) {}, bad);
      self->kv().list({.prefix = "b", .first = "d"}).then([](const std::vector<kv_entry>&) {}, bad);
      self->kv().erase_range("b", "d").then([] {}, bad);
      self->kv().drop().then(good, bad);
    }
    if (path == "/quit") {
      auto [good, bad] = note("last");
      self->kv().put("last", "1").then(good, bad);
      self->quit();
    }
    if (path == "/careless") self->kv().put("k", "1").then([] {});
    return ok("");
  }};
}

// Asks for two lists, and awaits a third, or what comes behind a third.
caf::behavior waiter(engine_actor* self, std::shared_ptr<strings> told) {
  return {[=](const http_request& r) {
    const auto list = [=] {
      self->kv().list().then(
          [=](const std::vector<kv_entry>&) { told->push_back("listed"); },
          [=](const caf::error& e) { told->emplace_back(to_string(storage_failure_of(e)->code)); });
    };
    list();
    list();
    if (r.path == "/behind") {
      list();
      self->kv().put("k", "v").then([=] { told->push_back("put"); });
      self->kv().get("k").await([=](std::optional<bytes>) { told->push_back("awaited"); });
      return ok("");
    }
    self->kv().list().await([=](const std::vector<kv_entry>&) { told->push_back("awaited"); });
    return ok("");
  }};
}

// Keeps all that it is told.
struct hoard {
  std::vector<bytes> values;
  std::vector<text> texts;
};

caf::behavior hoarder(engine_actor* self, std::shared_ptr<hoard> kept) {
  const auto keep_rows = [=](const sql_result& got) {
    for (const auto& row : got.rows)
      for (const auto& x : row) {
        if (const auto* some = std::get_if<bytes>(&x.content())) kept->values.push_back(*some);
        if (const auto* some = std::get_if<text>(&x.content())) kept->texts.push_back(*some);
      }
  };
  return {[=](const http_request& r) {
    if (r.path == "/get")
      self->kv().get("a").then([=](std::optional<bytes> got) { kept->values.push_back(*got); });
    if (r.path == "/get_all")
      self->kv().get_all({"a", "b"}).then([=](const std::vector<std::optional<bytes>>& got) {
        for (const auto& each : got) kept->values.push_back(*each);
      });
    if (r.path == "/list")
      self->kv().list().then([=](const std::vector<kv_entry>& got) {
        for (const auto& each : got)
          kept->values.insert(kept->values.end(), {each.key, each.value});
      });
    if (r.path == "/put") self->kv().put("k", r.body).then([] {});
    if (r.path == "/bind") self->sql().run({"one", {r.body}}).then(keep_rows);
    if (r.path == "/bind_all")
      self->sql().batch({{"one"}, {"two", {r.body}}}).then([](const std::vector<sql_result>&) {});
    if (r.path == "/exec") self->sql().exec("script").then(keep_rows);
    if (r.path == "/run") self->sql().run({"one"}).then(keep_rows);
    if (r.path == "/batch")
      self->sql().batch({{"one"}, {"two"}}).then([=](const std::vector<sql_result>& got) {
        for (const auto& each : got) keep_rows(each);
      });
    return http_response{};
  }};
}

// A frame as the link has read it, and what is cut from it.
struct frame_read {
  std::shared_ptr<const std::string> whole;

  explicit frame_read(std::string content)
      : whole(std::make_shared<const std::string>(std::move(content))) {}

  [[nodiscard]] text cut(std::size_t from, std::size_t size) const {
    return {whole, std::span<const char>{*whole}.subspan(from, size)};
  }

  [[nodiscard]] bytes raw(std::size_t from, std::size_t size) const {
    const auto part = cut(from, size);
    return {part.owner(), {reinterpret_cast<const std::uint8_t*>(part.data()), part.size()}};
  }
};

struct fixture : hosted {
  actor_ref a = instance_of("a");
  std::shared_ptr<strings> told = std::make_shared<strings>();
  std::shared_ptr<hoard> kept = std::make_shared<hoard>();

  fixture() {
    host.serve("keeper", keeper, told);
    host.serve("hoarder", hoarder, kept);
    host.serve("waiter", waiter, told);
    host.boot();
    host.start_accepted(a, "keeper");
    host.clear();
  }

  protocol::to_rivet_kv_request kv(std::size_t nth) {
    const auto all = host.storage_requests_sent();
    REQUIRE(nth < all.size());
    return std::get<protocol::to_rivet_kv_request>(all[nth]);
  }

  template <class T>
  T kv_as(std::size_t nth) {
    const auto request = kv(nth);
    REQUIRE(std::holds_alternative<T>(request.data));
    return std::get<T>(request.data);
  }

  void answer(std::size_t nth, protocol::kv_response_data with) {
    host.deliver(protocol::to_envoy_kv_response{kv(nth).request_id, std::move(with)});
  }

  /// With one entry, the key "k" and so many zeros.
  void answer_list(std::size_t nth, std::size_t size) {
    answer(
        nth,
        protocol::kv_list_response{
            {bytes{"\x04k"}}, {bytes{std::vector<std::uint8_t>(size)}}, {{}}});
  }
};

bytes of(std::string_view x) { return bytes{x}; }

}  // namespace

TEST_CASE_FIXTURE(
    fixture, "a get is asked for under the user's prefix, and its value answers the request") {
  host.request(a, 1, "GET", "/get/k");
  CHECK(kv(0).actor_id == a.actor);
  CHECK(kv_as<protocol::kv_get_request>(0).keys == std::vector<bytes>{of("\x04k")});
  answer(0, protocol::kv_get_response{{of("\x04k")}, {of("value")}, {{}}});
  CHECK(host.lines().back() == "1 #0 200 value");
  host.request(a, 2, "GET", "/get/none");
  answer(1, protocol::kv_get_response{});
  CHECK(host.lines().back() == "2 #0 404 ");
}

TEST_CASE_FIXTURE(
    fixture,
    "an error of storage that its handler passes on is answered 500, and its text is for the log") {
  host.request(a, 1, "POST", "/put/k", "v");
  answer(0, protocol::kv_error_response{text{"transaction failed"}});
  CHECK(
      host.lines().back() ==
      "1 #0 500 hidden: KvPut: the engine refused it: transaction failed; some of it may have been "
      "written\n");
}

TEST_CASE_FIXTURE(fixture, "one turn: puts are joined, order is kept, every call is answered") {
  host.request(a, 1, "GET", "/turn");
  REQUIRE(host.storage_requests_sent().size() == 3);
  const auto put = kv_as<protocol::kv_put_request>(0);
  CHECK(
      put.keys == std::vector<bytes>{
                      of("\x04"
                         "a"),
                      of("\x04"
                         "b")});
  CHECK(kv_as<protocol::kv_get_request>(1).keys.size() == 2);
  CHECK(
      kv_as<protocol::kv_delete_request>(2).keys == std::vector<bytes>{of("\x04"
                                                                          "b")});
  answer(0, protocol::kv_put_response{});
  answer(
      1,
      protocol::kv_get_response{
          {of("\x04"
              "a")},
          {of("1")},
          {{}}});
  answer(2, protocol::kv_delete_response{});
  CHECK(*told == strings{"put a", "put b", "put a", "got 1-", "erase"});
}

TEST_CASE_FIXTURE(
    fixture, "lists: prefix, range, all; keys come back without the prefix, with their time") {
  host.request(a, 1, "GET", "/list");
  const auto list = kv_as<protocol::kv_list_request>(0);
  using range = protocol::kv_list_range_query;
  CHECK(std::get<range>(list.query) == range{of("\x04p"), of("\x04q"), true});
  CHECK(list.reverse == true);
  CHECK(list.limit == 2);
  answer(
      0,
      protocol::kv_list_response{
          {of("\x04p2"), of("\x04p1")}, {of("y"), of("x")}, {{{}, 7}, {{}, 8}}});
  CHECK(host.lines().back() == "1 #0 200 p2=y@7 p1=x@8 ");
  host.request(a, 2, "GET", "/ranges");
  CHECK(
      std::get<range>(kv_as<protocol::kv_list_request>(1).query) == range{
                                                                        of("\x04"
                                                                           "b"),
                                                                        of("\x05"),
                                                                        true});
  CHECK(
      std::get<range>(kv_as<protocol::kv_list_request>(2).query) == range{
                                                                        of("\x04"
                                                                           "b"),
                                                                        of("\x04"
                                                                           "d"),
                                                                        true});
  CHECK(
      told->at(0) ==
      "drop invalid_argument: a list by prefix and by range together; it was not sent");
  // Two lists are under way at a time: their answers may be long.
  for (std::size_t n = 1; n <= 2; ++n) answer(n, protocol::kv_list_response{});
  CHECK(
      std::get<range>(kv_as<protocol::kv_list_request>(3).query) ==
      range{of("\x04"), of("\x05"), true});
  CHECK(
      kv_as<protocol::kv_delete_range_request>(4) == protocol::kv_delete_range_request{
                                                         of("\x04"
                                                            "b"),
                                                         of("\x04"
                                                            "d")});
  CHECK(
      kv_as<protocol::kv_delete_range_request>(5) ==
      protocol::kv_delete_range_request{of("\x04"), of("\x05")});
}

TEST_CASE_FIXTURE(
    fixture,
    "I13 backpressure: an actor gets no more answers than it may keep until it has handled some") {
  const auto b = instance_of("b");
  host.start_accepted(b, "hoarder");
  host.clear();
  const auto bytes_kept = [this] { return host.counts->storage.get().answer_bytes; };
  for (std::uint32_t i = 1; i <= 14; ++i) host.request(b, i, "GET", "/list");
  for (std::size_t n = 0; n < 14; ++n) {
    CHECK(host.storage_requests_sent().size() == std::min<std::size_t>(n + 2, 14));
    CHECK(bytes_kept() <= 72UL << 20U);
    answer_list(n, 26UL << 20U);
  }
  CHECK(kept->values.size() == 28);
  CHECK(bytes_kept() == 0);
}

TEST_CASE_FIXTURE(
    fixture, "a storage request without room is offered again when there is some, and not before") {
  host.link->refuse_storage = failure{errc::queue_full, "full"};
  host.request(a, 1, "GET", "/list");
  const auto refused = host.link->refused;
  CHECK(refused == 1);
  host.pass(3s);
  CHECK(host.link->refused == refused);
  host.tell_of_room();
  CHECK(host.link->refused == refused + 1);
  CHECK(host.storage_requests_sent().empty());
  host.free_room();
  CHECK(host.storage_requests_sent().size() == 1);
}

TEST_CASE_FIXTURE(
    fixture, "an awaited answer comes, however many unhandled answers its actor holds") {
  const auto b = instance_of("b");
  host.start_accepted(b, "waiter");
  host.clear();
  host.request(b, 1, "GET", "/");
  REQUIRE(host.storage_requests_sent().size() == 3);
  for (std::size_t n = 0; n < 2; ++n) answer_list(n, 32UL << 20U);
  answer(2, protocol::kv_list_response{});
  CHECK(*told == strings{"awaited", "listed", "listed"});
}

TEST_CASE_FIXTURE(
    fixture,
    "I13 backpressure: an awaited answer comes, and so do earlier writes, though a request between "
    "them has no room") {
  const auto b = instance_of("b");
  host.start_accepted(b, "waiter");
  host.clear();
  host.request(b, 1, "GET", "/behind");
  REQUIRE(host.storage_requests_sent().size() == 2);
  for (std::size_t n = 0; n < 2; ++n) answer_list(n, 32UL << 20U);
  REQUIRE(host.storage_requests_sent().size() == 4);
  answer(2, protocol::kv_put_response{});
  answer(3, protocol::kv_get_response{});
  CHECK(*told == strings{"awaited", "listed", "listed", "queue_full", "put"});
  CHECK(host.counts->storage.get().answer_bytes <= answer_bytes_untold_max);
}

TEST_CASE_FIXTURE(fixture, "limits are checked before anything is sent") {
  host.request(a, 1, "POST", "/put/k", std::string(131'073, 'v'));
  CHECK(host.storage_requests_sent().empty());
  CHECK(
      host.lines().back() ==
      "1 #0 500 hidden: a value of 131073 bytes: at most 131072; it was not sent\n");
  host.request(a, 2, "GET", "/get/" + std::string(2046, 'k'));
  CHECK(host.storage_requests_sent().empty());
  CHECK(
      host.lines().back() ==
      "2 #0 500 hidden: a key of 2047 bytes: at most 2046; it was not sent\n");
}

TEST_CASE_FIXTURE(
    fixture, "I14 single writer: an actor that awaits its storage ends at once like any other") {
  host.request(a, 1, "GET", "/patient");
  host.request(a, 2, "GET", "/nothing");
  host.to_ingress(internal::lease_ended{});
  CHECK(host.stats().instances == 0);
  CHECK(told->empty());
}

TEST_CASE_FIXTURE(fixture, "await handles nothing else before the answer") {
  host.request(a, 1, "GET", "/await");
  host.request(a, 2, "GET", "/nothing");
  CHECK(host.lines() == strings{"1 #0 200 ", "ToRivetKvRequest"});
  answer(0, protocol::kv_get_response{});
  CHECK(*told == strings{"awaited"});
  CHECK(host.lines().back() == "2 #0 200 ");
}

TEST_CASE_FIXTURE(
    fixture, "a cut: the read is sent again, the write says that it may have happened") {
  host.request(a, 1, "GET", "/get/k");
  host.request(a, 2, "POST", "/put/k", "v");
  host.cut();
  CHECK(
      host.lines().back() ==
      "2 #0 500 hidden: KvPut: the connection ended before the engine answered; it may have been "
      "written\n");
  host.request(a, 3, "GET", "/get/l");
  host.connect();
  REQUIRE(host.storage_requests_sent().size() == 4);
  CHECK(kv_as<protocol::kv_get_request>(2).keys.front() == of("\x04k"));
  CHECK(kv_as<protocol::kv_get_request>(3).keys.front() == of("\x04l"));
  answer(2, protocol::kv_get_response{{of("\x04k")}, {of("v")}, {{}}});
  CHECK(host.lines().back() == "1 #0 200 v");
  CHECK(host.counts->storage.get().retried == 1);
}

TEST_CASE_FIXTURE(fixture, "no answer within 30 s: the request fails") {
  host.request(a, 1, "POST", "/put/k", "v");
  host.pass(31s);
  CHECK(
      host.lines().back() ==
      "1 #0 500 hidden: KvPut: no answer in time; it may have been written\n");
}

TEST_CASE_FIXTURE(
    fixture,
    "an actor that quits is down when its last write is answered, and Stopped comes after that") {
  host.stop(a);
  CHECK(host.lines() == strings{"ack a/1:2", "event a/1:501 stopped ok"});
  const auto b = instance_of("b");
  host.start_accepted(b, "keeper");
  host.clear();
  host.request(b, 1, "GET", "/quit");
  host.stop(b);
  CHECK(
      host.lines() ==
      strings{"1 #0 500 the actor ended before it answered\n", "ToRivetKvRequest", "ack b/1:2"});
  answer(0, protocol::kv_put_response{});
  CHECK(host.lines().back() == "event b/1:501 stopped ok");
  CHECK(host.stats().instances == 0);
}

TEST_CASE_FIXTURE(
    fixture,
    "an actor that quits while the link is down: the write waits its grace, then is given up") {
  host.request(a, 1, "GET", "/quit");
  host.clear();
  host.stop(a);
  host.cut();
  CHECK(host.stats().instances == 0);  // the write was sent, and ended with the connection
  const auto b = instance_of("b");
  host.connect();
  host.start_accepted(b, "keeper");
  host.cut();
  host.request(b, 1, "GET", "/quit");
  host.pass(8s);
  CHECK(host.stats().instances == 1);
  CHECK(host.counts->storage.get().open == 1);
  host.pass(3s);
  CHECK(host.counts->storage.get().open == 0);
  host.clear();
  host.connect();
  CHECK(host.storage_requests_sent().empty());
}

TEST_CASE_FIXTURE(
    fixture, "I14 single writer: a newer generation cuts the older one's writes off") {
  host.cut();
  host.request(a, 1, "POST", "/put/k", "v");
  host.connect({host.start_command({a.actor, 2}, "keeper")});
  for (const auto& x : host.storage_requests_sent()) CHECK(sim_host::recalls_alarm(x));
  CHECK(host.counts->storage.get().open == 1);  // the newer one's own first question
}

TEST_CASE_FIXTURE(fixture, "I14 single writer: Stop(LOST) and the lease's end cut writes off") {
  SUBCASE("lost") {
    host.request(a, 1, "POST", "/put/k", "v");
    host.stop(a, reason::lost);
  }
  SUBCASE("lease") {
    host.request(a, 1, "POST", "/put/k", "v");
    host.to_ingress(internal::lease_ended{});
  }
  CHECK(host.counts->storage.get().open == 0);
  CHECK(host.counts->storage.get().uncertain == 1);
}

TEST_CASE_FIXTURE(fixture, "an unhandled error ends the actor") {
  host.request(a, 1, "GET", "/careless");
  answer(0, protocol::kv_error_response{text{"store full"}});
  CHECK(
      host.lines().back() ==
      "event a/1:501 stopped error: hidden: KvPut: the engine refused it: store full; some of it "
      "may have "
      "been written");
}

TEST_CASE_FIXTURE(
    fixture, "values that the Start brought answer the first gets, until the actor writes") {
  auto start = host.start_command(instance_of("b"), "keeper");
  auto& preloaded = std::get<protocol::command_start_actor>(start.inner).preloaded_kv.emplace();
  preloaded.entries.push_back({of("\x04k"), of("early"), {}});
  host.command(start);
  const auto b = instance_of("b");
  host.accept(b);
  host.clear();
  host.request(b, 1, "GET", "/get/k");
  CHECK(host.lines() == strings{"1 #0 200 early"});
  host.request(b, 2, "POST", "/put/x", "1");
  answer(0, protocol::kv_put_response{});
  host.request(b, 3, "GET", "/get/k");
  CHECK(kv_as<protocol::kv_get_request>(1).keys.front() == of("\x04k"));
}

TEST_CASE_FIXTURE(fixture, "2.1: an actor keeps nothing of the frame of a storage answer") {
  const auto b = instance_of("b");
  host.start_accepted(b, "hoarder");
  const frame_read frame{
      "\x04"
      "a\x04"
      "bonetwo"};
  const auto one = frame.raw(4, 3);
  const auto two = frame.raw(7, 3);
  const std::vector<bytes> keys{frame.raw(0, 2), frame.raw(2, 2)};
  const std::vector<std::vector<protocol::sqlite_column_value>> rows{
      {protocol::sqlite_value_blob{one}, protocol::sqlite_value_text{frame.cut(7, 3)}},
      {protocol::sqlite_value_integer{1}, protocol::sqlite_value_float{}}};
  const auto used_here = frame.whole.use_count();
  const auto ask = [&](const char* path) {
    host.clear();
    host.request(b, 1, "GET", path);
    const auto sent = host.storage_requests_sent();
    REQUIRE(sent.size() == 1);
    return sent.front();
  };
  const auto id_of = [](const protocol::to_rivet& request) {
    return std::visit(
        []<class T>(const T& x) -> std::uint32_t {
          if constexpr (requires { x.request_id; })
            return x.request_id;
          else
            return 0;
        },
        request);
  };
  const auto from_kv = [&](const char* path, protocol::kv_response_data with) {
    const auto id = id_of(ask(path));
    host.deliver(protocol::to_envoy_kv_response{id, std::move(with)});
  };
  SUBCASE("get_all") { from_kv("/get_all", protocol::kv_get_response{keys, {one, two}, {{}, {}}}); }
  SUBCASE("list") {
    from_kv("/list", protocol::kv_list_response{keys, {one, two}, {{}, {}}});
    REQUIRE(kept->values.size() == 4);
    CHECK(kept->values[0].view() == "a");
    CHECK(kept->values[2].view() == "b");
    kept->values = {kept->values[1], kept->values[3]};
  }
  SUBCASE("exec") {
    const auto id = id_of(ask("/exec"));
    host.deliver(protocol::to_envoy_sqlite_exec_response{
        id, protocol::sqlite_exec_ok{{{text{"x"}, text{"y"}}, rows}}});
  }
  SUBCASE("run") {
    const auto id = id_of(ask("/run"));
    host.deliver(protocol::to_envoy_sqlite_execute_response{
        id, protocol::sqlite_execute_ok{{{text{"x"}, text{"y"}}, rows, 0, {}}}});
  }
  SUBCASE("batch") {
    const auto id = id_of(ask("/batch"));
    host.deliver(protocol::to_envoy_sqlite_execute_batch_response{
        id, protocol::sqlite_execute_batch_ok{{{{}, {rows[0]}, 0, {}}, {{}, {rows[1]}, 0, {}}}}});
  }
  REQUIRE(kept->values.size() + kept->texts.size() == 2);
  CHECK(kept->values[0].view() == "one");
  CHECK((kept->texts.empty() ? kept->values[1].view() : kept->texts[0].view()) == "two");
  CHECK(frame.whole.use_count() == used_here);
}

TEST_CASE_FIXTURE(fixture, "2.1: a waiting write keeps nothing of the request that it came from") {
  const auto b = instance_of("b");
  host.start_accepted(b, "hoarder");
  const frame_read frame{"what a client said"};
  for (const auto* path : {"/put", "/bind", "/bind_all"}) {
    host.clear();
    auto message = sim_host::request_message(b, 1, "POST", path);
    auto& start = std::get<protocol::to_envoy_request_start>(
        std::get<protocol::to_envoy_tunnel_message>(message).message_kind);
    start.body = frame.raw(5, 8);
    host.deliver(std::move(message));
    CHECK(host.storage_requests_sent().size() == 1);
    CHECK(frame.whole.use_count() == 1);
  }
}

TEST_CASE_FIXTURE(fixture, "2.1: a value that is most of its answer is not copied") {
  const auto b = instance_of("b");
  host.start_accepted(b, "hoarder");
  const frame_read frame{std::string(1000, 'x')};
  host.clear();
  host.request(b, 1, "GET", "/get");
  answer(
      0,
      protocol::kv_get_response{
          {of("\x04"
              "a")},
          {frame.raw(0, 1000)},
          {{}}});
  REQUIRE(kept->values.size() == 1);
  CHECK(kept->values[0].owner() == frame.whole);
}

TEST_CASE("an engine actor without a host has no storage, and says so") {
  sim_system sim;
  auto told = std::make_shared<strings>();
  const auto a = (*sim).spawn(keeper, told);
  http_request request;
  request.path = "/turn";
  caf::anon_send(a, std::move(request));
  sim.run();
  REQUIRE(told->size() >= 2);
  CHECK(told->front() == "put a refused: this actor was not spawned by a host: it has no storage");
  caf::anon_send_exit(a, caf::exit_reason::kill);
  sim.run();
}

TEST_CASE("errors of storage compare by code and carry their text") {
  const auto e = make_error(storage_failure{errc::link_lost, "text", true, "a/b"});
  CHECK(e == errc::link_lost);
  CHECK_FALSE(e == errc::timed_out);
  CHECK(make_error(errc::invalid_argument));  // no code is CAF's "no error"
  REQUIRE(storage_failure_of(e).has_value());
  CHECK(storage_failure_of(e)->engine_code == "a/b");
  CHECK_FALSE(storage_failure_of(caf::sec::runtime_error).has_value());
  CHECK_FALSE(storage_failure_of({}).has_value());
  CHECK_FALSE(storage_failure_of(make_error(errc::refused)).has_value());
}

}  // namespace nuncio::test::storage_test
