// See answer_flow.hpp.
#include <algorithm>
#include <nuncio/storage/answer_flow.hpp>
#include <nuncio/storage/storage_call.hpp>

namespace nuncio {
namespace {

// Eight KV values of maximum size.
constexpr std::size_t bounded_max = 1UL << 20U;

// An actor without such an answer yet is expected to take at least this fraction of the longest one: so a surprise takes at
// most this many windows.
constexpr std::size_t surprise_max = 32;

bool is_bounded(std::size_t longest) { return longest <= bounded_max; }

}  // namespace

void answer_sizes::learn(bool bounded, std::size_t bytes) {
  auto& recent = recent_[bounded ? 1 : 0];
  recent = std::max(bytes, recent - recent / 4);
}

// Before the first answer all are expected to be long.
answer_flow::answer_flow(answer_flow_limits limits)
    : limits_(limits), of_all_(limits.window_first), window_(limits.window_first) {}

answer_flow::plan answer_flow::plan_for(std::size_t longest, const answer_sizes& of_actor) const {
  if (longest <= answer_overhead) return {};
  const auto bounded = is_bounded(longest);
  auto bytes = of_actor.recent(bounded);
  if (bytes == 0) bytes = std::max(of_all_.recent(bounded), longest / surprise_max);
  bytes = std::min(bytes, longest);
  const auto is_short = bytes <= longest / surprise_max;
  return {bounded ? lane::bounded : is_short ? lane::brief : lane::lengthy, bytes};
}

bool answer_flow::take(const plan& x, time_point now) {
  if (now - needed_at_ > limits_.known_for) window_ = std::min(window_, limits_.window_first);
  auto& n = used(x);
  if (x.bytes != 0 && n != 0 && n + x.bytes > window_) return false;
  n += x.bytes;
  return true;
}

void answer_flow::give_back(const plan& x) { used(x) -= x.bytes; }

void answer_flow::handle_answer(
    const plan& x,
    std::size_t longest,
    std::size_t bytes,
    answer_sizes& of_actor,
    time_point asked_at,
    time_point now) {
  if (x.bytes == 0) return;
  for (auto* each : {&of_actor, &of_all_}) each->learn(is_bounded(longest), bytes);
  const auto took = now - asked_at;
  if (took > limits_.slow) {
    // All earlier requests waited in the same line.
    if (asked_at < halved_at_) return;
    halved_at_ = now;
    window_ = std::max(window_ / 2, limits_.window_min);
  } else if (took <= limits_.quick && used(x) > window_ / 2) {
    needed_at_ = now;
    window_ += window_ < limits_.unproven_max ? x.bytes : std::min(x.bytes, bytes);
    window_ = std::min(window_, limits_.window_max);
  }
}

}  // namespace nuncio
