// storage_requests: what is sent when, who gets which result, and the effects of a cut, an end or a deadline.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>
#include <nuncio/codec.hpp>
#include <nuncio/storage/storage_requests.hpp>
#include <random>
#include <string>
#include <vector>

namespace nuncio::storage_requests_test {
namespace {

using namespace protocol;
using namespace std::chrono_literals;

storage_call put(std::string_view key, std::string_view value = "v") {
  return kv_request_data{kv_put_request{{bytes{key}}, {bytes{value}}}};
}

storage_call get(std::string_view key) { return kv_request_data{kv_get_request{{bytes{key}}}}; }

// Whose answer may be as long as there is.
storage_call list() { return kv_request_data{kv_list_request{}}; }

kv_list_response listed(std::size_t size) {
  return {
      {bytes{std::string_view{"k"}}}, {bytes{std::vector<std::uint8_t>(size)}}, {kv_metadata{}}};
}

constexpr std::size_t mib = 1UL << 20U;

// A link that carries anything at once.
constexpr answer_flow_limits no_window{
    .window_first = 4096 * mib, .window_min = 4096 * mib, .window_max = 4096 * mib};

// One engine's side of it: ids of what came, in order, and the results in words.
struct fixture {
  explicit fixture(storage_limits limits = {}, answer_flow_limits flow = no_window)
      : machine("default", limits, flow) {}

  void ask(
      std::uint64_t ticket,
      storage_call call,
      std::string_view actor = "a",
      write_mode mode = write_mode::once,
      bool awaited = false) {
    machine.handle_request(
        {ticket, {actor_id{actor}, 3}, gate_of(actor), std::move(call), mode, awaited}, now);
    poll();
  }

  /// The actor has dealt with all that it was told.
  void consume(std::string_view actor = "a") {
    machine.handle_consumed({actor_id{actor}, 3}, std::exchange(kept, 0));
    poll();
  }

  std::shared_ptr<output_gate> gate_of(std::string_view actor) {
    auto& gate = gates[std::string{actor}];
    if (!gate) gate = std::make_shared<output_gate>(1);
    return gate;
  }

  void poll() {
    while (auto frame = machine.poll_transmit(now)) {
      if (refuse) {
        machine.handle_not_sent(frame->id, *refuse);
        continue;
      }
      ids.push_back(frame->id);
      sent.push_back(
          fmt::format("{}@{}", protocol::name_of(frame->message).substr(7), frame->connection));
      messages.push_back(std::move(frame->message));
    }
    while (auto x = machine.poll_result()) {
      const auto* why = std::get_if<storage_failure>(&x->content);
      results.push_back(
          why == nullptr ? fmt::format("{} ok", x->ticket)
                         : fmt::format(
                               "{} {}{}",
                               x->ticket,
                               to_string(why->code),
                               why->may_have_happened ? " maybe" : ""));
      kept += x->bytes;
      if (why != nullptr) text = why->message;
      if (why == nullptr) last = std::get<storage_answer>(x->content);
    }
    while (auto over = machine.poll_finished())
      finished.push_back(
          over->lost.empty() ? over->who.actor.str()
                             : fmt::format("{}: {}", over->who.actor.str(), over->lost));
  }

  void up(epoch connection) {
    machine.handle_link_up(connection);
    poll();
  }

  void down() {
    machine.handle_link_down();
    poll();
  }

  void room() {
    machine.handle_room();
    poll();
  }

  void say(to_envoy message) {
    machine.handle_message(std::move(message), now);
    poll();
  }

  void kv(std::size_t nth, kv_response_data data) {
    say(to_envoy_kv_response{ids.at(nth), std::move(data)});
  }

  void pass(duration d) {
    now += d;
    machine.expire(now);
    poll();
  }

  template <class T>
  std::vector<T> take(std::vector<T>& from) {
    return std::exchange(from, {});
  }

  using lines = std::vector<std::string>;

  storage_requests machine;
  time_point now{1h};
  std::map<std::string, std::shared_ptr<output_gate>> gates;
  std::optional<failure> refuse;
  std::vector<std::uint32_t> ids;
  std::vector<to_rivet> messages;
  lines sent, results, finished;
  std::size_t kept = 0;  // of results
  std::string text;
  storage_answer last;
};

using lines = fixture::lines;

TEST_CASE("a request is sent at once when connected, and its answer is matched") {
  fixture x;
  x.up(1);
  x.ask(7, get("k"));
  REQUIRE(x.sent == lines{"KvRequest@1"});
  CHECK(std::get<to_rivet_kv_request>(x.messages.front()).actor_id == actor_id{"a"});
  CHECK(x.results.empty());
  x.kv(0, kv_get_response{{bytes{std::string_view{"k"}}}, {bytes{std::string_view{"v"}}}, {{}}});
  CHECK(x.results == lines{"7 ok"});
  CHECK(x.machine.stats().open == 0);
  CHECK(x.machine.stats().answered == 1);
  CHECK_FALSE(x.machine.poll_timeout().has_value());
}

TEST_CASE("an answer that is too long fails only its request, which is not sent again") {
  fixture x;
  x.up(1);
  x.ask(1, kv_request_data{kv_list_request{}});
  x.ask(2, get("k"));
  x.ask(3, sqlite_execute_request{{}, {}, 0, text{"insert into t values (1) returning *"}, {}});
  x.sent.clear();
  const auto too_long = [&](const to_envoy& head) {
    x.machine.handle_too_long(head, x.now);
    x.poll();
  };
  too_long(to_envoy_kv_response{x.ids.at(0), {}});
  CHECK(x.results == lines{"1 too_large"});
  CHECK(
      x.text ==
      "KvList: the engine's answer is larger than this host accepts: ask for less at a time");
  // What writes has been carried out all the same.
  too_long(to_envoy_sqlite_execute_response{x.ids.at(2), {}});
  CHECK(x.results == lines{"1 too_large", "3 too_large maybe"});
  x.down();
  x.up(2);
  CHECK(x.sent == lines{"KvRequest@2"});
  CHECK(x.ids.size() == 4);
  too_long(to_envoy_kv_response{x.ids.at(0), {}});  // of the first, once more
  too_long(to_envoy_ping{});
  CHECK(x.results.size() == 2);
  x.kv(3, kv_get_response{});
  CHECK(x.results.back() == "2 ok");
  CHECK(x.machine.stats().too_long == 2);
  CHECK(x.machine.stats().open == 0);
}

TEST_CASE("requests made while the link is down are sent in order when it is up") {
  fixture x;
  x.ask(1, put("a"));
  x.ask(2, get("a"));
  x.ask(3, put("b"), "b");
  CHECK(x.sent.empty());
  x.up(4);
  CHECK(x.sent == lines{"KvRequest@4", "KvRequest@4", "KvRequest@4"});
  CHECK(std::get<to_rivet_kv_request>(x.messages[0]).data.index() == 2);
  CHECK(std::get<to_rivet_kv_request>(x.messages[1]).data.index() == 0);
}

TEST_CASE(
    "a cut sends reads again, in front of what came later, and says that a sent write may have "
    "happened") {
  fixture x;
  x.up(1);
  x.ask(1, get("k"));
  x.ask(2, put("k"));
  x.ask(3, get("l"));
  x.down();
  CHECK(x.results == lines{"2 link_lost maybe"});
  CHECK(x.text.find("it may have been written") != std::string::npos);
  x.ask(4, put("m"));
  CHECK(x.results.size() == 1);
  const auto old = x.ids;
  x.up(2);
  REQUIRE(x.sent.size() == 6);
  CHECK(
      std::get<to_rivet_kv_request>(x.messages[3]).data ==
      kv_request_data{kv_get_request{{bytes{std::string_view{"k"}}}}});
  CHECK(
      std::get<to_rivet_kv_request>(x.messages[4]).data ==
      kv_request_data{kv_get_request{{bytes{std::string_view{"l"}}}}});
  CHECK(std::get<to_rivet_kv_request>(x.messages[5]).data.index() == 2);
  CHECK(x.machine.stats().retried == 2);
  // An answer of the old connection that is late after all answers nothing.
  x.say(to_envoy_kv_response{old[0], kv_get_response{}});
  CHECK(x.results.size() == 1);
  CHECK(x.machine.stats().strays == 1);
  x.kv(3, kv_get_response{});
  x.kv(5, kv_put_response{});
  CHECK(x.results == lines{"2 link_lost maybe", "1 ok", "4 ok"});
}

TEST_CASE("a write that may be repeated is sent again after a cut, in its place") {
  fixture x;
  x.up(1);
  x.ask(1, put("k"), "a", write_mode::repeated);
  x.ask(2, put("l"), "a", write_mode::once);
  x.ask(3, put("m"), "a", write_mode::required);
  x.down();
  CHECK(x.results == lines{"2 link_lost maybe"});
  x.up(2);
  REQUIRE(x.sent.size() == 5);
  CHECK(std::get<to_rivet_kv_request>(x.messages[3]).data == std::get<0>(put("k")));
  CHECK(std::get<to_rivet_kv_request>(x.messages[4]).data == std::get<0>(put("m")));
  x.kv(3, kv_put_response{});
  x.down();
  // What was sent on any connection may be there.
  x.pass(30s);
  CHECK(x.results == lines{"2 link_lost maybe", "1 ok", "3 timed_out maybe"});
}

TEST_CASE("an instance that ends before its last required write is stored gets the reason") {
  fixture x;
  x.up(1);
  const auto end = [&](std::string_view actor) {
    x.machine.handle_down({actor_id{actor}, 3}, x.now);
    x.poll();
  };
  SUBCASE("given up") {
    x.ask(1, put("k"), "a", write_mode::required);
    end("a");
    x.pass(9s);
    CHECK(x.finished == lines{"a: KvPut: the actor has ended; it may have been written"});
  }
  SUBCASE("refused before it ended") {
    x.ask(1, put("k"), "a", write_mode::required);
    x.kv(0, kv_error_response{text{"no"}});
    end("a");
    CHECK(
        x.finished ==
        lines{"a: KvPut: the engine refused it: no; some of it may have been written"});
  }
  SUBCASE("a later one is there") {
    x.ask(1, put("k"), "a", write_mode::required);
    x.ask(2, put("k"), "a", write_mode::required);
    end("a");
    x.kv(0, kv_error_response{text{"no"}});
    x.kv(1, kv_put_response{});
    CHECK(x.finished == lines{"a"});
  }
  SUBCASE("not required") {
    x.ask(1, put("k"), "a", write_mode::repeated);
    end("a");
    x.kv(0, kv_error_response{text{"no"}});
    CHECK(x.finished == lines{"a"});
  }
  CHECK(x.machine.stats().open == 0);
}

TEST_CASE(
    "a frame that the link refuses: if the link is lost it waits, otherwise it was not written") {
  fixture x;
  x.up(1);
  x.refuse = failure{errc::link_lost, "over"};
  x.ask(1, put("k"));
  CHECK(x.results.empty());
  x.refuse.reset();
  x.ask(2, put("k"));  // the connection is known to be over
  CHECK(x.sent.empty());
  x.down();
  CHECK(x.results.empty());
  x.up(2);
  CHECK(x.sent.size() == 2);
  x.refuse = failure{errc::queue_full, "full"};
  x.ask(3, put("k"));
  CHECK(x.results.empty());
  x.refuse = failure{errc::not_in_version, "no"};
  x.room();
  x.ask(4, sqlite_exec_request{{}, {}, 0, text{"select 1"}});
  CHECK(x.results == lines{"3 not_in_version", "4 not_in_version"});
  CHECK(x.text.find("it was not sent") != std::string::npos);
}

TEST_CASE("I13 backpressure: requests without room in the link wait for room, in order") {
  fixture x;
  x.up(1);
  x.refuse = failure{errc::queue_full, "full"};
  for (std::uint64_t ticket = 1; ticket <= 3; ++ticket) x.ask(ticket, put("k"));
  x.room();
  CHECK(x.results.empty());
  CHECK(x.sent.empty());
  x.refuse.reset();
  x.ask(4, put("k"));
  CHECK(x.sent.empty());  // not before those that wait
  x.room();
  CHECK(x.sent.size() == 4);
  CHECK(x.machine.stats().rejected == 0);
  // Its limit of time holds as for any other.
  x.refuse = failure{errc::queue_full, "full"};
  x.ask(5, put("k"));
  x.pass(31s);
  CHECK(x.results.back() == "5 timed_out");
  CHECK(x.text.find("it was not sent") != std::string::npos);
}

TEST_CASE(
    "I13 backpressure: unhandled answers of an actor have a limit; above it its requests wait, in "
    "order") {
  fixture x;
  x.up(1);
  for (std::uint64_t ticket = 1; ticket <= 13; ++ticket) x.ask(ticket, list());
  x.ask(14, put("k"));
  CHECK(x.sent.size() == 2);
  // Where one of two has come, the other may be as long.
  x.kv(0, listed(26 * mib));
  CHECK(x.results == lines{"1 ok"});
  CHECK(x.kept > 26 * mib);
  CHECK(x.kept < 27 * mib);
  CHECK(x.sent.size() == 2);
  x.consume();
  CHECK(x.sent.size() == 3);
  // What turns out to be short makes room at once.
  for (std::size_t n = 1; n < 13; ++n) {
    x.kv(n, listed(100));
    CHECK(x.sent.size() == (n < 10 ? n + 3 : 14));  // with the last list goes what was behind it
  }
  CHECK(std::get<to_rivet_kv_request>(x.messages.back()).data.index() == 2);
  x.kv(13, kv_put_response{});
  CHECK(x.results.back() == "14 ok");
  x.consume();
  CHECK(x.machine.stats().answer_bytes == 0);
  CHECK(x.machine.stats().rejected == 0);
}

TEST_CASE("I13 backpressure: a request that waits for room for its answer keeps its time limit") {
  fixture x;
  x.up(1);
  for (std::uint64_t ticket = 1; ticket <= 3; ++ticket) x.ask(ticket, list());
  x.kv(0, listed(32 * mib));
  x.kv(1, listed(32 * mib));
  x.ask(4, put("k"));
  x.pass(29s);
  CHECK(x.sent.size() == 2);
  x.ask(5, put("l"));
  x.pass(1s);
  CHECK(x.results == lines{"1 ok", "2 ok", "3 timed_out", "4 timed_out"});
  CHECK(x.text.find("it was not sent") != std::string::npos);
  CHECK(x.sent.size() == 3);  // whose answer is short goes when nothing waits before it
}

TEST_CASE("a request with a short answer does not wait for requests with long ones") {
  fixture x;
  x.up(1);
  for (std::uint64_t ticket = 1; ticket <= 64; ++ticket) x.ask(ticket, get("k"));
  for (std::uint64_t ticket = 65; ticket <= 128; ++ticket) {
    x.ask(ticket, sqlite_execute_request{{}, {}, 0, text{"insert into t values (1)"}, {}});
    x.ask(ticket + 100, put("k"));
  }
  CHECK(x.sent.size() == 192);
  kv_list_request few;
  few.limit = 10;
  for (std::uint64_t ticket = 300; ticket < 310; ++ticket) x.ask(ticket, kv_request_data{few}, "b");
  CHECK(x.sent.size() == 202);
}

TEST_CASE("the longest answer that a request may have") {
  const auto sql = [](std::string_view x) {
    return sqlite_execute_request{{}, {}, 0, text{x}, {}};
  };
  for (const auto* silent :
       {"insert into t values (1)",
        " -- select\n update t set n = 1",
        "Delete from t",
        "create table t (n)"})
    CHECK(answer_bytes_max(sql(silent)) == answer_overhead);
  for (const auto* loud :
       {"select 1",
        "insert into t values (1) returning *",
        "with x as (select 1) select * from x",
        "pragma table_info(t)",
        "insertion",
        "delete from t Returning n"})
    CHECK(answer_bytes_max(sql(loud)) == answer_overhead + answer_bytes_longest);
  CHECK(
      answer_bytes_max(sqlite_exec_request{{}, {}, 0, text{"delete from t"}}) ==
      answer_overhead + answer_bytes_longest);  // more may follow
  sqlite_execute_batch_request batch;
  batch.statements = {{text{"delete from t"}, {}}, {text{"insert into t values (1)"}, {}}};
  CHECK(answer_bytes_max(batch) == answer_overhead);
  batch.statements.push_back({text{"select 1"}, {}});
  CHECK(answer_bytes_max(batch) == answer_overhead + answer_bytes_longest);
  CHECK(answer_bytes_max(put("k")) == answer_overhead);
  CHECK(answer_bytes_max(list()) == answer_overhead + answer_bytes_longest);
  // As long as what came: the longest that can come is not above it.
  kv_get_response got{{bytes{"k"}}, {bytes{std::vector<std::uint8_t>(131'072)}}, {kv_metadata{}}};
  CHECK(
      size_of(storage_result{storage_answer{kv_response_data{got}}}) <= answer_bytes_max(get("k")));
  kv_list_request one;
  one.limit = 1;
  CHECK(answer_bytes_max(kv_request_data{one}) < mib);
  one.limit = UINT64_MAX;
  CHECK(answer_bytes_max(kv_request_data{one}) == answer_bytes_max(list()));
  const sqlite_get_pages_ok page{{{1, bytes{std::vector<std::uint8_t>(4096)}}}, {}};
  sqlite_get_pages_request pages;
  pages.pgnos = {1};
  CHECK(size_of(storage_result{storage_answer{page}}) <= answer_bytes_max(pages));
  // What it is kept in counts: a row of nothing but nulls is not nothing.
  sqlite_execute_result rows;
  rows.rows.resize(100, {sqlite_value_null{}});
  CHECK(size_of(storage_result{storage_answer{rows}}) > 100 * sizeof(sqlite_column_value));
  CHECK(
      size_of(storage_result{storage_failure{errc::refused, std::string(1000, 'x'), false, {}}}) ==
      answer_overhead + 1000);
}

TEST_CASE("I13 backpressure: after a cut, reads go again within the bound on their answers") {
  fixture x;
  x.up(1);
  for (std::uint64_t ticket = 1; ticket <= 14; ++ticket) x.ask(ticket, list());
  CHECK(x.sent == lines{"KvRequest@1", "KvRequest@1"});
  x.sent.clear();
  for (epoch connection = 2; connection <= 4; ++connection) {
    x.down();
    x.up(connection);
    CHECK(x.sent.size() == 2);
    x.sent.clear();
  }
  for (std::size_t n = 0; n < 14; ++n) {  // the ids of the last connection follow three pairs
    x.kv(6 + n, listed(26 * mib));
    CHECK(x.results.back() == fmt::format("{} ok", n + 1));
    x.consume();
  }
  CHECK(x.machine.stats().answer_bytes == 0);
}

TEST_CASE(
    "I13 backpressure: actors whose answers fill the host's room leave others theirs, and who "
    "keeps nothing is next") {
  fixture x{{.host_answer_bytes_max = 160 * mib}};
  x.up(1);
  std::uint64_t ticket = 0;
  const auto of = [&](std::string_view actor, storage_call call) {
    const auto before = x.sent.size();
    x.ask(++ticket, std::move(call), actor);
    return x.sent.size() - before;
  };
  CHECK(of("a", list()) == 1);
  CHECK(of("a", list()) == 1);
  CHECK(of("b", list()) == 1);
  CHECK(of("b", list()) == 0);  // it would keep more than is left for others
  CHECK(of("c", list()) == 1);
  CHECK(of("d", list()) == 0);
  CHECK(of("e", get("k")) == 1);  // within the share that is its own
  CHECK(of("b", put("k")) == 0);  // behind its list
  const auto before = x.sent.size();
  x.kv(0, listed(100));
  REQUIRE(x.sent.size() == before + 1);
  CHECK(std::get<to_rivet_kv_request>(x.messages.back()).actor_id == actor_id{"d"});
  x.kv(1, listed(100));
  x.kv(2, listed(100));
  CHECK(x.sent.size() == before + 3);
  CHECK(std::get<to_rivet_kv_request>(x.messages.back()).data.index() == 2);
}

TEST_CASE(
    "I13 backpressure: no more is asked for than the link carries soon, by actors in turns; what "
    "is "
    "short goes beside it") {
  fixture x{{}, {}};
  x.up(1);
  const auto asked_by = [&] {
    std::string out;
    for (const auto& each : x.take(x.messages))
      out += std::get<to_rivet_kv_request>(each).actor_id.str();
    return out;
  };
  for (std::uint64_t ticket = 1; ticket <= 3; ++ticket) x.ask(ticket, list(), "a");
  x.ask(4, list(), "b");
  CHECK(asked_by() == "a");
  x.ask(5, get("k"), "c");
  x.ask(6, put("k"), "b");  // behind its list
  kv_list_request few;
  few.limit = 7;
  x.ask(7, kv_request_data{few}, "d");
  CHECK(asked_by() == "cd");
  x.pass(1500ms);
  x.kv(0, listed(18 * mib));
  CHECK(asked_by() == "a");  // it is expected to take as much again
  x.kv(1, kv_get_response{});
  x.kv(2, listed(100));
  CHECK(asked_by().empty());
  x.kv(3, listed(18 * mib));
  CHECK(asked_by() == "bb");
  // Late, and again: asked for one by one, however short it turns out.
  x.pass(3s);
  x.kv(4, listed(18 * mib));
  CHECK(asked_by() == "a");
  x.kv(5, kv_put_response{});
  x.consume("a");
  x.consume("b");
  // What a cut has left unanswered takes no room on the next connection.
  x.down();
  x.up(2);
  CHECK(asked_by() == "a");
}

TEST_CASE("an actor's answer sizes are known as long as it lives, and then forgotten") {
  fixture x{{}, {}};
  x.up(1);
  std::uint64_t ticket = 0;
  const auto sent_of = [&](std::string_view actor) {
    const auto before = x.sent.size();
    x.ask(++ticket, list(), actor);
    return x.sent.size() - before;
  };
  for (const auto* each : {"a", "b"}) {
    CHECK(sent_of(each) == 1);
    x.kv(x.ids.size() - 1, listed(each == std::string_view{"a"} ? 100 : 20 * mib));
    x.consume(each);
  }
  CHECK(sent_of("c") == 1);  // nothing is known of it, and others' may be long
  CHECK(sent_of("d") == 0);
  CHECK(sent_of("a") == 1);
  x.kv(x.ids.size() - 1, listed(100));
  x.consume("a");
  x.machine.handle_down({actor_id{"a"}, 3}, x.now);
  x.poll();
  CHECK(x.finished == lines{"a"});
  CHECK(sent_of("a") == 0);
}

TEST_CASE(
    "I13 backpressure: what can't have a long answer waits for no memory that others' may take, "
    "nor for its turn behind them") {
  fixture x{{.host_answer_bytes_max = 160 * mib}};
  x.up(1);
  const std::string names = "abcdefgh";
  std::uint64_t ticket = 0;
  for (std::size_t n = 0; n < 6; ++n)
    x.ask(++ticket, sqlite_execute_request{{}, {}, 0, text{"select 1"}, {}}, names.substr(n, 1));
  CHECK(x.sent.size() == 4);  // e and f wait
  kv_list_request few;
  few.limit = 2;
  x.ask(++ticket, kv_request_data{few}, "g");
  CHECK(x.sent.size() == 5);
  x.ask(++ticket, get("k"), "h");
  CHECK(x.sent.size() == 6);
}

TEST_CASE("an awaited request need not wait for what its actor keeps, which would be for ever") {
  fixture x;
  x.up(1);
  x.ask(1, list());
  x.ask(2, list());
  x.kv(0, listed(32 * mib));
  x.kv(1, listed(32 * mib));
  x.ask(3, list(), "a", write_mode::once, true);
  CHECK(x.sent.size() == 3);
  x.ask(4, list());
  CHECK(x.sent.size() == 3);
  x.kv(2, listed(100));
  CHECK(x.sent.size() == 3);
  x.consume();
  CHECK(x.sent.size() == 4);
}

TEST_CASE(
    "I13 backpressure: what an actor awaits is held up by nothing before it that has no room "
    "beside what the actor keeps") {
  fixture x;
  x.up(1);
  const auto await = [&](std::uint64_t ticket, storage_call call) {
    x.ask(ticket, std::move(call), "a", write_mode::once, true);
  };
  x.ask(1, list());
  x.ask(2, list());
  SUBCASE("both have come") {
    x.kv(0, listed(32 * mib));
    x.kv(1, listed(32 * mib));
    x.ask(3, list());
    x.ask(4, put("k"));
    CHECK(x.sent.size() == 2);  // all in their order: the handler may yet deal with both
    await(5, get("k"));
    CHECK(x.results == lines{"1 ok", "2 ok", "3 queue_full"});
    CHECK(
        x.text ==
        fmt::format(
            "KvList: this actor awaits a later answer, and the {} bytes of answers that it has not "
            "handled leave no room for this one",
            x.kept));
    REQUIRE(x.sent.size() == 4);
    CHECK(std::get<to_rivet_kv_request>(x.messages[2]).data == std::get<0>(put("k")));
    CHECK(std::get<to_rivet_kv_request>(x.messages[3]).data == std::get<0>(get("k")));
    CHECK(x.machine.stats().rejected == 1);
    // Once nothing is awaited, all wait in their order again.
    x.kv(2, kv_put_response{});
    x.kv(3, kv_get_response{});
    x.ask(6, list());
    x.ask(7, put("k"));
    CHECK(x.sent.size() == 4);
    x.consume();
    CHECK(x.sent.size() == 6);
    return;
  }
  x.ask(3, list());
  x.ask(4, put("k"));
  await(5, get("k"));
  CHECK(x.sent.size() == 2);
  SUBCASE("what is under way turns out to be long") {
    x.kv(0, listed(32 * mib));
    CHECK(x.results == lines{"1 ok"});
    CHECK(x.sent.size() == 2);
    x.kv(1, listed(32 * mib));
    CHECK(x.results == lines{"1 ok", "2 ok", "3 queue_full"});
    CHECK(x.sent.size() == 4);
  }
  SUBCASE("what is under way turns out to be short") {
    x.kv(0, listed(32 * mib));
    x.kv(1, listed(100));
    CHECK(x.results == lines{"1 ok", "2 ok"});
    CHECK(x.sent.size() == 5);
  }
  SUBCASE("its host has no room either") {
    fixture y{{.host_answer_bytes_max = 160 * mib}};
    y.up(1);
    y.ask(1, list());
    y.kv(0, listed(32 * mib));
    y.ask(2, list(), "b");
    y.ask(3, list(), "b");
    CHECK(y.sent.size() == 2);  // b's second takes more than is left
    y.ask(4, list(), "c");
    y.ask(5, list());
    CHECK(y.sent.size() == 2);
    y.ask(6, put("k"), "a", write_mode::once, true);
    CHECK(y.results == lines{"1 ok", "5 queue_full"});
    CHECK(y.sent.size() == 3);
    // c keeps nothing: others make room for it.
    y.ask(7, get("k"), "c", write_mode::once, true);
    CHECK(y.results.size() == 2);
    y.kv(1, listed(100));
    CHECK(y.sent.size() == 6);
    CHECK(y.results == lines{"1 ok", "5 queue_full", "2 ok"});
  }
}

TEST_CASE("an answer that takes far more memory than its frame did is too large") {
  fixture x;
  x.up(1);
  const auto answer_with_nulls = [&](std::string_view sql, std::size_t bytes) {
    x.ask(x.ids.size() + 1, sqlite_execute_request{{}, {}, 0, text{sql}, {}});
    sqlite_execute_ok ok;
    ok.result.rows.emplace_back(bytes / sizeof(sqlite_column_value), sqlite_value_null{});
    x.say(to_envoy_sqlite_execute_response{x.ids.back(), std::move(ok)});
    x.consume();
  };
  answer_with_nulls("select * from t", answer_bytes_kept_max - mib);
  answer_with_nulls("select * from t", answer_bytes_kept_max);
  answer_with_nulls("update t set n = null returning n", answer_bytes_kept_max);
  CHECK(x.results == lines{"1 ok", "2 too_large", "3 too_large maybe"});
  CHECK(x.text.find("ask for less at a time") != std::string::npos);
  CHECK(x.machine.stats().too_long == 2);
  CHECK(x.machine.stats().answer_bytes == 0);
}

TEST_CASE("unhandled answers are released when their actor is down") {
  fixture x;
  x.up(1);
  x.ask(1, list());
  x.ask(2, list());
  x.ask(3, put("k"), "a", write_mode::required);
  x.kv(0, listed(32 * mib));
  x.kv(1, listed(32 * mib));
  x.machine.handle_down({actor_id{"a"}, 3}, x.now);
  x.poll();
  CHECK(x.machine.stats().answer_bytes == answer_overhead);  // of the put
  x.kv(2, kv_put_response{});
  CHECK(x.finished == lines{"a"});
  CHECK(x.machine.stats().answer_bytes == 0);
  x.consume();  // the word of it comes late
  CHECK(x.machine.stats().answer_bytes == 0);
}

TEST_CASE("deadlines: what was never sent was not written, what was sent may have been") {
  fixture x;
  x.ask(1, put("k"));
  x.pass(29s);
  CHECK(x.results.empty());
  x.pass(1s);
  CHECK(x.results == lines{"1 timed_out"});
  x.up(1);
  x.ask(2, put("k"));
  x.ask(3, get("k"));
  REQUIRE(x.machine.poll_timeout().has_value());
  CHECK(*x.machine.poll_timeout() == x.now + 30s);
  x.pass(30s);
  CHECK(x.results == lines{"1 timed_out", "2 timed_out maybe", "3 timed_out"});
  x.kv(0, kv_put_response{});
  CHECK(x.machine.stats().strays == 1);
  CHECK(x.machine.stats().timed_out == 3);
}

TEST_CASE("a read that is sent again keeps its deadline") {
  fixture x;
  x.up(1);
  x.ask(1, get("k"));
  x.pass(20s);
  x.down();
  x.up(2);
  x.ask(2, get("k"));
  x.pass(10s);
  CHECK(x.results == lines{"1 timed_out"});
}

TEST_CASE("I14 single writer: behind a closed gate nothing is sent, and open requests fail") {
  fixture x;
  x.up(1);
  x.ask(1, put("k"));
  x.down();
  x.ask(2, put("k"));
  x.ask(3, put("k"), "b");
  x.gate_of("a")->open = false;
  x.up(2);
  CHECK(x.sent.size() == 2);  // of a before, of b now
  CHECK(x.results == lines{"1 link_lost maybe", "2 cancelled"});
  x.ask(4, put("k"));
  CHECK(x.results.back() == "4 cancelled");
  x.ask(5, put("k"), "b");
  x.ask(6, get("k"), "b");
  x.gate_of("b")->open = false;
  x.machine.handle_gate_closed({actor_id{"b"}, 3});
  x.poll();
  CHECK(
      x.results == lines{
                       "1 link_lost maybe",
                       "2 cancelled",
                       "4 cancelled",
                       "3 cancelled maybe",
                       "5 cancelled maybe",
                       "6 cancelled"});
  x.machine.handle_gate_closed({actor_id{"nobody"}, 1});
  CHECK(x.machine.stats().open == 0);
}

TEST_CASE(
    "an instance that is down: reads are dropped, writes get their answers, then it is finished") {
  fixture x;
  x.up(1);
  x.ask(1, get("k"));
  x.ask(2, put("k"));
  x.ask(3, put("l"));
  x.machine.handle_down({actor_id{"a"}, 3}, x.now);
  x.poll();
  CHECK(x.results == lines{"1 cancelled"});
  CHECK(x.finished.empty());
  x.kv(1, kv_put_response{});
  CHECK(x.finished.empty());
  x.kv(2, kv_put_response{});
  CHECK(x.finished == lines{"a"});
  CHECK_FALSE(x.machine.poll_timeout().has_value());
}

TEST_CASE("an instance that is down with nothing open is finished at once") {
  fixture x;
  x.machine.handle_down({actor_id{"a"}, 3}, x.now);
  x.poll();
  CHECK(x.finished == lines{"a"});
  x.up(1);
  x.ask(1, get("k"), "b");
  x.machine.handle_down({actor_id{"b"}, 3}, x.now);
  x.poll();
  CHECK(x.finished == lines{"a", "b"});
}

TEST_CASE("the writes of an instance that is down are given up after its grace, sent or not") {
  fixture x;
  x.up(1);
  x.ask(1, put("k"));
  x.ask(9, put("k"), "b");
  x.machine.handle_down({actor_id{"a"}, 3}, x.now);
  x.poll();
  x.pass(8s);
  CHECK(x.finished.empty());
  REQUIRE(x.machine.poll_timeout().has_value());
  CHECK(*x.machine.poll_timeout() == x.now + 1s);
  x.pass(1s);
  CHECK(x.results == lines{"1 timed_out maybe"});
  CHECK(x.finished == lines{"a"});
  x.down();
  x.ask(2, put("k"), "c");
  x.machine.handle_down({actor_id{"c"}, 3}, x.now);
  x.pass(9s);
  CHECK(x.results.back() == "2 timed_out");
  CHECK(x.finished == lines{"a", "c"});
}

TEST_CASE(
    "an error of the engine carries its code, and leaves doubt only where something may stay") {
  fixture x;
  x.up(1);
  x.ask(1, put("k"));
  x.kv(0, kv_error_response{text{"transaction failed"}});
  CHECK(x.results == lines{"1 refused maybe"});
  x.ask(2, get("k"));
  x.kv(1, kv_error_response{text{"a maximum of 128 keys is allowed"}});
  CHECK(x.results.back() == "2 refused");
  CHECK(x.text.find("a maximum of 128 keys is allowed") != std::string::npos);
  x.ask(3, sqlite_execute_request{{}, {}, 0, text{"insert into t values (1)"}, {}});
  x.say(to_envoy_sqlite_execute_response{
      x.ids.back(), sqlite_error_response{"core", "internal_error", "no such table: t"}});
  CHECK(x.results.back() == "3 refused");
  CHECK(x.text.find("core/internal_error: no such table: t") != std::string::npos);
  x.ask(4, sqlite_exec_request{{}, {}, 0, text{"insert; insert"}});
  x.say(to_envoy_sqlite_exec_response{
      x.ids.back(), sqlite_error_response{"core", "internal_error", "x"}});
  CHECK(x.results.back() == "4 refused maybe");
  CHECK(x.machine.stats().refused == 4);
}

TEST_CASE("an answer of the wrong kind is not an answer") {
  fixture x;
  x.up(1);
  x.ask(1, put("k"));
  x.kv(0, kv_get_response{});
  CHECK(x.results == lines{"1 malformed maybe"});
  x.ask(2, get("k"));
  x.say(to_envoy_sqlite_commit_response{x.ids.back(), sqlite_commit_ok{}});
  CHECK(x.results.back() == "2 malformed");
  x.say(to_envoy_ping{5});
  x.say(to_envoy_init{});
  CHECK(x.machine.stats().strays == 0);
}

TEST_CASE("every kind of request is addressed, answered by its own response, and by no other") {
  const std::vector<storage_call> calls = {
      sqlite_get_pages_request{},
      sqlite_commit_request{},
      sqlite_commit_stage_begin_request{},
      sqlite_commit_stage_segment_request{},
      sqlite_commit_finalize_request{},
      sqlite_exec_request{},
      sqlite_execute_request{},
      sqlite_execute_batch_request{}};
  for (std::size_t i = 0; i < calls.size(); ++i) {
    CAPTURE(i);
    fixture x;
    x.up(1);
    x.ask(1, calls[i]);
    REQUIRE(x.messages.size() == 1);
    CHECK(x.messages.front().index() == i + 7);
    std::visit(
        []<class T>(const T& message) {
          if constexpr (requires { message.data.expected_generation; }) {
            CHECK(message.data.actor_id == actor_id{"a"});
            CHECK(message.data.expected_generation == 3);
          } else if constexpr (requires { message.data.namespace_id; }) {
            CHECK(message.data.actor_id == actor_id{"a"});
            CHECK(message.data.generation == 3);
            CHECK(message.data.namespace_id == "default");
          }
        },
        x.messages.front());
    const auto id = x.ids.front();
    const std::vector<to_envoy> answers = {
        to_envoy_sqlite_get_pages_response{id, sqlite_get_pages_ok{}},
        to_envoy_sqlite_commit_response{id, sqlite_commit_ok{}},
        to_envoy_sqlite_commit_stage_begin_response{id, sqlite_commit_stage_begin_ok{}},
        to_envoy_sqlite_commit_stage_segment_response{id, sqlite_commit_stage_segment_ok{}},
        to_envoy_sqlite_commit_finalize_response{id, sqlite_commit_finalize_ok{}},
        to_envoy_sqlite_exec_response{id, sqlite_exec_ok{}},
        to_envoy_sqlite_execute_response{id, sqlite_execute_ok{}},
        to_envoy_sqlite_execute_batch_response{id, sqlite_execute_batch_ok{}}};
    x.say(answers[i]);
    CHECK(x.results == lines{"1 ok"});
    CHECK(x.last.index() == i + 1);
    x.ask(2, calls[i]);
    auto wrong = answers[(i + 1) % answers.size()];
    std::visit(
        [&]<class T>(T& message) {
          if constexpr (requires { message.request_id; }) message.request_id = x.ids.back();
        },
        wrong);
    x.say(wrong);
    CHECK(x.results.back().starts_with("2 malformed"));
  }
}

TEST_CASE("I13 backpressure: requests and bytes have a bound for each actor and for all") {
  fixture x{
      {.actor_requests_max = 2,
       .actor_bytes_max = 1000,
       .host_requests_max = 3,
       .host_bytes_max = 1500}};
  x.ask(1, get("k"));
  x.ask(2, get("k"));
  x.ask(3, get("k"));
  CHECK(x.results == lines{"3 queue_full"});
  CHECK(x.text.find("this actor's storage requests") != std::string::npos);
  x.ask(4, put("k", std::string(940, 'x')), "b");
  CHECK(x.results.back() == "4 queue_full");
  x.ask(5, put("k", std::string(800, 'x')), "b");
  x.ask(6, get("k"), "c");
  CHECK(x.results.back() == "6 queue_full");
  CHECK(x.text.find("the host's storage requests") != std::string::npos);
  CHECK(x.machine.stats().rejected == 3);
  x.up(1);
  x.kv(0, kv_get_response{});
  x.ask(7, get("k"), "c");
  CHECK(x.results.back() == "1 ok");
}

TEST_CASE("a link that is over fails all, now and later") {
  fixture x;
  x.up(1);
  x.ask(1, put("k"));
  x.down();
  x.ask(2, get("k"));
  x.machine.handle_link_over({errc::evicted, "another host took over"});
  x.poll();
  x.ask(3, get("k"));
  CHECK(x.results == lines{"1 link_lost maybe", "2 evicted", "3 evicted"});
  CHECK(x.text.find("another host took over") != std::string::npos);
}

TEST_CASE("statements that only read are known by their first word") {
  const auto reads = [](std::string_view sql) {
    return is_read(sqlite_execute_request{{}, {}, 0, text{sql}, {}});
  };
  CHECK(reads("select 1"));
  CHECK(reads("  \n-- note\n/* more */ SELECT(1)"));
  CHECK(reads("values (1)"));
  CHECK(reads("Explain query plan delete from t"));
  CHECK_FALSE(reads("selected"));
  CHECK_FALSE(reads("insert into t select 1"));
  CHECK_FALSE(reads("with x as (select 1) delete from t"));
  CHECK_FALSE(reads(""));
  CHECK_FALSE(reads("/* select"));
  CHECK_FALSE(is_read(sqlite_exec_request{{}, {}, 0, text{"select 1"}}));
  CHECK_FALSE(is_read(sqlite_execute_batch_request{}));
}

// Goal: whatever happens in whatever order, each request ends once, no write is sent twice or
// behind a closed gate, the order of each actor is kept, and who is told "not written" had nothing
// sent. Method: random inputs from one seed.
TEST_CASE("everything that can happen, 500 seeds") {
  for (unsigned seed = 0; seed < 500; ++seed) {
    CAPTURE(seed);
    std::mt19937 dice{seed};
    const auto roll = [&](unsigned n) {
      return std::uniform_int_distribution<unsigned>{0, n - 1}(dice);
    };
    storage_requests machine{
        "default",
        {.actor_requests_max = 20,
         .host_requests_max = 50,
         .actor_answer_bytes_max = 300'000,
         .host_answer_bytes_max = 500'000,
         .answer_bytes_reserved = 10'000}};
    time_point now{1h};

    struct asked {
      std::string actor;
      bool reads = false;
      write_mode mode = write_mode::once;
      unsigned sent = 0, ended = 0;
    };

    std::map<std::uint64_t, asked> all;
    std::map<std::string, std::shared_ptr<output_gate>> gates;
    std::map<std::string, bool> down, finished;
    std::map<std::string, std::uint64_t> newest_sent;  // per actor and connection
    std::map<std::string, std::size_t> kept;
    std::map<std::uint32_t, std::uint64_t> in_flight;
    std::uint64_t next = 1;
    epoch connection = 0, next_connection = 1;
    for (const auto* name : {"a", "b", "c"}) gates[name] = std::make_shared<output_gate>(1);
    const auto drain = [&] {
      machine.handle_room();
      while (auto frame = machine.poll_transmit(now)) {
        const auto& request = std::get<to_rivet_kv_request>(frame->message);
        // The key of each request is its ticket.
        const auto* get = std::get_if<kv_get_request>(&request.data);
        const auto& key = get != nullptr ? get->keys.front()
                                         : std::get<kv_put_request>(request.data).keys.front();
        const auto ticket = std::stoull(std::string{key.view()});
        auto& x = all.at(ticket);
        REQUIRE(frame->connection == connection);
        REQUIRE(gates[x.actor]->open.load());
        REQUIRE(x.ended == 0);
        if (roll(20) == 0) {
          const auto lost = roll(2) == 0;
          machine.handle_not_sent(frame->id, {lost ? errc::link_lost : errc::queue_full, "no"});
          continue;
        }
        ++x.sent;
        REQUIRE((x.reads || x.mode != write_mode::once || x.sent == 1));
        REQUIRE(newest_sent[x.actor] < ticket);
        newest_sent[x.actor] = ticket;
        REQUIRE(in_flight.emplace(frame->id, ticket).second);
      }
      while (auto result = machine.poll_result()) {
        auto& x = all.at(result->ticket);
        ++x.ended;
        REQUIRE(x.ended == 1);
        kept[x.actor] += result->bytes;
        if (const auto* why = std::get_if<storage_failure>(&result->content)) {
          REQUIRE(why->may_have_happened == (!x.reads && x.sent != 0));
        } else {
          REQUIRE(x.sent != 0);
        }
        std::erase_if(in_flight, [&](const auto& each) { return each.second == result->ticket; });
      }
      while (auto over = machine.poll_finished()) {
        const auto name = over->who.actor.str();
        REQUIRE(down[name]);
        REQUIRE_FALSE(std::exchange(finished[name], true));
        for (const auto& [ticket, x] : all) REQUIRE((x.actor != name || x.ended == 1));
      }
    };
    const auto answer = [&](std::uint32_t id, std::uint64_t ticket) {
      const auto reads = all.at(ticket).reads;
      kv_response_data data;
      if (roll(4) == 0)
        data = kv_error_response{text{"no"}};
      else if (reads)
        data = kv_get_response{};
      else
        data = kv_put_response{};
      machine.handle_message(to_envoy_kv_response{id, std::move(data)}, now);
    };
    for (int step = 0; step < 300; ++step) {
      const std::string actor(1, static_cast<char>('a' + roll(3)));
      switch (roll(12)) {
        case 0:
          connection = next_connection++;
          newest_sent.clear();
          in_flight.clear();
          machine.handle_link_up(connection);
          break;
        case 1:
          connection = 0;
          newest_sent.clear();
          in_flight.clear();
          machine.handle_link_down();
          break;
        case 2:
          if (roll(10) == 0) gates[actor]->open = false;
          if (!gates[actor]->open && roll(2) == 0) machine.handle_gate_closed({actor_id{actor}, 1});
          break;
        case 3:
          if (roll(10) != 0 || down[actor]) break;
          down[actor] = true;
          machine.handle_down({actor_id{actor}, 1}, now);
          break;
        case 4:
          now += std::chrono::seconds{roll(8)};
          machine.expire(now);
          break;
        case 5:
        case 6:
        case 7:
          if (!in_flight.empty()) {
            auto at = in_flight.begin();
            std::advance(at, roll(static_cast<unsigned>(in_flight.size())));
            answer(at->first, at->second);
          }
          break;
        case 8:
          machine.handle_message(to_envoy_kv_response{roll(100), kv_put_response{}}, now);
          if (roll(2) == 0)
            machine.handle_consumed({actor_id{actor}, 1}, std::exchange(kept[actor], 0));
          break;
        default: {
          if (down[actor]) break;
          const auto ticket = next++;
          const auto reads = roll(2) == 0;
          const auto mode = static_cast<write_mode>(roll(3));
          all[ticket] = {actor, reads, mode};
          const auto key = std::to_string(ticket);
          machine.handle_request(
              {ticket,
               {actor_id{actor}, 1},
               gates[actor],
               reads ? get(key) : put(key),
               mode,
               roll(8) == 0},
              now);
        }
      }
      drain();
      REQUIRE(machine.stats().open <= 50);
    }
    for (const auto* name : {"a", "b", "c"})
      if (!std::exchange(down[name], true)) machine.handle_down({actor_id{name}, 1}, now);
    drain();
    now += 9s;
    machine.expire(now);
    drain();
    for (const auto& [ticket, x] : all) CHECK(x.ended == 1);
    CHECK(finished.size() == 3);
    CHECK(machine.stats().open == 0);
    CHECK(machine.stats().open_bytes == 0);
    CHECK(machine.stats().answer_bytes == 0);
    CHECK_FALSE(machine.poll_timeout().has_value());
  }
}

}  // namespace
}  // namespace nuncio::storage_requests_test
