// The actor `probe` of `nuncio serve`: lets curl and a WebSocket client use everything that an engine actor can do
// (docs/probe.md). For tests and for trying things out.
#pragma once

#include <memory>
#include <string>

#include "sample_actors.hpp"

namespace nuncio {

/// Serves it on `to` under `name`. Each instance has its own thread, since one of its requests blocks.
void serve_probe(host& to, const std::shared_ptr<start_census>& census, std::string name = "probe");

}  // namespace nuncio
