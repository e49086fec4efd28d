// The rules of proxy.hpp: loopback addresses, no_proxy patterns, and the variables of the environment.
#include "nuncio/proxy.hpp"

#include <algorithm>
#include <cstdlib>

namespace nuncio {

namespace {

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view{} : std::string_view{value};
}

std::string_view trimmed(std::string_view x) {
  while (!x.empty() && x.front() == ' ') x.remove_prefix(1);
  while (!x.empty() && x.back() == ' ') x.remove_suffix(1);
  return x;
}

}  // namespace

bool is_loopback(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost" || host.ends_with(".localhost") || host == "::1") return true;
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

bool is_exempt_from_proxy(std::string_view host, std::string_view list) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    auto entry = trimmed(list.substr(0, comma));
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
    if (entry == "*") return true;
    if (entry.starts_with('.')) entry.remove_prefix(1);
    if (entry.empty() || !host.ends_with(entry)) continue;
    if (host.size() == entry.size() || host[host.size() - entry.size() - 1] == '.') return true;
  }
  return false;
}

std::string environment_proxy_for(std::string_view host, bool tls) {
  if (is_loopback(host) || is_exempt_from_proxy(host, variable("no_proxy"))) return {};
  auto proxy = trimmed(variable(tls ? "https_proxy" : "http_proxy"));
  if (proxy.starts_with("http://")) proxy.remove_prefix(7);
  proxy = proxy.substr(0, proxy.find('/'));
  if (proxy.empty()) return {};
  const auto address = proxy.substr(proxy.rfind('@') == std::string_view::npos ? 0 : proxy.rfind('@') + 1);
  const auto after_brackets = address.find(']') == std::string_view::npos ? 0 : address.find(']');
  std::string result{proxy};
  if (address.find(':', after_brackets) == std::string_view::npos) result += ":80";
  return result;
}

}  // namespace nuncio
