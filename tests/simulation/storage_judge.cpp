// See storage_judge.hpp.
#include "simulation/storage_judge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nuncio/support/overloaded.hpp>
#include <string>
#include <utility>

namespace nuncio::simulation {
namespace {

using namespace protocol;

constexpr const char* check_name = "storage";

storage_kind kind_of(const storage_call& call) {
  return std::visit(
      overloaded{
          [](const kv_request_data& x) {
            return std::holds_alternative<kv_get_request>(x) ||
                           std::holds_alternative<kv_list_request>(x)
                       ? storage_kind::kv_read
                       : storage_kind::kv_write;
          },
          [](const sqlite_get_pages_request&) { return storage_kind::pages_read; },
          [](const sqlite_exec_request&) { return storage_kind::script; },
          [](const sqlite_execute_request& x) {
            return x.sql.view().find("INSERT") == std::string_view::npos ? storage_kind::sql_read
                                                                         : storage_kind::sql_write;
          },
          [](const sqlite_execute_batch_request&) { return storage_kind::sql_write; },
          [](const auto&) { return storage_kind::pages_write; }},
      call);
}

// What was asked, if `message` asks for it as the engine wants it, in the name of `who`.
bool asks(const to_rivet& message, const storage_call& call, const actor_ref& who) {
  return std::visit(
      [&]<class T>(const T& x) {
        if constexpr (std::is_same_v<T, to_rivet_kv_request>) {
          return x.actor_id == who.actor && call == storage_call{x.data};
        } else if constexpr (requires { x.data.actor_id; }) {
          if (x.data.actor_id != who.actor) return false;
          auto data = x.data;
          data.actor_id = {};
          if constexpr (requires { data.namespace_id; }) {
            if (x.data.namespace_id != "default" || x.data.generation != who.generation)
              return false;
            data.namespace_id = {};
            data.generation = 0;
          } else {
            if (x.data.expected_generation != who.generation) return false;
            data.expected_generation.reset();
          }
          return call == storage_call{std::move(data)};
        } else {
          return false;
        }
      },
      message);
}

bool fits(const to_envoy_kv_response& x, const storage_call& call) {
  const auto* const asked = std::get_if<kv_request_data>(&call);
  if (asked == nullptr) return false;
  return std::visit(
      overloaded{
          [&](const kv_error_response&) { return true; },
          [&](const kv_get_response&) { return std::holds_alternative<kv_get_request>(*asked); },
          [&](const kv_list_response&) { return std::holds_alternative<kv_list_request>(*asked); },
          [&](const kv_put_response&) { return std::holds_alternative<kv_put_request>(*asked); },
          [&](const kv_delete_response&) {
            return std::holds_alternative<kv_delete_request>(*asked) ||
                   std::holds_alternative<kv_delete_range_request>(*asked);
          },
          [&](const kv_drop_response&) { return std::holds_alternative<kv_drop_request>(*asked); }},
      x.data);
}

bool is_of(const to_envoy& x, const storage_call& call) {
  return std::visit(
      overloaded{
          [&](const to_envoy_kv_response& kv) { return fits(kv, call); },
          [&](const to_envoy_sqlite_get_pages_response&) { return call.index() == 1; },
          [&](const to_envoy_sqlite_commit_response&) { return call.index() == 2; },
          [&](const to_envoy_sqlite_commit_stage_begin_response&) { return call.index() == 3; },
          [&](const to_envoy_sqlite_commit_stage_segment_response&) { return call.index() == 4; },
          [&](const to_envoy_sqlite_commit_finalize_response&) { return call.index() == 5; },
          [&](const to_envoy_sqlite_exec_response&) { return call.index() == 6; },
          [&](const to_envoy_sqlite_execute_response&) { return call.index() == 7; },
          [&](const to_envoy_sqlite_execute_batch_response&) { return call.index() == 8; },
          [](const auto&) { return false; }},
      x);
}

bool is_error(const to_envoy& x) {
  return std::visit(
      []<class T>(const T& each) {
        if constexpr (std::is_same_v<T, to_envoy_kv_response>)
          return std::holds_alternative<kv_error_response>(each.data);
        else if constexpr (requires { std::get<sqlite_error_response>(each.data); })
          return std::holds_alternative<sqlite_error_response>(each.data);
        else
          return false;
      },
      x);
}

bool is_word(const storage_call& x) { return answer_bytes_max(x) == answer_overhead; }

}  // namespace

// -- what is asked --------------------------------------------------------------------

void storage_judge::handle_asked(const storage_requests::request& what) {
  must(what.ticket > last_ticket_, check_name, "tickets count up");
  last_ticket_ = what.ticket;
  must(!finished_.contains(what.who), check_name, "asked by an instance that is finished");
  auto& of = instances_[what.who];
  of.gate = what.gate;
  auto& x = open_[what.ticket];
  x.who = what.who;
  x.kind = kind_of(what.call);
  x.call = what.call;
  x.bytes = size_of(what.call);
  x.deadline = time_.now() + limits_.timeout;
  x.again = reads(x.kind) || what.mode != write_mode::once;
  x.awaited = what.awaited;
  judge_bounds(x, of);
  if (x.code) {
    due_.push_back(what.ticket);
    due_why_ = "what is turned away is told so at once";
  }
}

void storage_judge::handle_asked_and_polled(std::uint64_t ticket) {
  const auto at = open_.find(ticket);
  if (at == open_.end()) return;
  auto& x = at->second;
  x.held = x.at == fate::waiting && link_ != 0 && !full_ && instances_.at(x.who).gate->open;
  x.held_by_link = x.held && is_next(ticket) && !carries_all() && memory_for(x) == room::some;
}

// Sets what a request is turned away with, if it must be.
void storage_judge::judge_bounds(asked& x, const instance& of) {
  const auto away = [&](errc code, storage_row r) {
    x.code = code;
    x.cause = r;
  };
  std::size_t requests = 0, size = 0, all = 0;
  for (const auto& [ticket, o] : open_) {
    if (&o == &x) continue;
    all += o.bytes;
    if (o.who != x.who) continue;
    ++requests;
    size += o.bytes;
  }
  if (over_) return away(*over_, storage_row::link_over_waiting);
  if (!of.gate->open) return away(errc::cancelled, storage_row::asked_behind_gate);
  if (requests >= limits_.actor_requests_max || size + x.bytes > limits_.actor_bytes_max)
    return away(errc::queue_full, storage_row::actor_full);
  if (open_.size() - 1 >= limits_.host_requests_max || all + x.bytes > limits_.host_bytes_max)
    return away(errc::queue_full, storage_row::host_full);
}

// -- what leaves ----------------------------------------------------------------------

// Of one instance, the first that has not left.
std::uint64_t storage_judge::next_of(const std::shared_ptr<const output_gate>& gate) const {
  for (const auto& [ticket, x] : open_)
    if (x.at == fate::waiting && instances_.at(x.who).gate == gate) return ticket;
  throw violated(check_name, "sent, and nobody waits for it");
}

void storage_judge::handle_frame(const storage_requests::frame& frame) {
  const auto ticket = next_of(frame.gate);
  auto& x = open_.at(ticket);
  const auto& of = instances_.at(x.who);
  must(link_ != 0 && frame.connection == link_, check_name, "sent without a connection");
  must(!full_, check_name, "sent while the link has no room");
  must(of.gate->open, "I14 single writer", "sent behind a closed gate");
  must(
      asks(frame.message, x.call, x.who),
      check_name,
      "sent out of turn, or in the name of another instance");
  must(!of.down || !reads(x.kind), check_name, "a read is sent for an instance that is down");
  must(!x.sent_before || x.again, check_name, "a write is sent twice");
  must(!in_flight_.contains(frame.id), check_name, "two requests have one id");
  must_have_room(x, of);
  x.at = fate::in_flight;
  x.id = frame.id;
  in_flight_[frame.id] = ticket;
  if (x.held)
    count(x.held_by_link ? storage_row::waited_for_link : storage_row::waited_for_consumer, x.kind);
  if (x.taken_back) count(storage_row::taken_back_then_sent, x.kind);
  x.held = x.taken_back = false;
}

void storage_judge::handle_not_sent(std::uint32_t id, errc why) {
  auto& x = open_.at(in_flight_.at(id));
  in_flight_.erase(id);
  x.at = fate::waiting;
  x.taken_back = true;
  if (why == errc::link_lost) {
    link_ = 0;
  } else if (why == errc::queue_full) {
    full_ = true;
  } else {
    must(
        why == errc::cancelled && !instances_.at(x.who).gate->open,
        check_name,
        "the link does not take a request");
    x.cause = storage_row::gate_closed_waiting;
    x.code = why;
  }
}

// -- room for answers -------------------------------------------------------------------

std::size_t storage_judge::beyond_share(std::size_t n) const {
  return n > limits_.answer_bytes_reserved ? n - limits_.answer_bytes_reserved : 0;
}

// What has come and was not dealt with, and the longest that what is in flight may be answered with.
storage_judge::use storage_judge::use_of(const actor_ref& who) const {
  std::map<actor_ref, std::size_t> each;
  for (const auto& [of, x] : instances_) each[of] = x.kept;
  for (const auto& [id, ticket] : in_flight_) {
    const auto& x = open_.at(ticket);
    each[x.who] += answer_bytes_max(x.call);
  }
  use out;
  for (const auto& [of, n] : each) out.all += beyond_share(n);
  out.own = each[who];
  return out;
}

// Whether `who` awaits what has not left.
bool storage_judge::awaits(const actor_ref& who) const {
  return std::any_of(open_.begin(), open_.end(), [&](const auto& each) {
    const auto& x = each.second;
    return x.who == who && x.awaited && x.at == fate::waiting;
  });
}

// Whether `x` has no room beside what its actor keeps.
bool storage_judge::is_beyond_kept(const asked& x) const {
  const auto kept = instances_.at(x.who).kept;
  return kept != 0 && kept + answer_bytes_max(x.call) > limits_.actor_answer_bytes_max;
}

// What has no room fails before what its actor awaits, which may have left by now.
void storage_judge::judge_held_up(std::uint64_t ticket, asked& x) const {
  const auto later = std::any_of(open_.upper_bound(ticket), open_.end(), [&](const auto& other) {
    return other.second.who == x.who && other.second.awaited;
  });
  must(later, "I13 backpressure", "it has no room, and nothing is awaited");
  must(
      !x.awaited && !is_word(x.call), "I13 backpressure", "what is awaited, or short, has no room");
  must(
      is_beyond_kept(x) || instances_.at(x.who).kept > limits_.answer_bytes_reserved,
      "I13 backpressure",
      "it has no room, and not for what its actor keeps");
  x.cause = storage_row::held_itself_up;
  x.code = errc::queue_full;
}

storage_judge::room storage_judge::memory_for(const asked& x) const {
  const auto now = use_of(x.who);
  const auto then = now.own + answer_bytes_max(x.call);
  if (!x.awaited && now.own != 0 && then > limits_.actor_answer_bytes_max)
    return room::none_of_actor;
  const auto more = beyond_share(then) - beyond_share(now.own);
  if (more != 0 && now.all + more + beyond_share(then) > limits_.host_answer_bytes_max)
    return room::none_of_host;
  return room::some;
}

void storage_judge::must_have_room(const asked& x, const instance& of) const {
  if (of.down || (is_word(x.call) && awaits(x.who))) return;
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

bool storage_judge::carries_all() const { return flow_.window_first > 100 * answer_bytes_longest; }

// Whether its actor asked for nothing before it that has not left.
bool storage_judge::is_next(std::uint64_t ticket) const {
  return std::none_of(open_.begin(), open_.lower_bound(ticket), [&](const auto& other) {
    return other.second.who == open_.at(ticket).who && other.second.at == fate::waiting;
  });
}

// Nothing waits where there is room for it, and for any before it.
void storage_judge::must_wait_for_something() const {
  if (link_ == 0 || full_) return;
  std::set<actor_ref> seen;
  for (const auto& [ticket, x] : open_) {
    if (x.at != fate::waiting || !seen.insert(x.who).second) continue;
    const auto& of = instances_.at(x.who);
    const auto now = use_of(x.who);
    const auto then = now.own + answer_bytes_max(x.call);
    const auto longest = answer_bytes_longest + answer_overhead;
    const auto fits = now.own == 0 || then <= limits_.actor_answer_bytes_max;
    const auto plenty =
        now.all + 2 * longest + beyond_share(now.own) <= limits_.host_answer_bytes_max;
    // One answer may be under way in any case.
    const auto carried = carries_all() || in_flight_.empty();
    must(
        !of.gate->open || !fits || !plenty || !carried,
        "liveness",
        "it waits although there is room");
    const auto holds_up = is_word(x.call) || (!x.awaited && is_beyond_kept(x));
    must(
        !of.gate->open || !holds_up || !carried || !awaits(x.who),
        "liveness",
        "it holds up what its actor awaits");
  }
}

// -- what the asker is told -----------------------------------------------------------------

void storage_judge::handle_message(const to_envoy& what) {
  std::uint32_t id = 0;
  std::visit(
      [&]<class T>(const T& x) {
        if constexpr (requires { x.request_id; }) id = x.request_id;
      },
      what);
  const auto at = in_flight_.find(id);
  if (at == in_flight_.end()) {
    ++strays_;
    return count(storage_row::answer_to_nothing, storage_kind::kv_read);
  }
  auto& x = open_.at(at->second);
  due_.push_back(at->second);
  due_why_ = "an answer does not end its request";
  if (!is_of(what, x.call)) {
    x.cause = storage_row::another_kind;
    x.code = errc::malformed;
    return;
  }
  const auto error = is_error(what);
  x.cause = error                       ? storage_row::refused
            : instances_.at(x.who).down ? storage_row::answered_after_end
                                        : storage_row::answered;
  x.code = error ? std::optional{errc::refused} : std::nullopt;
  ++(error ? refused_ : answered_);
}

void storage_judge::handle_result(const storage_requests::result& result) {
  const auto at = open_.find(result.ticket);
  must(at != open_.end(), check_name, "a request ends twice");
  auto& x = at->second;
  auto& of = instances_.at(x.who);
  const auto was_sent = x.at == fate::in_flight || x.sent_before;
  must(!of.down || result.bytes == 0, check_name, "an answer is kept for nobody");
  const auto* why = std::get_if<storage_failure>(&result.content);
  time_.trace("storage {} ends: {}", result.ticket, why == nullptr ? "ok" : why->message);
  if (!x.cause && why != nullptr && why->code == errc::queue_full) judge_held_up(result.ticket, x);
  if (!x.cause && x.at == fate::waiting && !of.gate->open) {  // before the word of it comes
    x.cause = storage_row::gate_closed_waiting;
    x.code = errc::cancelled;
  }
  must(x.cause.has_value(), check_name, "a request ends for no reason");
  count(*x.cause, x.kind);
  if ((why == nullptr) != !x.code || (why != nullptr && *x.code != why->code))
    throw violated(
        check_name,
        fmt::format(
            "request {} ends with {} and not with {}",
            result.ticket,
            why == nullptr ? "ok" : why->message,
            x.code ? to_string(*x.code) : "ok"));
  if (why != nullptr) {
    const auto doubt = reads(x.kind) ? false
                       : why->code == errc::refused
                           ? x.kind == storage_kind::kv_write || x.kind == storage_kind::script
                           : was_sent;
    must(why->may_have_happened == doubt, check_name, "its asker is told wrongly what happened");
    if (doubt && why->code != errc::refused) ++uncertain_;
  }
  of.kept += result.bytes;
  in_flight_.erase(x.id);
  open_.erase(at);
}

void storage_judge::handle_finished(const actor_ref& who) {
  const auto of = instances_.find(who);
  must(
      of != instances_.end() && of->second.down,
      "I14 single writer",
      "finished before it was down, or twice");
  for (const auto& [ticket, x] : open_)
    must(x.who != who, "I14 single writer", "finished with something open");
  count(storage_row::finished, storage_kind::kv_write);
  finished_.insert(who);
  instances_.erase(of);
}

// Whatever is open of `chosen` ends now, because of this.
template <class Choose>
void storage_judge::expect(Choose&& chosen, errc code, storage_row waiting, storage_row in_flight) {
  for (auto& [ticket, x] : open_) {
    if (!chosen(x)) continue;
    x.code = code;
    x.cause = x.at == fate::waiting ? waiting : in_flight;
    due_.push_back(ticket);
  }
}

// -- link, gates and ends -------------------------------------------------------------------

void storage_judge::handle_link_up(epoch connection) {
  if (link_ != 0) lose();
  must(in_flight_.empty(), check_name, "something is in flight, and no connection was up");
  link_ = connection;
}

void storage_judge::handle_link_down() {
  lose();
  link_ = 0;
}

void storage_judge::lose() {
  due_why_ = "a write that was cut off is waited for on";
  for (const auto& [id, ticket] : std::exchange(in_flight_, {})) {
    auto& x = open_.at(ticket);
    if (x.again) {
      count(storage_row::retried, x.kind);
      ++retried_;
      x.at = fate::waiting;
      x.sent_before = true;
      x.id = 0;
    } else {
      x.code = errc::link_lost;
      x.cause = storage_row::lost_with_connection;
      due_.push_back(ticket);
    }
  }
}

void storage_judge::handle_link_over(errc why) {
  over_ = why;
  link_ = 0;
  due_why_ = "something is waited for without a link";
  expect(
      [](const asked&) { return true; },
      why,
      storage_row::link_over_waiting,
      storage_row::link_over_in_flight);
}

void storage_judge::handle_gate_closed(const actor_ref& who) {
  due_why_ = "something is open behind a closed gate";
  expect(
      [&](const asked& x) { return x.who == who; },
      errc::cancelled,
      storage_row::gate_closed_waiting,
      storage_row::gate_closed_in_flight);
}

void storage_judge::handle_consumed(const actor_ref& who, std::size_t bytes) {
  const auto of = instances_.find(who);
  if (of != instances_.end()) of->second.kept -= std::min(bytes, of->second.kept);
}

void storage_judge::handle_down(const actor_ref& who) {
  auto& of = instances_[who];
  of.down = true;
  of.kept = 0;
  of.give_up = time_.now() + limits_.end_grace;
  due_why_ = "a read of an instance that is down";
  expect(
      [&](const asked& x) { return x.who == who && reads(x.kind); },
      errc::cancelled,
      storage_row::cancelled_at_end,
      storage_row::cancelled_at_end);
}

void storage_judge::handle_expire() {
  const auto now = time_.now();
  const auto by_itself = [&](const asked& x) { return x.deadline <= now; };
  for (const auto& [ticket, x] : open_) timed_out_ += by_itself(x) ? 1U : 0U;
  due_why_ = "nothing came of it in time";
  expect(by_itself, errc::timed_out, storage_row::timed_out, storage_row::timed_out);
  expect(
      [&](const asked& x) {
        const auto& of = instances_.at(x.who);
        return !by_itself(x) && of.down && of.give_up <= now;
      },
      errc::timed_out,
      storage_row::given_up_after_end,
      storage_row::given_up_after_end);
}

// -- always -----------------------------------------------------------------------------------

bool storage_judge::open(const actor_id& actor, std::uint32_t from, std::uint32_t to) const {
  return std::any_of(open_.begin(), open_.end(), [&](const auto& each) {
    const auto& x = each.second;
    return x.who.actor == actor && x.who.generation >= from && x.who.generation <= to &&
           !reads(x.kind) && instances_.at(x.who).gate->open;
  });
}

void storage_judge::check(const storage_requests& machine) {
  for (const auto ticket : std::exchange(due_, {}))
    must(!open_.contains(ticket), check_name, due_why_.data());
  const auto& s = machine.stats();
  must(s.open == open_.size(), "stats", "another number of open requests");
  must(s.answered == answered_, "stats", "another number of answers");
  must(s.refused == refused_, "stats", "another number of refusals");
  must(s.retried == retried_, "stats", "another number of retries");
  must(s.uncertain == uncertain_, "stats", "another number of uncertain writes");
  must(s.timed_out == timed_out_, "stats", "another number of late requests");
  must(s.strays == strays_, "stats", "another number of strays");
  std::size_t size = 0, answers = 0;
  std::optional<time_point> first;
  const auto at = [&](time_point t) { first = first ? std::min(*first, t) : t; };
  for (const auto& [ticket, x] : open_) {
    size += x.bytes;
    at(x.deadline);
    if (x.at == fate::in_flight) answers += answer_bytes_max(x.call);
  }
  for (const auto& [who, of] : instances_) {
    answers += of.kept;
    if (of.down) at(of.give_up);
  }
  must(s.open_bytes == size, "stats", "another number of open bytes");
  must(s.answer_bytes == answers, "stats", "another number of bytes of answers");
  must_wait_for_something();
  must(machine.poll_timeout() == first, check_name, "it would be woken at another time");
}

}  // namespace nuncio::simulation
