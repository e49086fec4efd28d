// The life of storage requests, from the actor's call to its answer. For what is sent next see storage_requests_sending.cpp.
#include <fmt/format.h>

#include <nuncio/storage/storage_requests.hpp>
#include <nuncio/support/overloaded.hpp>
#include <nuncio/support/time_range.hpp>

namespace nuncio {
namespace {

using namespace protocol;

// Index of the storage_call that each response answers.
template <class Response>
constexpr std::size_t answers = 0;
template <>
constexpr std::size_t answers<to_envoy_sqlite_get_pages_response> = 1;
template <>
constexpr std::size_t answers<to_envoy_sqlite_commit_response> = 2;
template <>
constexpr std::size_t answers<to_envoy_sqlite_commit_stage_begin_response> = 3;
template <>
constexpr std::size_t answers<to_envoy_sqlite_commit_stage_segment_response> = 4;
template <>
constexpr std::size_t answers<to_envoy_sqlite_commit_finalize_response> = 5;
template <>
constexpr std::size_t answers<to_envoy_sqlite_exec_response> = 6;
template <>
constexpr std::size_t answers<to_envoy_sqlite_execute_response> = 7;
template <>
constexpr std::size_t answers<to_envoy_sqlite_execute_batch_response> = 8;

// The contents of an answer: the wire's record itself, or for statements their result.
storage_answer content_of(sqlite_exec_ok&& x) { return std::move(x.result); }

storage_answer content_of(sqlite_execute_ok&& x) { return std::move(x.result); }

storage_answer content_of(sqlite_execute_batch_ok&& x) { return std::move(x.results); }

template <class T>
storage_answer content_of(T&& x) {
  return std::forward<T>(x);
}

// Responses of KV, by index of kv_request_data: get, list, put, delete, delete range, drop.
bool answers_kv(const kv_request_data& asked, const kv_response_data& given) {
  switch (asked.index()) {
    case 0:
      return std::holds_alternative<kv_get_response>(given);
    case 1:
      return std::holds_alternative<kv_list_response>(given);
    case 2:
      return std::holds_alternative<kv_put_response>(given);
    case 5:
      return std::holds_alternative<kv_drop_response>(given);
    default:
      return std::holds_alternative<kv_delete_response>(given);
  }
}

// A KV error's text is not a stable code (docs/protocol.md H.1), and a script stops where it fails: what came before may
// remain. Everything else is all or nothing, so an error means that nothing happened.
bool error_leaves_doubt(const storage_call& call) {
  return !is_read(call) && (call.index() == 0 || std::holds_alternative<sqlite_exec_request>(call));
}

}  // namespace

storage_requests::storage_requests(
    std::string namespace_name, storage_limits limits, answer_flow_limits flow)
    : namespace_name_(std::move(namespace_name)),
      limits_(limits),
      answers_(std::make_shared<waiting_pool>(limits.host_answer_bytes_max)),
      flow_(flow) {}

// -- inputs -------------------------------------------------------------------------

void storage_requests::handle_request(request what, time_point now) {
  ++stats_.requests;
  const auto bytes = size_of(what.call);
  auto& of = usage_of(what.who);
  const auto turned_away = [&](errc code, std::string_view why) {
    storage_failure told{code, fmt::format("{}: {}; it was not sent", name_of(what.call), why)};
    if (what.mode == write_mode::required) of.lost = told.message;
    results_.push_back({what.ticket, std::move(told), 0});
    finish_if_idle(what.who);
  };
  if (over_) return turned_away(over_->code, over_->message);
  if (!what.gate->open.load()) return turned_away(errc::cancelled, "this instance was ended");
  const auto full = [&](std::string_view whose, std::size_t requests, std::size_t size) {
    ++stats_.rejected;
    turned_away(
        errc::queue_full,
        fmt::format(
            "{} storage requests without an answer are at their limit, {} or {} bytes",
            whose,
            requests,
            size));
  };
  if (of.requests >= limits_.actor_requests_max || of.bytes + bytes > limits_.actor_bytes_max)
    return full("this actor's", limits_.actor_requests_max, limits_.actor_bytes_max);
  if (entries_.size() >= limits_.host_requests_max ||
      stats_.open_bytes + bytes > limits_.host_bytes_max)
    return full("the host's", limits_.host_requests_max, limits_.host_bytes_max);
  const auto order = next_order_++;
  auto& x = entries_[order];
  x.order = order;
  x.bytes = bytes;
  x.answer_max = answer_bytes_max(what.call);
  x.reads = is_read(what.call);
  x.deadline = later(now, limits_.timeout);
  x.what = std::move(what);
  ++of.requests;
  of.bytes += bytes;
  of.open.push_back(x);
  deadlines_.push_back(x);
  wait(x);
  ++stats_.open;
  stats_.open_bytes += bytes;
}

void storage_requests::handle_link_up(epoch connection) {
  if (connection_ != 0) handle_link_down();
  connection_ = connection;
  flow_.handle_link_up();
}

void storage_requests::handle_link_down() {
  connection_ = 0;
  // In order, so that each actor gets its results in the order of its requests.
  std::map<std::uint64_t, entry*> cut;
  for (const auto& [id, x] : in_flight_) cut.emplace(x->order, x);
  in_flight_.clear();
  for (const auto& [order, x] : cut) {
    if (x->reads || x->what.mode != write_mode::once) {
      x->id = 0;
      x->sent_before = true;
      flow_.give_back(x->plan);
      release(actors_[x->what.who], x->answer_max);
      wait(*x);
      ++stats_.retried;
    } else {
      fail(*x, errc::link_lost, "the connection ended before the engine answered");
    }
  }
}

void storage_requests::handle_link_over(const failure& why) {
  over_ = why;
  connection_ = 0;
  fail_where([](const entry&) { return true; }, why.code, why.message);
}

void storage_requests::handle_not_sent(std::uint32_t id, const failure& why) {
  auto* x = sent(id);
  if (x == nullptr) return;
  in_flight_.erase(id);
  x->id = 0;
  flow_.give_back(x->plan);
  release(actors_[x->what.who], x->answer_max);
  wait(*x);
  if (why.code == errc::link_lost)  // handle_link_down follows
    connection_ = 0;
  else if (why.code == errc::queue_full)
    full_ = true;
  else
    fail(*x, why.code, why.message);
}

void storage_requests::handle_consumed(const actor_ref& who, std::size_t bytes) {
  const auto at = actors_.find(who);
  if (at == actors_.end()) return;  // it has ended
  auto& of = at->second;
  const auto n = std::min(bytes, of.kept);
  of.kept -= n;
  release(of, n);
  finish_if_idle(who);
}

void storage_requests::handle_message(to_envoy message, time_point now) {
  const auto take_error = [](const sqlite_error_response& e) {
    return storage_failure{
        errc::refused, e.message.str(), false, fmt::format("{}/{}", e.group.view(), e.code.view())};
  };
  std::visit(
      overloaded{
          [&](to_envoy_kv_response& x) {
            if (const auto* e = std::get_if<kv_error_response>(&x.data))
              answer(x.request_id, storage_failure{errc::refused, e->message.str()}, 0, now);
            else
              answer(x.request_id, storage_answer{std::move(x.data)}, 0, now);
          },
          [&]<class T>(T& x) {
            if constexpr (answers<T> != 0) {
              if (const auto* e = std::get_if<sqlite_error_response>(&x.data))
                answer(x.request_id, take_error(*e), answers<T>, now);
              else
                answer(x.request_id, content_of(std::move(std::get<0>(x.data))), answers<T>, now);
            }
          }},
      message);
}

void storage_requests::handle_too_long(const to_envoy& head, time_point now) {
  std::visit(
      [&]<class T>(const T& x) {
        if constexpr (requires { x.request_id; }) {
          if (auto* asked = sent(x.request_id)) {
            ++stats_.too_long;
            learn(*asked, answer_bytes_longest, now);
            fail(
                *asked,
                errc::too_large,
                "the engine's answer is larger than this host accepts: ask for less at a time");
          } else {
            ++stats_.strays;
          }
        }
      },
      head);
}

void storage_requests::handle_gate_closed(const actor_ref& who) {
  const auto at = actors_.find(who);
  if (at == actors_.end()) return;
  for (auto* x = at->second.open.front(); x != nullptr;) {
    auto* next = at->second.open.after(*x);
    const auto last = next == nullptr;
    fail(*x, errc::cancelled, "this instance was ended");
    if (last) return;  // the usage may be gone
    x = next;
  }
}

void storage_requests::handle_down(const actor_ref& who, time_point now) {
  auto& of = usage_of(who);
  release(of, std::exchange(of.kept, 0));
  of.give_up = later(now, limits_.end_grace);
  give_ups_.emplace(*of.give_up, who);
  for (auto* x = of.open.front(); x != nullptr;) {
    auto* next = of.open.after(*x);
    const auto reads = x->reads;
    const auto last = next == nullptr;
    if (reads) fail(*x, errc::cancelled, "the actor has ended");
    if (last) break;
    x = next;
  }
  finish_if_idle(who);
}

void storage_requests::expire(time_point now) {
  while (!deadlines_.empty() && deadlines_.front()->deadline <= now) {
    ++stats_.timed_out;
    fail(*deadlines_.front(), errc::timed_out, "no answer in time");
  }
  while (!give_ups_.empty() && give_ups_.begin()->first <= now) {
    const auto who = give_ups_.begin()->second;
    const auto at = actors_.find(who);
    if (at == actors_.end() || at->second.open.empty()) {
      give_ups_.erase(give_ups_.begin());
      continue;
    }
    fail(*at->second.open.front(), errc::timed_out, "the actor has ended");
  }
}

// -- outputs ------------------------------------------------------------------------

std::optional<storage_requests::result> storage_requests::poll_result() {
  if (results_.empty()) return std::nullopt;
  auto out = std::move(results_.front());
  results_.pop_front();
  return out;
}

std::optional<storage_requests::finished> storage_requests::poll_finished() {
  if (finished_.empty()) return std::nullopt;
  auto out = std::move(finished_.front());
  finished_.pop_front();
  return out;
}

std::optional<time_point> storage_requests::poll_timeout() const {
  std::optional<time_point> next;
  if (!give_ups_.empty()) next = give_ups_.begin()->first;
  if (const auto* x = deadlines_.front(); x != nullptr && (!next || x->deadline < *next))
    next = x->deadline;
  return next;
}

// -- helpers ------------------------------------------------------------------------

storage_requests::usage& storage_requests::usage_of(const actor_ref& who) {
  const auto [at, made] = actors_.try_emplace(who);
  if (made)
    at->second.answers.join(
        answers_, limits_.answer_bytes_reserved, limits_.actor_answer_bytes_max);
  return at->second;
}

// `x` is gone afterwards, and perhaps its actor's usage.
void storage_requests::end(entry& x, storage_result with, std::size_t kept) {
  const auto who = x.what.who;
  auto& of = actors_[who];
  if (x.what.mode == write_mode::required) {
    const auto* const why = std::get_if<storage_failure>(&with);
    of.lost = why == nullptr ? std::string{} : why->message;
  }
  if (of.give_up) kept = 0;  // nothing receives it
  results_.push_back({x.what.ticket, std::move(with), kept});
  of.answers.add(kept);
  of.kept += kept;
  stats_.answer_bytes += kept;
  if (x.id != 0) {
    in_flight_.erase(x.id);
    flow_.give_back(x.plan);
    release(of, x.answer_max);
  } else {
    const auto was_next = of.waiting.begin()->second == &x;
    leave_waiting(of, x);
    if (was_next) look_at(of);
  }
  --of.requests;
  of.bytes -= x.bytes;
  --stats_.open;
  stats_.open_bytes -= x.bytes;
  entries_.erase(x.order);
  finish_if_idle(who);
}

void storage_requests::fail(entry& x, errc code, std::string_view why) {
  const auto was_sent = x.id != 0 || x.sent_before;
  const auto uncertain = was_sent && !x.reads;
  if (uncertain) ++stats_.uncertain;
  const auto ending = x.reads ? "" : was_sent ? "; it may have been written" : "; it was not sent";
  end(x,
      storage_failure{code, fmt::format("{}: {}{}", name_of(x.what.call), why, ending), uncertain});
}

void storage_requests::finish_if_idle(const actor_ref& who) {
  const auto at = actors_.find(who);
  if (at == actors_.end() || at->second.requests != 0) return;
  if (!at->second.give_up && (at->second.kept != 0 || !at->second.sizes.empty())) return;
  if (!at->second.give_up && !at->second.lost.empty()) return;  // reported when it is down
  if (at->second.give_up) {
    finished_.push_back({who, at->second.lost});
    for (auto [i, last] = give_ups_.equal_range(*at->second.give_up); i != last; ++i)
      if (i->second == who) {
        give_ups_.erase(i);
        break;
      }
  }
  actors_.erase(at);
}

template <class Choose>
void storage_requests::fail_where(Choose&& choose, errc code, std::string_view why) {
  std::map<std::uint64_t, entry*> chosen;  // by order
  for (auto& [order, x] : entries_)
    if (choose(x)) chosen.emplace(order, &x);
  for (const auto& [order, x] : chosen) fail(*x, code, why);
}

storage_requests::entry* storage_requests::sent(std::uint32_t id) {
  const auto at = in_flight_.find(id);
  return at == in_flight_.end() ? nullptr : at->second;
}

void storage_requests::learn(const entry& x, std::size_t bytes, time_point now) {
  flow_.handle_answer(x.plan, x.answer_max, bytes, actors_[x.what.who].sizes, x.sent_at, now);
}

void storage_requests::answer(
    std::uint32_t id, storage_result with, std::size_t index, time_point now) {
  auto* x = sent(id);
  if (x == nullptr) {
    ++stats_.strays;
    return;
  }
  const auto& call = x->what.call;
  const auto* given = std::get_if<storage_answer>(&with);
  const auto fits = call.index() == index && (given == nullptr || index != 0 ||
                                              answers_kv(std::get<0>(call), std::get<0>(*given)));
  if (!fits) return fail(*x, errc::malformed, "the engine's answer is of the wrong kind");
  const auto kept = size_of(with);
  learn(*x, kept, now);
  if (kept > answer_bytes_kept_max) {
    ++stats_.too_long;
    return fail(
        *x,
        errc::too_large,
        fmt::format(
            "the engine's answer takes {} bytes of memory, more than {}: ask for less at a time",
            kept,
            answer_bytes_kept_max));
  }
  if (auto* e = std::get_if<storage_failure>(&with)) {
    ++stats_.refused;
    e->may_have_happened = error_leaves_doubt(call);
    e->message = fmt::format(
        "{}: the engine refused it: {}{}{}{}",
        name_of(call),
        e->engine_code,
        e->engine_code.empty() ? "" : ": ",
        e->message,
        e->may_have_happened ? "; some of it may have been written" : "");
  } else {
    ++stats_.answered;
  }
  end(*x, std::move(with), kept);
}

}  // namespace nuncio
