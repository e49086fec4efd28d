// Which HTTP proxy, if any, the environment names for a host. Reads variables, never writes them; any thread, as long
// as the program does not change its environment meanwhile.
#pragma once

#include <string>
#include <string_view>

namespace nuncio {

/// Whether `host` (a name or address, brackets allowed) can only mean this machine.
bool is_loopback(std::string_view host);

/// The rule by itself: `list` is a comma-separated `no_proxy`, whose entries match a host or the domains above it.
bool is_exempt_from_proxy(std::string_view host, std::string_view list);

/// "address:port" (or "user:password@address:port") from `https_proxy` or `http_proxy`, empty when to connect directly: for
/// loopback always, and for what `no_proxy` lists.
std::string environment_proxy_for(std::string_view host, bool tls);

}  // namespace nuncio
