// Goes through the active faults for each frame.
#include "fault_plan.hpp"

#include <algorithm>

namespace nuncio::testing::engine {

namespace {

cut_kind cut_of(const fault& f) {
  return f.kind == fault_kind::reset ? cut_kind::reset : cut_kind::drop;
}

bool is_cut(const fault& f) { return f.kind == fault_kind::drop || f.kind == fault_kind::reset; }

}  // namespace

void fault_plan::add(const fault& f, millis now) {
  std::erase_if(
      active_, [](const entry& e) { return e.what.count != 0 && e.used >= e.what.count; });
  const bool timed = f.kind == fault_kind::stall || f.kind == fault_kind::mute;
  active_.push_back({.what = f, .until = timed && f.ms > 0 ? now + f.ms : 0});
}

outbound_plan fault_plan::outbound(frame_kind kind, std::string_view envoy, millis now) {
  outbound_plan plan;
  (void)now;
  const bool command = kind == frame_kind::start || kind == frame_kind::stop;
  for (auto& e : active_) {
    if (!applies(e, envoy)) continue;
    const auto& f = e.what;
    ++e.frames;
    if (f.kind == fault_kind::delay) {
      plan.delay += f.ms;
      use(e);
    } else if (f.kind == fault_kind::duplicate && command) {
      plan.copies = 2;
      use(e);
    } else if (f.kind == fault_kind::reorder && command) {
      plan.reverse = true;
      use(e);
    } else if (f.kind == fault_kind::garbage && f.trigger == fault_trigger::every) {
      if (e.frames % f.every == 0) {
        plan.garbage_first = true;
        use(e);
      }
    } else if (is_cut(f)) {
      const bool hit = (f.trigger == fault_trigger::command && command) ||
                       (f.trigger == fault_trigger::stop && kind == frame_kind::stop) ||
                       (f.trigger == fault_trigger::every && e.frames % f.every == 0);
      if (hit) {
        plan.cut = cut_of(f);
        use(e);
      }
    }
  }
  return plan;
}

inbound_plan fault_plan::inbound(frame_kind kind, std::string_view envoy, millis now) {
  inbound_plan plan;
  (void)now;
  for (auto& e : active_) {
    if (!applies(e, envoy)) continue;
    const auto& f = e.what;
    if (f.kind == fault_kind::lose_acks && kind == frame_kind::ack) {
      if (f.fraction >= 1.0 || std::uniform_real_distribution<>{}(random_) < f.fraction) {
        plan.ignore = true;
        use(e);
      }
    } else if (is_cut(f)) {
      if (f.trigger == fault_trigger::every) ++e.frames;
      const bool hit = (f.trigger == fault_trigger::ack && kind == frame_kind::ack) ||
                       (f.trigger == fault_trigger::events && kind == frame_kind::events) ||
                       (f.trigger == fault_trigger::every && e.frames % f.every == 0);
      if (hit) {
        plan.cut = cut_of(f);
        plan.ignore = true;
        use(e);
      }
    }
  }
  return plan;
}

cut_kind fault_plan::due_cut(std::string_view envoy) {
  for (auto& e : active_)
    if (is_cut(e.what) && e.what.trigger == fault_trigger::now && applies(e, envoy)) {
      use(e);
      return cut_of(e.what);
    }
  return cut_kind::none;
}

int fault_plan::due_garbage(std::string_view envoy) {
  int n = 0;
  for (auto& e : active_)
    while (e.what.kind == fault_kind::garbage && e.what.trigger == fault_trigger::now &&
           e.what.count != 0 && applies(e, envoy)) {
      use(e);
      ++n;
    }
  return n;
}

bool fault_plan::reads(std::string_view envoy, millis now) const {
  return std::none_of(active_.begin(), active_.end(), [&](const entry& e) {
    return e.what.kind == fault_kind::mute && e.what.read && applies(e, envoy) &&
           (e.until == 0 || now < e.until);
  });
}

bool fault_plan::writes(std::string_view envoy, millis now) const {
  return std::none_of(active_.begin(), active_.end(), [&](const entry& e) {
    const bool quiet =
        (e.what.kind == fault_kind::mute && e.what.write) || e.what.kind == fault_kind::stall;
    return quiet && applies(e, envoy) && (e.until == 0 || now < e.until);
  });
}

std::vector<fault> fault_plan::list() const {
  std::vector<fault> out;
  for (const auto& e : active_)
    if (e.what.count == 0 || e.used < e.what.count) out.push_back(e.what);
  return out;
}

}  // namespace nuncio::testing::engine
