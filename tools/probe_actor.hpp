// The actor `probe` of `nuncio serve`: drives from outside everything that an engine actor can do, with curl and a WebSocket
// client (docs/probe.md). For tests and for trying things out.
#pragma once

#include <memory>
#include <string>

#include "sample_actors.hpp"

namespace nuncio {

/// Serves it on `to` under `name`, each on a thread of its own, since one of its requests blocks.
void serve_probe(host& to, const std::shared_ptr<start_census>& census, std::string name = "probe");

}  // namespace nuncio
