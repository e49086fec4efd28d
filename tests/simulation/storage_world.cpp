// The storage requests of a few actors for each seed: instances that send requests, lose their gate and go down, a link that
// comes and goes, an engine that carries out what reaches it and answers, refuses, answers twice or not at all. The model knows
// each request and whether it was carried out, and judges the result that its sender gets.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <deque>
#include <map>
#include <nuncio/storage/kv_limits.hpp>
#include <nuncio/storage/storage_requests.hpp>
#include <nuncio/support/overloaded.hpp>
#include <set>

#include "simulation/machine_run.hpp"

namespace nuncio::simulation {
namespace {

using namespace protocol;

enum class storage_kind : std::uint8_t {
  kv_read,
  kv_write,
  sql_read,
  sql_write,
  script,
  pages_read,
  pages_write,
  kinds
};

enum class storage_row : std::uint8_t {
  answered,
  refused,
  another_kind,
  too_large,
  retried,
  lost_with_connection,
  taken_back_then_sent,
  waited_for_consumer,
  waited_for_link,
  not_taken,
  gate_closed_waiting,
  gate_closed_in_flight,
  asked_behind_gate,
  timed_out_waiting,
  timed_out_in_flight,
  cancelled_at_end,
  answered_after_end,
  given_up_waiting,
  given_up_in_flight,
  actor_full,
  host_full,
  held_itself_up,
  link_over_waiting,
  link_over_in_flight,
  asked_after_link_over,
  answered_late,
  answered_twice,
  answer_to_nothing,
  finished,
  rows
};

class storage_world : machine_run<storage_row, storage_kind> {
public:
  storage_world(std::uint64_t seed, bool tracing)
      : machine_run(seed, tracing, storage_kind::kinds),
        limits_(draw_limits()),
        flow_(draw_flow()),
        machine_("default", limits_, flow_) {}

  machine_result go() {
    return judge([this] {
      draw();
      for (int n = 0; n < busy_; ++n) {
        step();
        check();
      }
      settle();
    });
  }

private:
  enum class fate : std::uint8_t { waiting, in_flight, ended };

  struct asked {
    actor_ref who;
    storage_kind kind{};
    storage_call call;
    std::size_t bytes = 0;
    time_point deadline;
    fate at = fate::waiting;
    unsigned sent = 0, done = 0, ended = 0;
    std::uint32_t id = 0;
    bool taken_back = false;  // the link had not sent it
    bool awaited = false;
    bool held = false;           // there was no room for its answer
    bool held_by_link = false;   // though memory had some
    bool told_not_done = false;  // its asker believes that nothing was written
    // what its asker is to be told next, if it is told something
    std::optional<storage_row> cause{};
    std::optional<errc> code{};
  };

  struct instance {
    std::shared_ptr<output_gate> gate = std::make_shared<output_gate>(1);
    bool closed_told = false, down = false, finished = false;
    std::size_t kept = 0;  // of answers that it has not dealt with
    time_point give_up{};
  };

  struct on_wire {
    epoch connection = 0;
    std::uint64_t ticket = 0;
    std::uint32_t id = 0;
  };

  static bool reads(storage_kind x) {
    return x == storage_kind::kv_read || x == storage_kind::sql_read ||
           x == storage_kind::pages_read;
  }

  storage_limits draw_limits() {
    storage_limits x;
    if (random_.percent(20)) x.actor_requests_max = 1 + random_.below(10);
    if (random_.percent(20)) x.host_requests_max = 3 + random_.below(20);
    if (random_.percent(10)) x.actor_bytes_max = 200 + random_.below(1000);
    if (random_.percent(10)) x.host_bytes_max = 300 + random_.below(2000);
    if (random_.percent(30)) x.actor_answer_bytes_max = 1 + random_.below(300'000);
    if (random_.percent(30)) x.host_answer_bytes_max = 3 * answer_bytes_longest;
    if (random_.percent(30)) x.answer_bytes_reserved = 0;
    return x;
  }

  // Half of the links carry anything at once, so that what waits must be waiting for memory.
  answer_flow_limits draw_flow() {
    answer_flow_limits x;
    if (random_.percent(50))
      x.window_first = x.window_min = x.window_max = std::size_t{1} << 32U;
    else if (random_.percent(50))
      x.window_first = x.window_min = 1;
    return x;
  }

  void draw() {
    busy_ = 50 + static_cast<int>(random_.below(400));
    const auto some = [&](unsigned most) {
      return random_.percent(60) ? static_cast<unsigned>(random_.below(most)) : 0;
    };
    cut_permille_ = some(60);
    refuse_permille_ = some(60);
    odd_permille_ = some(60);
    end_permille_ = some(25);
    gate_permille_ = some(25);
    lazy_permille_ = some(200);
    consume_percent_ = random_.percent(50) ? 100 : static_cast<unsigned>(random_.below(20));
    over_permille_ = random_.percent(15) ? 10 : 0;
    slow_ = random_.percent(30);
    for (auto& g : generation_) g = 1 + static_cast<std::uint32_t>(random_.below(3));
  }

  // -- what is asked

  template <class T, class Field, class Value>
  static T with(Field T::*field, Value value) {
    T x;
    x.*field = std::move(value);
    return x;
  }

  static storage_call make_call(storage_kind kind, std::uint64_t ticket, std::uint64_t variant) {
    switch (kind) {
      case storage_kind::kv_read:
      case storage_kind::kv_write:
        return make_kv_call(kind, bytes{std::to_string(ticket)}, variant);
      case storage_kind::sql_read:
      case storage_kind::sql_write:
      case storage_kind::script:
        return make_sql_call(kind, ticket, variant);
      default:
        return make_pages_call(kind, static_cast<std::uint32_t>(ticket), variant);
    }
  }

  static storage_call make_kv_call(storage_kind kind, const bytes& key, std::uint64_t variant) {
    if (kind == storage_kind::kv_read) {
      if (variant % 2 == 0) return kv_request_data{kv_get_request{{key}}};
      return kv_request_data{kv_list_request{kv_list_prefix_query{key}, {}, {}}};
    }
    if (variant % 3 == 0) return kv_request_data{kv_put_request{{key}, {bytes{"value"}}}};
    if (variant % 3 == 1) return kv_request_data{kv_delete_request{{key}}};
    return kv_request_data{kv_delete_range_request{key, bytes{"z"}}};
  }

  static storage_call make_sql_call(
      storage_kind kind, std::uint64_t ticket, std::uint64_t variant) {
    const auto sql = [&](std::string_view word) {
      return text{fmt::format("{} {}", word, ticket)};
    };
    using execute = sqlite_execute_request;
    if (kind == storage_kind::script)
      return with(&sqlite_exec_request::sql, sql("SELECT"));  // may hold more after it
    if (kind == storage_kind::sql_read)
      return with(&execute::sql, sql(variant % 2 == 0 ? "SELECT" : " -- x\n values"));
    if (variant % 2 == 0) return with(&execute::sql, sql("INSERT"));
    return with(
        &sqlite_execute_batch_request::statements,
        std::vector{with(&sqlite_batch_statement::sql, sql("SELECT"))});
  }

  static storage_call make_pages_call(
      storage_kind kind, std::uint32_t ticket, std::uint64_t variant) {
    if (kind == storage_kind::pages_read)
      return with(&sqlite_get_pages_request::pgnos, std::vector{ticket});
    if (variant % 4 == 0) return with(&sqlite_commit_request::db_size_pages, ticket);
    if (variant % 4 == 1)
      return with(&sqlite_commit_stage_begin_request::expected_head_txid, ticket);
    if (variant % 4 == 2) return with(&sqlite_commit_stage_segment_request::txid, ticket);
    return with(&sqlite_commit_finalize_request::txid, ticket);
  }

  actor_ref some_actor() {
    const auto n = random_.below(generation_.size());
    const std::string name(1, static_cast<char>('a' + n));
    return {actor_id{name}, generation_[n]};
  }

  void ask() {
    const auto who = some_actor();
    auto& of = instances_[who];
    if (of.down) return;  // it has no more to ask
    ++steps_;
    const auto ticket = next_ticket_++;
    auto& x = all_[ticket];
    x.who = who;
    x.kind =
        static_cast<storage_kind>(random_.below(static_cast<std::uint64_t>(storage_kind::kinds)));
    x.call = make_call(x.kind, ticket, random_.next() % 12);
    if (x.kind == storage_kind::kv_write && random_.percent(5)) return ask_too_much(ticket);
    x.bytes = size_of(x.call);
    x.deadline = now_ + limits_.timeout;
    judge_bounds(x, of);
    trace("{}:{} asks {}", who.actor.str(), who.generation, ticket);
    if (!x.code) open_.insert(ticket);
    x.awaited = random_.percent(10);
    machine_.handle_request({ticket, who, of.gate, x.call, write_mode::once, x.awaited}, now_);
    drain();
    x.held = x.at == fate::waiting && link_ != 0 && !full_ && of.gate->open;
    x.held_by_link = x.held && is_next(ticket) && !carries_all() && memory_for(x) == room::some;
    must(!x.code || x.ended == 1, "storage", "what is turned away is told so at once");
  }

  // What the engine would refuse without a reason is never sent; the model's limits are those of docs/protocol.md H.1.
  void ask_too_much(std::uint64_t ticket) {
    const auto what = random_.below(4);
    const auto over = random_.below(2);
    kv_put_request put;
    const auto add = [&](std::size_t key, std::size_t value) {
      put.keys.emplace_back(std::string(key, 'k'));
      put.values.emplace_back(bytes{zeros().part(0, value)});
    };
    if (what == 0) add(2046 + over, 1);
    if (what == 1) add(1, 131'072 + over);
    if (what == 2)
      for (std::size_t n = 0; n < 128 + over; ++n) add(2, 1);
    if (what == 3) {  // 976 KiB, a key counting two more
      for (int n = 0; n < 7; ++n) add(1, 131'072);
      add(1, 999'424 - std::size_t{7} * 131'075 - 3 + over);
    }
    must(
        kv_limits::check(kv_request_data{put}).ok() == (over == 0),
        "kv limits",
        "another limit than the engine's");
    if (over != 0) count(storage_row::too_large, storage_kind::kv_write);
    all_.erase(ticket);
  }

  static const bytes& zeros() {
    static const bytes all{std::vector<std::uint8_t>(140'000)};
    return all;
  }

  // Sets what a request is turned away with, if it must be.
  void judge_bounds(asked& x, const instance& of) {
    const auto away = [&](errc code, storage_row r) {
      x.code = code;
      x.cause = r;
    };
    std::size_t requests = 0, size = 0, all = 0;
    for (const auto ticket : open_) {
      const auto& o = all_.at(ticket);
      all += o.bytes;
      if (o.who != x.who) continue;
      ++requests;
      size += o.bytes;
    }
    if (over_) return away(errc::evicted, storage_row::asked_after_link_over);
    if (!of.gate->open) return away(errc::cancelled, storage_row::asked_behind_gate);
    if (requests >= limits_.actor_requests_max || size + x.bytes > limits_.actor_bytes_max)
      return away(errc::queue_full, storage_row::actor_full);
    if (open_.size() >= limits_.host_requests_max || all + x.bytes > limits_.host_bytes_max)
      return away(errc::queue_full, storage_row::host_full);
  }

  // -- what leaves

  void drain() {
    if (std::exchange(full_, false)) machine_.handle_room();
    take_results();  // what their answers take is known before more is sent
    while (const auto frame = machine_.poll_transmit(now_)) transmit(*frame);
    take_results();
    while (const auto over = machine_.poll_finished()) finish(over->who);
  }

  void take_results() {
    while (const auto result = machine_.poll_result()) take(*result);
  }

  void transmit(const storage_requests::frame& frame) {
    ++steps_;
    const auto ticket = ticket_of(frame.message);
    trace("sends {} as #{}", ticket, frame.id);
    auto& x = all_.at(ticket);
    const auto& of = instances_.at(x.who);
    must(link_ != 0 && frame.connection == link_, "storage", "sent without a connection");
    must(!full_, "storage", "sent while the link has no room");
    must(of.gate->open, "I14 single writer", "sent behind a closed gate");
    must(!of.finished, "I14 single writer", "sent for an instance that is finished");
    must(x.at == fate::waiting && x.ended == 0, "storage", "sent again, or after its end");
    must(!of.down || !reads(x.kind), "storage", "a read is sent for an instance that is down");
    must(x.sent == 0 || reads(x.kind), "storage", "a write is sent twice");
    auto& newest = newest_sent_[x.who];
    must(newest < ticket, "storage", "sent out of turn");
    must_have_room(x, of);
    if (random_.permille(refuse_permille_)) return refuse(frame.id, x);
    if (x.held)
      count(
          x.held_by_link ? storage_row::waited_for_link : storage_row::waited_for_consumer, x.kind);
    newest = ticket;
    if (x.taken_back) count(storage_row::taken_back_then_sent, x.kind);
    x.at = fate::in_flight;
    x.id = frame.id;
    ++x.sent;
    wire_.push_back({frame.connection, ticket, frame.id});
  }

  // -- room for answers

  struct use {
    std::size_t own = 0;  // of one instance
    std::size_t all = 0;  // of all, beyond the shares that are their own
  };

  // What has come and was not dealt with, and the longest that what is in flight may be answered with.
  use use_of(const actor_ref& who) const {
    std::map<actor_ref, std::size_t> each;
    for (const auto& [of, x] : instances_) each[of] = x.kept;
    for (const auto ticket : open_) {
      const auto& x = all_.at(ticket);
      if (x.at == fate::in_flight) each[x.who] += answer_bytes_max(x.call);
    }
    use out;
    for (const auto& [of, n] : each) out.all += beyond_share(n);
    out.own = each[who];
    return out;
  }

  std::size_t beyond_share(std::size_t n) const {
    return n > limits_.answer_bytes_reserved ? n - limits_.answer_bytes_reserved : 0;
  }

  static bool is_word(const asked& x) { return answer_bytes_max(x.call) == answer_overhead; }

  // Whether `who` awaits what has not left.
  bool awaits(const actor_ref& who) const {
    return std::any_of(open_.begin(), open_.end(), [&](auto ticket) {
      const auto& x = all_.at(ticket);
      return x.who == who && x.awaited && x.at == fate::waiting;
    });
  }

  // Whether `x` has no room beside what its actor keeps.
  bool is_beyond_kept(const asked& x) const {
    const auto kept = instances_.at(x.who).kept;
    return kept != 0 && kept + answer_bytes_max(x.call) > limits_.actor_answer_bytes_max;
  }

  // What has no room fails before what its actor awaits, which may have left by now.
  void judge_held_up(std::uint64_t ticket, asked& x) {
    const auto later = std::any_of(open_.upper_bound(ticket), open_.end(), [&](auto other) {
      return all_.at(other).who == x.who && all_.at(other).awaited;
    });
    must(later, "I13 backpressure", "it has no room, and nothing is awaited");
    must(!x.awaited && !is_word(x), "I13 backpressure", "what is awaited, or short, has no room");
    must(
        is_beyond_kept(x) || instances_.at(x.who).kept > limits_.answer_bytes_reserved,
        "I13 backpressure",
        "it has no room, and not for what its actor keeps");
    x.cause = storage_row::held_itself_up;
    x.code = errc::queue_full;
  }

  enum class room : std::uint8_t { some, none_of_actor, none_of_host };

  room memory_for(const asked& x) const {
    const auto now = use_of(x.who);
    const auto then = now.own + answer_bytes_max(x.call);
    if (!x.awaited && now.own != 0 && then > limits_.actor_answer_bytes_max)
      return room::none_of_actor;
    const auto more = beyond_share(then) - beyond_share(now.own);
    if (more != 0 && now.all + more + beyond_share(then) > limits_.host_answer_bytes_max)
      return room::none_of_host;
    return room::some;
  }

  void must_have_room(const asked& x, const instance& of) const {
    if (of.down || (is_word(x) && awaits(x.who))) return;
    const auto found = memory_for(x);
    must(
        found != room::none_of_actor,
        "I13 backpressure",
        "sent without room among its actor's answers");
    must(
        found != room::none_of_host,
        "I13 backpressure",
        "sent though less is left for others than its actor takes");
  }

  bool carries_all() const { return flow_.window_first > 100 * answer_bytes_longest; }

  // Whether its actor asked for nothing before it that has not left.
  bool is_next(std::uint64_t ticket) const {
    return std::none_of(open_.begin(), open_.lower_bound(ticket), [&](auto other) {
      const auto& x = all_.at(other);
      return x.who == all_.at(ticket).who && x.at == fate::waiting;
    });
  }

  // Nothing waits where there is room for it, and for any before it.
  void must_wait_for_something() const {
    if (link_ == 0 || full_ || down_due_) return;
    std::set<actor_ref> seen;
    for (const auto ticket : open_) {
      const auto& x = all_.at(ticket);
      if (x.at != fate::waiting || !seen.insert(x.who).second) continue;
      const auto& of = instances_.at(x.who);
      const auto now = use_of(x.who);
      const auto then = now.own + answer_bytes_max(x.call);
      const auto longest = answer_bytes_longest + answer_overhead;
      const auto fits = now.own == 0 || then <= limits_.actor_answer_bytes_max;
      const auto plenty =
          now.all + 2 * longest + beyond_share(now.own) <= limits_.host_answer_bytes_max;
      // One answer may be under way in any case.
      const auto carried = carries_all() || nothing_in_flight();
      must(
          !of.gate->open || !fits || !plenty || !carried,
          "liveness",
          "it waits although there is room");
      const auto holds_up = is_word(x) || (!x.awaited && is_beyond_kept(x));
      must(
          !of.gate->open || !holds_up || !carried || !awaits(x.who),
          "liveness",
          "it holds up what its actor awaits");
    }
  }

  bool nothing_in_flight() const {
    return std::none_of(open_.begin(), open_.end(), [&](auto ticket) {
      return all_.at(ticket).at == fate::in_flight;
    });
  }

  void consume() {
    const auto n = random_.below(instances_.size() + 1);
    if (n == instances_.size()) return;
    const auto at = std::next(instances_.begin(), static_cast<std::ptrdiff_t>(n));
    consume(at->first, at->second);
  }

  void consume(const actor_ref& who, instance& of) {
    if (of.kept == 0) return;
    machine_.handle_consumed(who, std::exchange(of.kept, 0));
    drain();
  }

  void refuse(std::uint32_t id, asked& x) {
    if (random_.percent(40)) {
      x.taken_back = true;
      link_ = 0;  // the word of it follows
      down_due_ = true;
      return machine_.handle_not_sent(id, {errc::link_lost, "gone"});
    }
    if (random_.percent(50)) {
      x.taken_back = true;
      full_ = true;
      return machine_.handle_not_sent(id, {errc::queue_full, "no room"});
    }
    x.code = errc::malformed;
    x.cause = storage_row::not_taken;
    machine_.handle_not_sent(id, {*x.code, "not taken"});
  }

  // Each request names its ticket in what it asks; the rest must be addressed as the engine wants it.
  std::uint64_t ticket_of(const to_rivet& message) {
    std::uint64_t ticket = 0;
    const auto addressed = [&](const actor_id& actor, std::uint64_t generation) {
      const auto& who = all_.at(ticket).who;
      must(
          who.actor == actor && who.generation == generation,
          "storage",
          "addressed to another instance");
    };
    std::visit(
        overloaded{
            [&](const to_rivet_kv_request& x) {
              ticket = number_in(kv_key(x.data).view());
              addressed(x.actor_id, all_.at(ticket).who.generation);
            },
            [&]<class T>(const T& x) {
              if constexpr (requires { x.request_id; }) {
                ticket = ticket_in(x.data);
                if constexpr (requires { x.data.namespace_id; }) {
                  must(x.data.namespace_id == "default", "storage", "another namespace");
                  addressed(x.data.actor_id, x.data.generation);
                } else {
                  addressed(x.data.actor_id, x.data.expected_generation.value_or(0));
                }
              }
            }},
        message);
    return ticket;
  }

  static const bytes& kv_key(const kv_request_data& x) {
    if (const auto* get = std::get_if<kv_get_request>(&x)) return get->keys.front();
    if (const auto* put = std::get_if<kv_put_request>(&x)) return put->keys.front();
    if (const auto* drop = std::get_if<kv_delete_request>(&x)) return drop->keys.front();
    if (const auto* range = std::get_if<kv_delete_range_request>(&x)) return range->start;
    return std::get<kv_list_prefix_query>(std::get<kv_list_request>(x).query).key;
  }

  static std::uint64_t number_in(std::string_view x) {
    std::uint64_t out = 0;
    const auto at = x.rfind(' ') == std::string_view::npos ? 0 : x.rfind(' ') + 1;
    std::from_chars(x.data() + at, x.data() + x.size(), out);
    return out;
  }

  static std::uint64_t ticket_in(const sqlite_get_pages_request& x) { return x.pgnos.front(); }

  static std::uint64_t ticket_in(const sqlite_commit_request& x) { return x.db_size_pages; }

  static std::uint64_t ticket_in(const sqlite_commit_stage_begin_request& x) {
    return x.expected_head_txid.value_or(0);
  }

  static std::uint64_t ticket_in(const sqlite_commit_stage_segment_request& x) { return x.txid; }

  static std::uint64_t ticket_in(const sqlite_commit_finalize_request& x) { return x.txid; }

  static std::uint64_t ticket_in(const sqlite_exec_request& x) { return number_in(x.sql.view()); }

  static std::uint64_t ticket_in(const sqlite_execute_request& x) {
    return number_in(x.sql.view());
  }

  static std::uint64_t ticket_in(const sqlite_execute_batch_request& x) {
    return number_in(x.statements.front().sql.view());
  }

  // -- the engine

  void arrive() {
    if (wire_.empty()) return;
    ++steps_;
    const auto frame = wire_.front();
    wire_.pop_front();
    auto& x = all_.at(frame.ticket);
    if (!instances_.at(x.who).gate->open) return;  // the link drops what is still queued
    if (!reads(x.kind)) {
      must(!x.told_not_done, "storage", "done though its asker was told that it was not");
      must(x.done == 0, "storage", "a write is done twice");
    }
    ++x.done;
    if (!random_.permille(lazy_permille_)) answers_.push_back(frame);
  }

  void answer() {
    if (answers_.empty()) return;
    ++steps_;
    const auto at = random_.below(std::min<std::size_t>(answers_.size(), 3));
    const auto frame = answers_[at];
    answers_.erase(answers_.begin() + static_cast<std::ptrdiff_t>(at));
    auto& x = all_.at(frame.ticket);
    const auto open = x.at == fate::in_flight && x.id == frame.id;
    auto as = x.call;
    if (random_.permille(odd_permille_)) {
      if (open) return answer_oddly(x);
      count(storage_row::answer_to_nothing, x.kind);
      ++strays_;
      machine_.handle_message(
          response(make_call(storage_kind::kv_read, 1, 0), 1'000'000'000, false), now_);
      return drain();
    }
    const auto error = random_.percent(15);
    trace("answers {} #{}{}", frame.ticket, frame.id, error ? " with an error" : "");
    if (!open) {
      count(storage_row::answered_late, x.kind);
      ++strays_;
    } else {
      x.cause = error                       ? storage_row::refused
                : instances_.at(x.who).down ? storage_row::answered_after_end
                                            : storage_row::answered;
      x.code = error ? std::optional{errc::refused} : std::nullopt;
      ++(error ? refused_ : answered_);
    }
    machine_.handle_message(response(as, frame.id, error), now_);
    drain();
    must(!open || x.ended == 1, "storage", "an answer does not end its request");
    if (!random_.percent(3)) return;
    count(storage_row::answered_twice, x.kind);
    ++strays_;
    machine_.handle_message(response(as, frame.id, error), now_);
    drain();
  }

  void answer_oddly(asked& x) {
    x.cause = storage_row::another_kind;
    x.code = errc::malformed;
    const auto kv = x.call.index() == 0;
    auto other = make_call(kv ? storage_kind::pages_read : storage_kind::kv_read, 1, 0);
    machine_.handle_message(response(other, x.id, random_.percent(50)), now_);
    drain();
    must(x.ended == 1, "storage", "an answer of another kind is waited for on");
  }

  template <class Message, class Ok>
  static to_envoy one(std::uint32_t id, Ok ok, bool error) {
    Message out;
    out.request_id = id;
    if (error)
      out.data = sqlite_error_response{};
    else
      out.data = std::move(ok);
    return out;
  }

  static to_envoy response(const storage_call& call, std::uint32_t id, bool error) {
    switch (call.index()) {
      case 0:
        return kv_response(std::get<0>(call), id, error);
      case 1:
        return one<to_envoy_sqlite_get_pages_response>(id, sqlite_get_pages_ok{}, error);
      case 2:
        return one<to_envoy_sqlite_commit_response>(id, sqlite_commit_ok{}, error);
      case 3:
        return one<to_envoy_sqlite_commit_stage_begin_response>(
            id, sqlite_commit_stage_begin_ok{}, error);
      case 4:
        return one<to_envoy_sqlite_commit_stage_segment_response>(
            id, sqlite_commit_stage_segment_ok{}, error);
      case 5:
        return one<to_envoy_sqlite_commit_finalize_response>(
            id, sqlite_commit_finalize_ok{}, error);
      case 6:
        return one<to_envoy_sqlite_exec_response>(id, sqlite_exec_ok{}, error);
      case 7:
        return one<to_envoy_sqlite_execute_response>(id, sqlite_execute_ok{}, error);
      default:
        return one<to_envoy_sqlite_execute_batch_response>(id, sqlite_execute_batch_ok{}, error);
    }
  }

  static to_envoy kv_response(const kv_request_data& call, std::uint32_t id, bool error) {
    to_envoy_kv_response out{id, kv_delete_response{}};
    if (error)
      out.data = kv_error_response{text{"no"}};
    else if (std::holds_alternative<kv_get_request>(call))
      out.data = kv_get_response{};
    else if (std::holds_alternative<kv_list_request>(call))
      out.data = kv_list_response{};
    else if (std::holds_alternative<kv_put_request>(call))
      out.data = kv_put_response{};
    return out;
  }

  // -- what the asker is told

  void take(const storage_requests::result& result) {
    ++steps_;
    auto& x = all_.at(result.ticket);
    must(++x.ended == 1, "storage", "a request ends twice");
    const auto was = std::exchange(x.at, fate::ended);
    open_.erase(result.ticket);
    auto& of = instances_.at(x.who);
    must(!of.down || result.bytes == 0, "storage", "an answer is kept for nobody");
    of.kept += result.bytes;
    const auto* why = std::get_if<storage_failure>(&result.content);
    trace("ends {}: {}", result.ticket, why == nullptr ? "ok" : why->message);
    if (!x.cause && why != nullptr && why->code == errc::queue_full)
      judge_held_up(result.ticket, x);
    must(x.cause.has_value(), "storage", "a request ends for no reason");
    count(*x.cause, x.kind);
    if (why == nullptr) {
      must(!x.code, "storage", "good news of what failed");
      return must(x.done != 0, "storage", "good news of what was never done");
    }
    must(x.code == why->code, "storage", "another failure than what happened");
    const auto doubt = reads(x.kind) ? false
                       : why->code == errc::refused
                           ? x.kind == storage_kind::kv_write || x.kind == storage_kind::script
                           : was == fate::in_flight && *x.cause != storage_row::not_taken;
    must(why->may_have_happened == doubt, "storage", "its asker is told wrongly what happened");
    if (!doubt && !reads(x.kind) && why->code != errc::refused) {
      must(x.done == 0, "storage", "said to be undone though it was done");
      x.told_not_done = true;
    }
    if (doubt && why->code != errc::refused) ++uncertain_;
  }

  void finish(const actor_ref& who) {
    trace("{}:{} is finished", who.actor.str(), who.generation);
    auto& of = instances_.at(who);
    must(of.down, "I14 single writer", "finished before it was down");
    must(!std::exchange(of.finished, true), "storage", "finished twice");
    for (const auto ticket : open_)
      must(all_.at(ticket).who != who, "I14 single writer", "finished with something open");
    count(storage_row::finished, storage_kind::kv_write);
  }

  // Whatever ends of `chosen` until the next call ends because of this.
  template <class Choose>
  void expect(Choose&& chosen, errc code, storage_row waiting, storage_row in_flight) {
    for (const auto ticket : open_) {
      auto& x = all_.at(ticket);
      if (!chosen(x)) continue;
      x.code = code;
      x.cause = x.at == fate::waiting ? waiting : in_flight;
      due_.push_back(ticket);
    }
  }

  void check_due(const char* what) {
    for (const auto ticket : std::exchange(due_, {}))
      must(all_.at(ticket).ended == 1, "storage", what);
  }

  // -- link, gates and ends

  void link_up() {
    if (over_ || (link_ != 0 && !random_.percent(20))) return;
    if (down_due_) link_down();
    lose();
    link_ = ++connections_;
    trace("link {} is up", link_);
    machine_.handle_link_up(link_);
    drain();
    check_due("a write that was cut off is waited for on");
  }

  void link_down() {
    if (link_ == 0 && !down_due_) return;
    trace("link is down");
    lose();
    link_ = 0;
    down_due_ = false;
    machine_.handle_link_down();
    drain();
    check_due("a write that was cut off is waited for on");
  }

  // What is on the wire is lost. Some answers come all the same, late.
  void lose() {
    newest_sent_.clear();
    wire_.clear();
    if (random_.percent(80)) answers_.clear();
    const auto cut = [](const asked& x) { return x.at == fate::in_flight; };
    for (const auto ticket : open_) {
      auto& x = all_.at(ticket);
      if (!cut(x) || !reads(x.kind)) continue;
      count(storage_row::retried, x.kind);
      ++retried_;
      x.at = fate::waiting;
    }
    expect(
        cut, errc::link_lost, storage_row::lost_with_connection, storage_row::lost_with_connection);
  }

  void link_over() {
    if (over_) return;
    trace("link is over");
    over_ = true;
    link_ = 0;
    down_due_ = false;
    wire_.clear();
    expect(
        [](const asked&) { return true; },
        errc::evicted,
        storage_row::link_over_waiting,
        storage_row::link_over_in_flight);
    machine_.handle_link_over({errc::evicted, "over"});
    drain();
    check_due("something is waited for without a link");
  }

  void close_gate() {
    const auto who = some_actor();
    auto& of = instances_[who];
    of.gate->open = false;
    // What waits ends at the next sending, or when the word comes.
    expect_cancelled(who);
    due_.clear();
    if (random_.percent(50)) return;
    trace("{} has its gate closed", who.actor.str());
    of.closed_told = true;
    expect_cancelled(who);
    machine_.handle_gate_closed(who);
    drain();
    check_due("something is open behind a closed gate");
  }

  void expect_cancelled(const actor_ref& who) {
    expect(
        [&](const asked& x) { return x.who == who; },
        errc::cancelled,
        storage_row::gate_closed_waiting,
        storage_row::gate_closed_in_flight);
  }

  void instance_ends() {
    const auto n = random_.below(generation_.size());
    const actor_ref who{actor_id{std::string(1, static_cast<char>('a' + n))}, generation_[n]};
    auto& of = instances_[who];
    if (std::exchange(of.down, true)) return;
    trace("{}:{} is down", who.actor.str(), who.generation);
    of.give_up = now_ + limits_.end_grace;
    of.kept = 0;
    expect(
        [&](const asked& x) { return x.who == who && reads(x.kind); },
        errc::cancelled,
        storage_row::cancelled_at_end,
        storage_row::cancelled_at_end);
    machine_.handle_down(who, now_);
    drain();
    check_due("a read of an instance that is down");
    ++generation_[n];
  }

  void pass(duration d) {
    now_ += d;
    expect_expiries();
    machine_.expire(now_);
    drain();
    check_due("nothing came of it in time");
  }

  void expect_expiries() {
    std::uint64_t late = 0;
    const auto by_itself = [&](const asked& x) { return x.deadline <= now_; };
    for (const auto ticket : open_) late += by_itself(all_.at(ticket)) ? 1U : 0U;
    timed_out_ += late;
    expect(
        by_itself,
        errc::timed_out,
        storage_row::timed_out_waiting,
        storage_row::timed_out_in_flight);
    expect(
        [&](const asked& x) {
          const auto& of = instances_.at(x.who);
          return !by_itself(x) && of.down && of.give_up <= now_;
        },
        errc::timed_out,
        storage_row::given_up_waiting,
        storage_row::given_up_in_flight);
  }

  // -- chance

  void step() {
    const auto x = random_.below(100);
    if (x < 35)
      ask();
    else if (x < 60)
      arrive();
    else if (x < 82)
      answer();
    else if (x < 88)
      link_up();
    else if (x < 96)
      pass(slow_ ? random_.between(0ms, 8s) : random_.between(0ms, 300ms));
    if (random_.percent(consume_percent_)) consume();
    if (random_.permille(cut_permille_) || (down_due_ && random_.percent(30))) link_down();
    if (random_.permille(gate_permille_)) close_gate();
    if (random_.permille(end_permille_)) instance_ends();
    if (random_.permille(over_permille_)) link_over();
  }

  void check() const {
    const auto& s = machine_.stats();
    must(s.open == open_.size(), "stats", "another number of open requests");
    must(s.answered == answered_, "stats", "another number of answers");
    must(s.refused == refused_, "stats", "another number of refusals");
    must(s.retried == retried_, "stats", "another number of retries");
    must(s.uncertain == uncertain_, "stats", "another number of uncertain writes");
    must(s.timed_out == timed_out_, "stats", "another number of late requests");
    must(s.strays == strays_, "stats", "another number of strays");
    std::size_t size = 0;
    std::optional<time_point> first;
    const auto at = [&](time_point t) { first = first ? std::min(*first, t) : t; };
    for (const auto ticket : open_) {
      size += all_.at(ticket).bytes;
      at(all_.at(ticket).deadline);
    }
    for (const auto& [who, of] : instances_)
      if (of.down && !of.finished) at(of.give_up);
    must(s.open_bytes == size, "stats", "another number of open bytes");
    std::size_t answers = 0;
    for (const auto& [who, of] : instances_) answers += of.kept;
    for (const auto ticket : open_)
      if (const auto& x = all_.at(ticket); x.at == fate::in_flight)
        answers += answer_bytes_max(x.call);
    must(s.answer_bytes == answers, "stats", "another number of bytes of answers");
    must_wait_for_something();
    must(machine_.poll_timeout() == first, "storage", "it would be woken at another time");
  }

  // -- the end

  void settle() {
    for (int n = 0; n < 6; ++n) instance_ends();
    for (int round = 0; round < 40 && !open_.empty(); ++round) {
      if (link_ == 0) link_up();
      for (int n = 0; n < 50; ++n) {
        arrive();
        answer();
        for (auto& [who, of] : instances_) consume(who, of);
      }
      pass(2s);
      check();
    }
    check();
    must(open_.empty(), "liveness", "something waits for ever");
    for (const auto& [who, of] : instances_)
      must(of.finished || !of.down, "liveness", "an instance that is down is not finished");
    for (const auto& [ticket, x] : all_) must(x.ended == 1, "storage", "a request without an end");
  }

  storage_limits limits_;
  answer_flow_limits flow_;
  storage_requests machine_;
  time_point now_{1000s};

  int busy_ = 0;
  bool slow_ = false;
  unsigned cut_permille_ = 0, refuse_permille_ = 0, odd_permille_ = 0, end_permille_ = 0,
           gate_permille_ = 0, lazy_permille_ = 0, over_permille_ = 0, consume_percent_ = 0;

  std::array<std::uint32_t, 3> generation_{};
  std::map<actor_ref, instance> instances_;
  std::map<std::uint64_t, asked> all_;
  std::set<std::uint64_t> open_;
  std::vector<std::uint64_t> due_;
  std::uint64_t next_ticket_ = 1;
  std::map<actor_ref, std::uint64_t> newest_sent_;  // on this connection

  epoch link_ = 0, connections_ = 0;
  bool down_due_ = false, over_ = false;
  bool full_ = false;  // the link has said so
  std::deque<on_wire> wire_;
  std::vector<on_wire> answers_;

  std::uint64_t answered_ = 0, refused_ = 0, retried_ = 0, uncertain_ = 0, timed_out_ = 0,
                strays_ = 0;
};

}  // namespace

machine_simulation simulate_storage() {
  using enum storage_row;
  using enum storage_kind;
  tally::reasons impossible;
  const auto only = [&](storage_row r, std::set<storage_kind> in, std::string_view why) {
    for (std::size_t k = 0; k < static_cast<std::size_t>(kinds); ++k)
      if (!in.contains(static_cast<storage_kind>(k)))
        impossible[{static_cast<std::size_t>(r), k}] = why;
  };
  const std::set<storage_kind> all_reads{kv_read, sql_read, pages_read};
  const std::set<storage_kind> all_writes{kv_write, sql_write, script, pages_write};
  only(too_large, {kv_write}, "only puts are measured here");
  only(finished, {kv_write}, "counted once for all kinds");
  only(
      held_itself_up,
      {kv_read, sql_read, sql_write, script, pages_read},
      "their answers are words");
  only(retried, all_reads, "a write is never sent twice");
  only(lost_with_connection, all_writes, "a read is sent again");
  only(cancelled_at_end, all_reads, "a write may still be answered");
  only(
      waited_for_link,
      {kv_read, sql_read, sql_write, script, pages_read},
      "the others are answered with a word");
  for (const auto r : {answered_after_end, given_up_waiting, given_up_in_flight})
    only(r, all_writes, "nobody wants to read after the end");
  return {
      .run = &run_world<storage_world>,
      .rows =
          {"answered",
           "refused",
           "answered with another kind",
           "too large for the engine",
           "sent again after a cut",
           "lost with the connection",
           "taken back, then sent",
           "sent when there was room for its answer",
           "sent when the link was expected to carry its answer",
           "not taken by the link",
           "gate closed while it waited",
           "gate closed while in flight",
           "asked behind a closed gate",
           "timed out while it waited",
           "timed out in flight",
           "read cancelled: down",
           "answered after the end",
           "given up after the end, unsent",
           "given up after the end, sent",
           "actor's bound",
           "host's bound",
           "no room before what is awaited",
           "link over while it waited",
           "link over while in flight",
           "asked after the link's end",
           "answered late",
           "answered twice",
           "answer to nothing",
           "finished instances"},
      .columns =
          {"KV read", "KV write", "SQL read", "SQL write", "script", "pages read", "pages write"},
      .impossible = std::move(impossible)};
}

}  // namespace nuncio::simulation
