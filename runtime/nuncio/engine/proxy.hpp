// Which HTTP proxy, if any, a connection uses: the rules, and the environment variables to which they apply. One set of rules
// for link and HTTP client, whose libraries each have different ones. Pure except for read().
#pragma once

#include <cstdint>
#include <nuncio/outcome.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace nuncio {

/// Whether `host` (a name or address, brackets allowed) can only mean this machine.
bool is_loopback(std::string_view host);

/// Whether `no_proxy`, a list separated by commas or spaces, names this host and port. An entry is `*`, a name (which includes
/// its subdomains; a leading dot or `*.` changes nothing), an address, or a block of addresses ("10.0.0.0/8", "fd00::/8"). All
/// but the blocks may end in a port, and then apply to that port only.
bool is_exempt_from_proxy(std::string_view host, std::uint16_t port, std::string_view no_proxy);

/// The variables, without a value if unset. An empty value is set: it means no proxy, whatever the upper-case variable says.
struct proxy_environment {
  std::optional<std::string> http_proxy{};   ///< for http and ws
  std::optional<std::string> https_proxy{};  ///< for https and wss
  std::optional<std::string> no_proxy{};

  /// The process's own: lower case first, then upper case. HTTP_PROXY in upper case is ignored if a web server may have set it
  /// from a request (CGI, detected by REQUEST_METHOD). Any thread, as long as the program does not change its environment.
  static proxy_environment read();
};

/// A proxy that accepts CONNECT, or requests with whole URLs, over plain TCP.
struct http_proxy {
  std::string host;  ///< IPv6 without brackets
  std::uint16_t port = 80;
  std::string user{};  ///< decoded; empty: no credentials are sent
  std::string password{};

  bool operator==(const http_proxy&) const = default;
};

/// The proxy for `host`, or none: never one for loopback, nor for hosts in no_proxy.
/// @returns errc::invalid_argument, naming the variable, if its URL can't be used
outcome<std::optional<http_proxy>> choose_proxy(
    std::string_view host, std::uint16_t port, bool tls, const proxy_environment& from);

}  // namespace nuncio
