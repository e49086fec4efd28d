// See kept_start.hpp.
#include <chrono>
#include <nuncio/instances/kept_start.hpp>
#include <span>
#include <vector>

namespace nuncio {
namespace {

protocol::preloaded_kv copy_of(const protocol::preloaded_kv& x) {
  const auto copied = [](const std::vector<bytes>& from) {
    std::vector<bytes> out;
    for (const auto& each : from) out.push_back(bytes::copy_of(each.span()));
    return out;
  };
  protocol::preloaded_kv out{{}, copied(x.requested_get_keys), copied(x.requested_prefixes)};
  for (const auto& each : x.entries)
    out.entries.push_back(
        {bytes::copy_of(each.key.span()),
         bytes::copy_of(each.value.span()),
         {bytes::copy_of(each.metadata.version.span()), each.metadata.update_ts}});
  return out;
}

}  // namespace

void keep_start(
    instance_base& to, const actor_ref& who, const protocol::command_start_actor& start) {
  const auto& config = start.config;
  const auto& name = to.serving->name;
  auto& out = to.start;
  out.self = who;
  out.name = config.name == std::string_view{name} ? text{to.serving, std::span<const char>{name}}
                                                   : text{config.name.str()};
  if (config.key) out.key = text{config.key->str()};
  if (config.input) out.input = bytes::copy_of(config.input->span());
  out.created = std::chrono::system_clock::time_point{std::chrono::milliseconds{config.create_ts}};
  if (start.preloaded_kv) to.preloaded = copy_of(*start.preloaded_kv);
}

// An instance takes instance_bytes in addition (docs/benchmarks.md).
std::size_t kept_bytes(const actor_ref& who, const protocol::command_start_actor& start) {
  constexpr std::size_t instance_bytes = 4096;
  constexpr std::size_t slice_bytes = 64;  // the slice and the header of its memory
  constexpr std::size_t id_copies = 16;    // one for each thing that names its actor
  const auto id = who.actor.view().size();
  auto out = instance_bytes + start.config.name.size();
  if (id > actor_id::inline_bytes_max) out += id_copies * id;
  if (start.config.key) out += start.config.key->size();
  if (start.config.input) out += start.config.input->size();
  if (!start.preloaded_kv) return out;
  const auto& preloaded = *start.preloaded_kv;
  for (const auto* keys : {&preloaded.requested_get_keys, &preloaded.requested_prefixes})
    for (const auto& key : *keys) out += slice_bytes + key.size();
  for (const auto& x : preloaded.entries)
    out += 3 * slice_bytes + x.key.size() + x.value.size() + x.metadata.version.size();
  return out;
}

}  // namespace nuncio
