// See frame_splitter.hpp.
#include "proxy/frame_splitter.hpp"

#include <utility>

namespace nuncio::proxy {
namespace {

constexpr std::uint64_t message_bytes_max = std::uint64_t{64} << 20U;

struct header {
  bool final = false;
  unsigned opcode = 0;
  std::size_t size = 0;  ///< of the header, mask included; 0: incomplete
  std::uint64_t payload = 0;
  bool masked = false;
};

unsigned byte_of(std::string_view x, std::size_t i) { return static_cast<unsigned char>(x[i]); }

header header_of(std::string_view x) {
  header out;
  if (x.size() < 2) return out;
  out.final = (byte_of(x, 0) & 0x80U) != 0;
  out.opcode = byte_of(x, 0) & 0x0fU;
  out.masked = (byte_of(x, 1) & 0x80U) != 0;
  out.payload = byte_of(x, 1) & 0x7fU;
  std::size_t extra = out.payload == 126 ? 2U : out.payload == 127 ? 8U : 0U;
  const auto size = 2 + extra + (out.masked ? 4U : 0U);
  if (x.size() < size) return out;
  if (extra > 0) out.payload = 0;
  for (std::size_t i = 0; i < extra; ++i) out.payload = out.payload << 8U | byte_of(x, 2 + i);
  out.size = size;
  return out;
}

}  // namespace

bool frame_splitter::feed(std::string_view x, std::vector<frame_piece>& out) {
  held_.append(x);
  std::size_t at = 0;
  while (true) {
    const auto rest = std::string_view{held_}.substr(at);
    const auto head = header_of(rest);
    if (head.size == 0) break;
    if (head.payload > message_bytes_max) return false;
    const auto size = head.size + static_cast<std::size_t>(head.payload);
    if (rest.size() < size) break;
    const auto raw = rest.substr(0, size);
    at += size;
    if (head.opcode >= 8) {
      out.push_back({.raw = std::string{raw}, .payload = {}});
      continue;
    }
    if (message_.raw.size() + size > message_bytes_max) return false;
    message_.raw.append(raw);
    for (std::size_t i = head.size; i < size; ++i) {
      const auto key = head.masked ? byte_of(raw, head.size - 4 + (i - head.size) % 4) : 0U;
      message_.payload += static_cast<char>(byte_of(raw, i) ^ key);
    }
    if (!head.final) continue;
    message_.message = true;
    out.push_back(std::exchange(message_, {}));
  }
  held_.erase(0, at);
  return true;
}

}  // namespace nuncio::proxy
