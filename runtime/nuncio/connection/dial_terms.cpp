// See dial_terms.hpp.
#include <algorithm>
#include <nuncio/connection/dial_terms.hpp>
#include <nuncio/detail/wire.hpp>

namespace nuncio {
namespace {

constexpr int avoided = 7;

}  // namespace

bool speaks_protocol_version(int version) {
  return version >= wire::version_min && version <= wire::version_max && version != avoided;
}

std::string spoken_protocol_versions() {
  std::string out;
  for (int v = wire::version_min; v <= wire::version_max; ++v) {
    if (!speaks_protocol_version(v)) continue;
    if (!out.empty()) out += v == wire::version_max ? " or " : ", ";
    out += std::to_string(v);
  }
  return out;
}

outcome<std::uint16_t> choose_protocol_version(int engine_speaks) {
  auto version = std::min<int>(engine_speaks, wire::version_max);
  if (version == avoided) --version;
  if (speaks_protocol_version(version)) return static_cast<std::uint16_t>(version);
  const auto ours = spoken_protocol_versions();
  if (engine_speaks == 0)
    return failure{
        errc::unsupported_version,
        "the engine does not say which envoy protocol it speaks (this host speaks " + ours +
            "); upgrade the engine, or set host_options::protocol_version"};
  return failure{
      errc::unsupported_version,
      "the engine speaks the envoy protocol up to version " + std::to_string(engine_speaks) +
          ", this host " + ours + "; upgrade the engine"};
}

}  // namespace nuncio
