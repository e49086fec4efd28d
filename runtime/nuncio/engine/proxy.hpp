// Which HTTP proxy, if any, a connection takes: the rules by themselves, and the variables of the
// environment that they are applied to. One set of rules for link and HTTP client, whose libraries
// each have other ones. Pure but for read().
#pragma once

#include <cstdint>
#include <nuncio/outcome.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace nuncio {

/// Whether `host` (a name or address, brackets allowed) can only mean this machine.
bool is_loopback(std::string_view host);

/// Whether `no_proxy`, a list of entries between commas or spaces, names this host and port. An
/// entry is `*`, a name (which stands for the domains below it too; a dot or `*.` in front changes
/// nothing), an address, or a block of addresses
/// ("10.0.0.0/8", "fd00::/8"); all but the blocks may end in a port, and then count for that port
/// only.
bool is_exempt_from_proxy(std::string_view host, std::uint16_t port, std::string_view no_proxy);

/// The variables, without a value when unset. Empty is set: it means none, whatever the spelling in
/// capitals says.
struct proxy_environment {
  std::optional<std::string> http_proxy{};   ///< for http and ws
  std::optional<std::string> https_proxy{};  ///< for https and wss
  std::optional<std::string> no_proxy{};

  /// The process's own: lower case first, then capitals. HTTP_PROXY in capitals is left alone where
  /// a web server has set it from a request (CGI, seen by REQUEST_METHOD). Any thread, as long as
  /// the program does not change its environment.
  static proxy_environment read();
};

/// A proxy that takes CONNECT, or requests with whole URLs, over plain TCP.
struct http_proxy {
  std::string host;  ///< IPv6 without brackets
  std::uint16_t port = 80;
  std::string user{};  ///< decoded; empty: no credentials are sent
  std::string password{};

  bool operator==(const http_proxy&) const = default;
};

/// The proxy towards `host`, or none: never one for loopback, nor for what no_proxy names.
/// @returns errc::invalid_argument, naming the variable, if its URL is none that can be used
outcome<std::optional<http_proxy>> choose_proxy(
    std::string_view host, std::uint16_t port, bool tls, const proxy_environment& from);

}  // namespace nuncio
