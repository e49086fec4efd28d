// The rules of proxy.hpp: loopback, entries of no_proxy, URLs of proxies.
#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <nuncio/engine/proxy.hpp>
#include <nuncio/tunnel/http_fields.hpp>

namespace nuncio {

namespace {

// Without brackets, in lower case, without the trailing dot of an absolute name.
std::string plain_host(std::string_view host) {
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  if (host.ends_with('.')) host.remove_suffix(1);
  return lowered(host);
}

template <class T>
std::optional<T> number(std::string_view x) {
  T out{};
  const auto [end, error] = std::from_chars(x.data(), x.data() + x.size(), out);
  if (x.empty() || error != std::errc{} || end != x.data() + x.size()) return std::nullopt;
  return out;
}

struct address {
  std::array<std::uint8_t, 16> bytes{};
  unsigned bits = 0;  // 32 or 128
};

std::optional<address> parse_address(const std::string& x) {
  address out;
  if (inet_pton(AF_INET, x.c_str(), out.bytes.data()) == 1) {
    out.bits = 32;
    return out;
  }
  if (inet_pton(AF_INET6, x.c_str(), out.bytes.data()) == 1) {
    out.bits = 128;
    return out;
  }
  return std::nullopt;
}

bool within(const address& x, const address& block, unsigned prefix) {
  if (x.bits != block.bits || prefix > block.bits) return false;
  for (unsigned bit = 0; bit < prefix; bit += 8) {
    const auto left = std::min(8U, prefix - bit);
    const auto mask = static_cast<std::uint8_t>(0xFF00U >> left);
    if (((x.bytes[bit / 8] ^ block.bytes[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

bool entry_names(std::string_view entry, const std::string& host, std::uint16_t port) {
  if (entry == "*") return true;
  const auto own = parse_address(host);
  if (const auto slash = entry.find('/'); slash != std::string_view::npos) {
    const auto block = parse_address(plain_host(entry.substr(0, slash)));
    const auto prefix = number<unsigned>(entry.substr(slash + 1));
    return own && block && prefix && within(*own, *block, *prefix);
  }
  // A colon begins a port unless the entry is an IPv6 address without brackets.
  const auto colon = entry.rfind(':');
  const bool bare_v6 = !entry.starts_with('[') && entry.find(':') != colon;
  if (colon != std::string_view::npos && !bare_v6 && !entry.ends_with(']')) {
    const auto only = number<std::uint16_t>(entry.substr(colon + 1));
    if (!only || *only != port) return false;
    entry = entry.substr(0, colon);
  }
  if (entry.starts_with("*.")) entry.remove_prefix(1);
  if (entry.starts_with('.')) entry.remove_prefix(1);
  const auto name = plain_host(entry);
  if (name.empty()) return false;
  if (own) {
    const auto same = parse_address(name);
    return same && within(*own, *same, same->bits);
  }
  if (!host.ends_with(name)) return false;
  return host.size() == name.size() || host[host.size() - name.size() - 1] == '.';
}

std::optional<std::string> decoded(std::string_view x) {
  std::string out;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i] != '%') {
      out += x[i];
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= x.size()) return std::nullopt;
    const auto [end, error] = std::from_chars(x.data() + i + 1, x.data() + i + 3, value, 16);
    if (error != std::errc{} || end != x.data() + i + 3 || value < ' ' || value == 127)
      return std::nullopt;
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

outcome<std::optional<http_proxy>> parse_proxy(std::string_view variable, std::string_view url) {
  // The URL may hold a password, so no message shows it.
  const auto bad = [&](std::string_view why) {
    return failure{
        errc::invalid_argument,
        fmt::format("{}: {}; it must look like http://user:password@host:port", variable, why)};
  };
  for (const char c : url)
    if (c <= ' ' || c >= 127) return bad("the URL has a character that must be percent-encoded");
  if (const auto mark = url.find("://"); mark != std::string_view::npos) {
    if (lowered(url.substr(0, mark)) != "http")
      return bad("only proxies that speak plain http are supported");
    url.remove_prefix(mark + 3);
  }
  url = url.substr(0, url.find_first_of("/?#"));
  http_proxy out;
  if (const auto at = url.rfind('@'); at != std::string_view::npos) {
    const auto credentials = url.substr(0, at);
    const auto colon = credentials.find(':');
    auto user = decoded(credentials.substr(0, colon));
    auto password =
        colon == std::string_view::npos ? std::string{} : decoded(credentials.substr(colon + 1));
    if (!user || !password) return bad("the user name or password is not percent-encoded");
    if (user->find(':') != std::string::npos) return bad("a user name can't contain a colon");
    out.user = std::move(*user);
    out.password = std::move(*password);
    url.remove_prefix(at + 1);
  }
  std::string_view port;
  if (url.starts_with('[')) {
    const auto end = url.find(']');
    if (end == std::string_view::npos) return bad("[ without ]");
    out.host = url.substr(1, end - 1);
    port = url.substr(end + 1);
  } else {
    const auto colon = std::min(url.find(':'), url.size());
    out.host = url.substr(0, colon);
    port = url.substr(colon);
  }
  if (out.host.empty()) return bad("no host");
  if (!port.empty()) {
    const auto n = port.front() == ':' ? number<std::uint16_t>(port.substr(1)) : std::nullopt;
    if (!n || *n == 0) return bad("the port is not between 1 and 65535");
    out.port = *n;
  }
  return std::optional{std::move(out)};
}

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>{value};
}

}  // namespace

bool is_loopback(std::string_view host) {
  const auto name = plain_host(host);
  if (name == "localhost" || name.ends_with(".localhost")) return true;
  const auto at = parse_address(name);
  if (!at) return false;
  static constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};
  if (at->bits == 32) return at->bytes[0] == 127;
  if (std::equal(mapped.begin(), mapped.end(), at->bytes.begin())) return at->bytes[12] == 127;
  return (
      std::all_of(at->bytes.begin(), at->bytes.end() - 1, [](auto b) { return b == 0; }) &&
      at->bytes[15] == 1);
}

bool is_exempt_from_proxy(std::string_view host, std::uint16_t port, std::string_view no_proxy) {
  const auto name = plain_host(host);
  while (!no_proxy.empty()) {
    const auto end = std::min(no_proxy.find_first_of(", \t"), no_proxy.size());
    if (end != 0 && entry_names(no_proxy.substr(0, end), name, port)) return true;
    no_proxy.remove_prefix(std::min(end + 1, no_proxy.size()));
  }
  return false;
}

proxy_environment proxy_environment::read() {
  proxy_environment out;
  const auto either = [](const char* lower, const char* upper) {
    auto value = variable(lower);
    return value ? value : variable(upper);
  };
  out.http_proxy =
      variable("REQUEST_METHOD") ? variable("http_proxy") : either("http_proxy", "HTTP_PROXY");
  out.https_proxy = either("https_proxy", "HTTPS_PROXY");
  out.no_proxy = either("no_proxy", "NO_PROXY");
  return out;
}

outcome<std::optional<http_proxy>> choose_proxy(
    std::string_view host, std::uint16_t port, bool tls, const proxy_environment& from) {
  const auto& url = tls ? from.https_proxy : from.http_proxy;
  if (!url || url->empty() || is_loopback(host)) return std::optional<http_proxy>{};
  if (from.no_proxy && is_exempt_from_proxy(host, port, *from.no_proxy))
    return std::optional<http_proxy>{};
  return parse_proxy(tls ? "https_proxy" : "http_proxy", *url);
}

}  // namespace nuncio
