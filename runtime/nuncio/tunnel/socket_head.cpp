// See socket_head.hpp. Sizes are written with seven bits per byte, lowest first: most take one byte.
#include <cstring>
#include <nuncio/tunnel/socket_head.hpp>

namespace nuncio::internal {
namespace {

std::size_t bytes_of_size(std::size_t n) {
  std::size_t out = 1;
  while ((n >>= 7U) != 0) ++out;
  return out;
}

// Bytes of a text with its size in front.
std::size_t bytes_of(std::string_view x) { return bytes_of_size(x.size()) + x.size(); }

char* put_size(char* to, std::size_t n) {
  for (; n >= 0x80; n >>= 7U) *to++ = static_cast<char>(n | 0x80U);
  *to++ = static_cast<char>(n);
  return to;
}

char* put(char* to, std::string_view x) {
  if (!x.empty()) std::memcpy(to, x.data(), x.size());
  return to + x.size();
}

std::string_view take(const char*& from) {
  std::size_t n = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto c = static_cast<unsigned char>(*from++);
    n |= static_cast<std::size_t>(c & 0x7fU) << shift;
    if (c < 0x80) break;
  }
  const std::string_view out{from, n};
  from += n;
  return out;
}

}  // namespace

socket_head::socket_head(std::string_view path, const http_headers& headers)
    : path_size_(static_cast<std::uint32_t>(path.size())),
      count_(static_cast<std::uint32_t>(headers.entries.size())) {
  auto size = path.size();
  for (const auto& [name, value] : headers.entries) size += bytes_of(name) + bytes_of(value);
  if (size == 0) return;
  std::unique_ptr<char[]> all{new char[size]};
  auto* to = put(all.get(), path);
  for (const auto& [name, value] : headers.entries)
    for (const auto x : {name.view(), value.view()}) to = put(put_size(to, x.size()), x);
  all_ = std::move(all);
}

template <class F>
void socket_head::for_each(F f) const {
  const auto* at = all_.get() + path_size_;
  for (std::uint32_t i = 0; i < count_; ++i) {
    const auto name = take(at);
    const auto value = take(at);
    if (!f(name, value)) return;
  }
}

std::size_t socket_head::size() const {
  std::size_t out = path_size_;
  for_each([&](std::string_view name, std::string_view value) {
    out += bytes_of(name) + bytes_of(value);
    return true;
  });
  return out;
}

std::optional<std::string_view> socket_head::header(std::string_view name) const {
  std::optional<std::string_view> out;
  for_each([&](std::string_view each, std::string_view value) {
    if (each == name) out = value;
    return !out;
  });
  return out;
}

http_headers socket_head::headers() const {
  const auto here = [](std::string_view x) { return text{nullptr, std::span{x}}; };
  http_headers out;
  out.entries.reserve(count_);
  for_each([&](std::string_view name, std::string_view value) {
    out.entries.emplace_back(here(name), here(value));
    return true;
  });
  return out;
}

}  // namespace nuncio::internal
