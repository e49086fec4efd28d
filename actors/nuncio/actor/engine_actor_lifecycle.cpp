// The part of engine_actor that matters while it sleeps: its alarm, and what keeps it awake.
#include <algorithm>
#include <caf/actor_system.hpp>
#include <charconv>
#include <nuncio/actor/access.hpp>
#include <nuncio/actor/instance_context.hpp>
#include <nuncio/engine_actor.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/host/internal_messages.hpp>
#include <nuncio/kv.hpp>
#include <nuncio/storage/storage_client.hpp>
#include <nuncio/support/time_range.hpp>

namespace nuncio {
namespace {

using namespace std::chrono_literals;
using system_clock = std::chrono::system_clock;

// The alarm's own record (docs/client_protocol.md f.1): unix milliseconds in decimal.
constexpr std::string_view alarm_key = "\x06";

// A timer keeps its actor's memory until it fires, even if the actor has ended: so none is longer than this.
constexpr std::chrono::milliseconds timer_max = 60s;

std::int64_t unix_ms(system_clock::time_point x) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(x.time_since_epoch()).count();
}

std::optional<system_clock::time_point> from_record(const bytes& x) {
  std::int64_t ms = 0;
  const auto all = x.view();
  const auto [end, bad] = std::from_chars(all.data(), all.data() + all.size(), ms);
  if (bad != std::errc{} || end != all.data() + all.size()) return std::nullopt;
  return later(system_clock::time_point{}, std::chrono::milliseconds{ms});
}

}  // namespace

void engine_actor::set_alarm(system_clock::time_point at) {
  if (!hosted()) return;
  alarm_called_ = true;
  alarm_at_ = at;
  // The engine counts from 1970; an earlier time has passed as well.
  internal::tell(
      *context_,
      internal::alarm_called{context_->start.self, std::max<std::int64_t>(unix_ms(at), 0)});
  keep_alarm();
  arm_alarm();
}

void engine_actor::clear_alarm() {
  if (!hosted()) return;
  alarm_called_ = true;
  alarm_at_.reset();
  internal::tell(*context_, internal::alarm_called{context_->start.self, std::nullopt});
  keep_alarm();
}

void engine_actor::keep_alarm() {
  const auto failed = [this, kept = alarm_at_](const caf::error& e) {
    if (kept != alarm_at_) return;  // it was replaced by a later request
    if (kept)
      internal::log_limited(
          *context_,
          log_level::error,
          "an alarm could not be stored: if its actor ends before, it is woken without alarm_due",
          {{"reason", describe(system(), e)}});
  };
  auto store = internal::access::own_keys(*storage_);
  if (alarm_at_)
    store.put(alarm_key, std::to_string(unix_ms(*alarm_at_))).then([] {}, failed);
  else
    store.erase(alarm_key).then([] {}, failed);
}

// An alarm of an earlier generation may be the reason for this start.
void engine_actor::recall_alarm() {
  internal::access::own_keys(*storage_).get(alarm_key).then(
      [this](const std::optional<bytes>& kept) {
        if (!kept || alarm_called_) return;  // none, or the actor has set its own by now
        alarm_at_ = from_record(*kept);
        arm_alarm();
      },
      [this](const caf::error& e) {
        internal::log_limited(
            *context_,
            log_level::error,
            "the stored alarm can't be read; if it is due, it comes with the next start",
            {{"reason", describe(system(), e)}});
      });
}

void engine_actor::arm_alarm() {
  if (!alarm_at_) return;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(until(context_->wall_now(), *alarm_at_));
  const auto wait = std::clamp<std::chrono::milliseconds>(left, 0ms, timer_max);
  // A timer can't be cancelled. If one already fires no later, it checks by itself.
  const auto due = later(context_->now(), wait);
  if (alarm_timer_ && *alarm_timer_ <= due) return;
  alarm_timer_ = due;
  internal::post_later(this, wait, internal::alarm_tick{++alarm_serial_});
}

std::shared_ptr<const void> engine_actor::keep_awake() {
  if (!awake_) awake_ = std::make_shared<const char>();
  return awake_;
}

void engine_actor::handle_idle_probe() {
  const auto& self = context_->start.self;
  if (awake_.use_count() > 1)
    return internal::tell(*context_, internal::instance_active{self, context_->now()});
  if (later(talked_, context_->serving->idle_timeout) > context_->now())
    return internal::tell(*context_, internal::instance_active{self, talked_});
  if (may_sleep())
    internal::tell(*context_, internal::sleep_called{self});
  else
    internal::tell(*context_, internal::instance_active{self, context_->now()});
}

// @returns none if `x` is an ordinary message
std::optional<caf::invoke_message_result> engine_actor::consume_lifecycle(caf::mailbox_element& x) {
  using caf::invoke_message_result;
  auto& content = x.content();
  if (content.match_elements<internal::idle_probe>()) {
    handle_idle_probe();
    return invoke_message_result::consumed;
  }
  if (content.match_elements<internal::state_tick>()) {
    handle_state_tick();
    return invoke_message_result::consumed;
  }
  if (content.match_elements<internal::alarm_tick>()) {
    if (content.get_as<internal::alarm_tick>(0).serial != alarm_serial_)
      return invoke_message_result::consumed;
    alarm_timer_.reset();
    if (!alarm_at_) return invoke_message_result::consumed;
    if (*alarm_at_ > context_->wall_now())
      arm_alarm();
    else
      internal::post(this, alarm_due{*alarm_at_});
    return invoke_message_result::consumed;
  }
  if (!content.match_elements<alarm_due>()) return std::nullopt;
  const auto due = content.get_as<alarm_due>(0).due;
  if (alarm_at_ != due) return invoke_message_result::consumed;  // cleared or replaced meanwhile
  const auto result = give(x);
  // The alarm is cleared only after it was handled, and only if the handler has not set another.
  if (result != invoke_message_result::skipped && alarm_at_ == due) clear_alarm();
  return result;
}

}  // namespace nuncio
