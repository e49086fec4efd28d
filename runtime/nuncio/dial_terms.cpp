// See dial_terms.hpp.
#include "nuncio/dial_terms.hpp"

#include <algorithm>
#include <nuncio/wire.hpp>

namespace nuncio {
namespace {

constexpr int avoided = 7;

}  // namespace

bool speaks_protocol_version(int version) {
  return version >= wire::version_min && version <= wire::version_max && version != avoided;
}

outcome<std::uint16_t> choose_protocol_version(int engine_speaks) {
  auto version = std::min<int>(engine_speaks, wire::version_max);
  if (version == avoided) --version;
  if (speaks_protocol_version(version)) return static_cast<std::uint16_t>(version);
  const auto ours = std::to_string(wire::version_min) + " to " + std::to_string(wire::version_max);
  if (engine_speaks == 0)
    return failure{
        errc::refused,
        "the engine does not say which envoy protocol it speaks (this host speaks " + ours +
            "); upgrade the engine, or set `protocol_version`"};
  return failure{
      errc::refused,
      "the engine speaks the envoy protocol up to version " + std::to_string(engine_speaks) +
          ", this host " + ours + "; upgrade the engine"};
}

}  // namespace nuncio
