// See wire_limits.hpp.
#include <algorithm>
#include <nuncio/connection/wire_limits.hpp>

namespace nuncio {
namespace {

void keep_time(engine_ms& ts) { ts = std::clamp<engine_ms>(ts, 0, engine_ms_max); }

void keep_numbers(protocol::to_envoy_ping& x) { keep_time(x.ts); }

void keep_numbers(protocol::to_envoy_init& x) {
  auto& threshold = x.metadata.envoy_lost_threshold;
  threshold = threshold < 1 ? lost_threshold_ms_usual : std::min(threshold, lost_threshold_ms_max);
  auto& most = x.metadata.max_response_payload_size;
  most = most < 1 ? response_bytes_usual : std::min(most, response_bytes_limit);
}

void keep_numbers(protocol::to_envoy_commands& x) {
  for (auto& command : x.commands)
    if (auto* start = std::get_if<protocol::command_start_actor>(&command.inner)) {
      keep_time(start->config.create_ts);
      if (start->preloaded_kv)
        for (auto& entry : start->preloaded_kv->entries) keep_time(entry.metadata.update_ts);
    }
}

void keep_numbers(protocol::to_envoy_kv_response& x) {
  if (auto* got = std::get_if<protocol::kv_get_response>(&x.data))
    for (auto& each : got->metadata) keep_time(each.update_ts);
  if (auto* listed = std::get_if<protocol::kv_list_response>(&x.data))
    for (auto& each : listed->metadata) keep_time(each.update_ts);
}

// The numbers of other messages are only compared, passed on, or clamped where they are used, whatever their value.
template <class T>
void keep_numbers(T&) {}

}  // namespace

void keep_in_range(protocol::to_envoy& message) {
  std::visit([](auto& x) { keep_numbers(x); }, message);
}

}  // namespace nuncio
