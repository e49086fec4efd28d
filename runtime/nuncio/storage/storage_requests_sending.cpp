// Which storage request is sent next: actors in turn, each in its own order, and only once its answer has room.
#include <fmt/format.h>

#include <concepts>
#include <nuncio/storage/storage_requests.hpp>
#include <nuncio/support/overloaded.hpp>

namespace nuncio {
namespace {

using namespace protocol;

// The message of to_rivet whose data is a `T`.
template <class T, class Messages = to_rivet>
struct message_with;

template <class T, class... M>
struct message_with<T, std::variant<M...>> {
  static to_rivet make(std::uint32_t id, T call) {
    to_rivet out;
    const auto set = [&]<class X>(X x) {
      if constexpr (requires { requires std::same_as<decltype(x.data), T>; })
        out = X{id, std::move(call)};
    };
    (set(M{}), ...);
    return out;
  }
};

}  // namespace

std::optional<storage_requests::frame> storage_requests::poll_transmit(time_point now) {
  std::optional<frame> out;
  while (connection_ != 0 && !full_ && !out) {
    if (!ready_.empty()) {
      try_next(*ready_.begin()->second, now, false, out);
    } else {
      out = send_crowded(now);
      if (ready_.empty()) break;
    }
  }
  return out;
}

// @param in_turn  everything before it in its lane was tried
storage_requests::attempt storage_requests::try_next(
    usage& of, time_point now, bool in_turn, std::optional<frame>& out) {
  auto& x = *of.waiting.begin()->second;
  if (!x.what.gate->open.load()) {  // ingress has closed it, and will report that
    fail(x, errc::cancelled, "this instance was ended");
    return attempt::failed;
  }
  x.plan = flow_.plan_for(x.answer_max, of.sizes);
  auto& lane = crowded_[static_cast<std::size_t>(x.plan.in)];
  const auto in_lane = in_turn && of.list == &lane;
  unlist(of);
  const auto behind = x.plan.bytes != 0 && !in_lane && !lane.empty();
  const auto memory = take_memory(of, x);
  if (memory == waiting_share::verdict::taken && !behind && flow_.take(x.plan, now)) {
    out = send(of, now);
    return attempt::sent;
  }
  if (memory == waiting_share::verdict::taken) {
    give_memory_back(of, x.answer_max);
  } else if (holds_itself_up(of, x, memory)) {
    ++stats_.rejected;
    fail(
        x,
        errc::queue_full,
        fmt::format(
            "this actor awaits a later answer, and the {} bytes of answers that it has not handled "
            "leave no room for this one",
            of.kept));
    return attempt::failed;
  } else if (memory == waiting_share::verdict::socket_full) {
    return attempt::moved;
  }
  if (x.turn == 0) x.turn = next_turn_++;
  list(of, lane, x.turn);
  if (behind) freed_ = true;
  if (in_turn && !in_lane) return attempt::moved;
  return memory == waiting_share::verdict::taken ? attempt::no_window : attempt::no_memory;
}

std::optional<storage_requests::frame> storage_requests::send_crowded(time_point now) {
  while (std::exchange(freed_, false))
    for (auto& lane : crowded_)
      if (auto out = send_of(lane, now)) {
        freed_ = true;
        return out;
      }
  return std::nullopt;
}

std::optional<storage_requests::frame> storage_requests::send_of(usages& lane, time_point now) {
  std::optional<frame> out;
  for (auto at = lane.begin(); at != lane.end() && !out;) {
    auto& of = *(at++)->second;
    const auto did = try_next(of, now, true, out);
    if (did == attempt::no_window) break;
    // An actor that holds nothing is next. One that holds something lets others pass, and so do small requests.
    if (did == attempt::no_memory && of.answers.used() == 0 && &lane != &crowded_.front()) break;
  }
  return out;
}

// -- waiting requests, and where they wait

void storage_requests::wait(entry& x) {
  auto& of = actors_[x.what.who];
  of.waiting.emplace(x.order, &x);
  if (x.what.awaited) ++of.awaited;
  // An awaited request changes the treatment of everything before it.
  if (x.what.awaited || of.waiting.begin()->second == &x) look_at(of);
}

void storage_requests::leave_waiting(usage& of, const entry& x) {
  of.waiting.erase(x.order);
  if (x.what.awaited) --of.awaited;
}

// Something has changed about what it may send next.
void storage_requests::look_at(usage& of) {
  unlist(of);
  if (!of.waiting.empty()) list(of, ready_, of.waiting.begin()->first);
}

void storage_requests::list(usage& of, usages& in, std::uint64_t under) {
  of.list = &in;
  of.listed = under;
  in.emplace(under, &of);
}

void storage_requests::unlist(usage& of) {
  if (auto* const in = std::exchange(of.list, nullptr)) in->erase(of.listed);
}

void storage_requests::release(usage& of, std::size_t bytes) {
  if (bytes == 0) return;
  give_memory_back(of, bytes);
  freed_ = true;
  look_at(of);
}

void storage_requests::give_memory_back(usage& of, std::size_t bytes) {
  of.answers.give_back(bytes);
  stats_.answer_bytes -= bytes;
}

// @returns socket_full if it must wait for its own actor, crowded if for other actors
waiting_share::verdict storage_requests::take_memory(usage& of, const entry& x) {
  auto said = waiting_share::verdict::taken;
  if (goes_in_any_case(of, x))
    of.answers.add(x.answer_max);
  else if (x.what.awaited)
    said = of.answers.take_beyond(x.answer_max);
  else
    said = of.answers.take(x.answer_max);
  if (said == waiting_share::verdict::taken) stats_.answer_bytes += x.answer_max;
  return said;
}

bool storage_requests::goes_in_any_case(const usage& of, const entry& x) {
  return of.awaited != 0 && x.answer_max <= answer_overhead;
}

// Whether nothing makes room for it before its actor gets the awaited answer, which comes later. Answers in flight may still be
// short, and other actors go on: only what its own actor holds stays.
bool storage_requests::holds_itself_up(
    const usage& of, const entry& x, waiting_share::verdict said) const {
  if (of.awaited == 0 || x.what.awaited || of.kept == 0) return false;
  return of.kept + x.answer_max > limits_.actor_answer_bytes_max ||
         (said == waiting_share::verdict::crowded && of.kept > limits_.answer_bytes_reserved);
}

storage_requests::frame storage_requests::send(usage& of, time_point now) {
  auto& x = *of.waiting.begin()->second;
  leave_waiting(of, x);
  x.id = new_id();
  x.sent_at = now;
  in_flight_.emplace(x.id, &x);
  look_at(of);
  return frame{connection_, x.id, x.what.gate, addressed(x)};
}

// -- frames

to_rivet storage_requests::addressed(const entry& x) const {
  const auto& who = x.what.who;
  const auto id = x.id;
  return std::visit(
      overloaded{
          [&](const kv_request_data& call) -> to_rivet {
            return to_rivet_kv_request{who.actor, id, call};
          },
          [&]<class T>(T call) -> to_rivet {
            call.actor_id = who.actor;
            if constexpr (requires { call.namespace_id; }) {
              call.namespace_id = text{namespace_name_};
              call.generation = who.generation;
            } else {
              call.expected_generation = who.generation;
            }
            return message_with<T>::make(id, std::move(call));
          }},
      x.what.call);
}

std::uint32_t storage_requests::new_id() {
  while (next_id_ == 0 || in_flight_.contains(next_id_)) ++next_id_;
  return next_id_++;
}

}  // namespace nuncio
