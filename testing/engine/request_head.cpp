// See request_head.hpp.
#include "request_head.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace nuncio::testing::engine {

namespace {

constexpr std::size_t head_limit = 60U << 10U;  ///< Beast can't hold a field of 64 KiB
constexpr std::size_t headers_max = 100;        ///< hyper's DEFAULT_MAX_HEADERS
constexpr auto length_max = UINT64_MAX - 2;     ///< hyper's DecodedLength::MAX_LEN
constexpr std::string_view transfer_encoding = "transfer-encoding";
constexpr std::string_view content_length = "content-length";

/// Bytes that are not allowed anywhere in a head. A CR may end a line.
bool is_stray(char c) {
  const auto x = static_cast<unsigned char>(c);
  return (x < ' ' && c != '\t' && c != '\r') || x == 0x7f;
}

std::string_view trimmed(std::string_view x) {
  const auto begin = std::min(x.find_first_not_of(" \t"), x.size());
  x.remove_prefix(begin);
  return x.substr(0, x.find_last_not_of(" \t") + 1);
}

/// Whether `chunked` is the last encoding in `value`.
bool ends_chunked(std::string_view value) {
  if (std::any_of(value.begin(), value.end(), [](char c) { return c < 0; })) return false;
  const auto comma = value.rfind(',');
  return lower(trimmed(value.substr(comma == value.npos ? 0 : comma + 1))) == "chunked";
}

}  // namespace

std::size_t request_head::take(std::string_view come) {
  std::size_t taken = 0;
  while (!over_ && taken < come.size()) {
    const auto rest = come.substr(taken);
    const auto end = rest.find('\n');
    const auto part = rest.substr(0, end);
    const auto n = std::min(part.size() + 1, rest.size());
    taken += n;
    size_ += n;
    line_ += part;
    if (size_ > head_limit) {
      refuse(431);
    } else if (std::any_of(part.begin(), part.end(), is_stray)) {
      refuse(400);
    } else if (end != rest.npos) {
      if (line_.ends_with('\r')) line_.pop_back();
      take_line();
      line_.clear();
    }
  }
  return taken;
}

std::string request_head::text() { return std::exchange(text_, {}); }

void request_head::take_line() {
  if (line_.find('\r') != line_.npos) return refuse(400);
  if (line_.empty()) {
    if (begun_) end();
    return;  // empty lines before the request are allowed
  }
  if (begun_) return take_header(line_);
  begun_ = true;
  http_11_ = line_.ends_with(" HTTP/1.1");
  text_ += line_ + "\r\n";
}

void request_head::take_header(std::string_view line) {
  if (++headers_ > headers_max) return refuse(431);
  if (line.starts_with(' ') || line.starts_with('\t')) return refuse(400);
  const auto colon = line.find(':');
  const auto name = lower(line.substr(0, colon));
  if (colon == line.npos || (name != transfer_encoding && name != content_length)) {
    text_.append(line).append("\r\n");
    return;
  }
  const auto value = trimmed(line.substr(colon + 1));
  if (name == content_length) return take_length(value);
  if (!http_11_) fault(400);
  encoded_ = true;
  chunked_ = ends_chunked(value);
  show(name, value);
}

// After a transfer-encoding a length does not count, nor is it checked.
void request_head::take_length(std::string_view value) {
  if (encoded_) return;
  std::uint64_t length = 0;
  const auto* const end = value.data() + value.size();
  const auto read = std::from_chars(value.data(), end, length);
  if (read.ec != std::errc{} || read.ptr != end) return fault(400);
  if (length_) {
    if (*length_ != length) fault(400);
    return;
  }
  if (length > length_max) return fault(431);
  length_ = length;
  show(content_length, value);
}

void request_head::end() {
  if (encoded_ && !chunked_) fault(400);
  if (fault_ != 0) return refuse(fault_);
  if (chunked_)
    text_ += "transfer-encoding: chunked\r\n";
  else if (length_)
    text_ += "content-length: " + std::to_string(*length_) + "\r\n";
  text_ += "\r\n";
  over_ = true;
}

void request_head::refuse(unsigned status) {
  refused_ = status;
  over_ = true;
}

void request_head::fault(unsigned status) {
  if (fault_ == 0) fault_ = status;
}

void request_head::show(std::string_view name, std::string_view value) {
  std::erase_if(framing_, [name](const http_header& h) { return h.name == name; });
  framing_.push_back({std::string{name}, std::string{value}});
}

}  // namespace nuncio::testing::engine
