// The complete envoy protocol, versions 3 to 8: every message of both directions (docs/protocol.md, section B). Values; any
// thread. Each type is declared once; codec.hpp and json.hpp are derived from these declarations.
#pragma once

#include <nuncio/messages_to_envoy.hpp>
#include <nuncio/messages_to_rivet.hpp>
