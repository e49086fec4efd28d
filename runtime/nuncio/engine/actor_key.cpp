// See actor_key.hpp.
#include <nuncio/actor_key.hpp>
#include <nuncio/utf8.hpp>
#include <utility>

namespace nuncio {
namespace {

constexpr std::size_t element_bytes_max = 128;
constexpr std::size_t text_bytes_max = 1024;
constexpr char separator = '/';
constexpr char escape = '\\';
constexpr char empty_mark = '0';  // after an escape: the element is empty

}  // namespace

std::string to_text(const actor_key& key) {
  if (key.empty()) return {separator};
  std::string out;
  for (const auto& element : key) {
    if (&element != &key.front()) out += separator;
    if (element.empty()) out.append({escape, empty_mark});
    for (const char c : element) {
      if (c == escape || c == separator) out += escape;
      out += c;
    }
  }
  return out;
}

actor_key key_from_text(std::string_view text) {
  if (text.empty() || text == std::string_view{&separator, 1}) return {};
  actor_key out;
  std::string element;
  bool marked_empty = false;
  const auto end_element = [&] {
    if (std::exchange(marked_empty, false)) element.clear();
    out.push_back(std::exchange(element, {}));
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == separator) {
      end_element();
    } else if (text[i] != escape || i + 1 == text.size()) {
      element += text[i];  // a trailing escape character escapes nothing
    } else if (text[++i] == empty_mark) {
      marked_empty = true;
    } else {
      element += text[i];
    }
  }
  end_element();
  return out;
}

outcome<void> check(const actor_key& key) {
  for (const auto& element : key) {
    if (element.size() > element_bytes_max)
      return failure{errc::too_large, "an element of a key has at most 128 bytes"};
    // JSON allows nothing else: replaced bytes would turn two keys into one.
    if (!is_utf8(element)) return failure{errc::invalid_argument, "a key is UTF-8 text"};
  }
  if (to_text(key).size() > text_bytes_max)
    return failure{errc::too_large, "a key has at most 1024 bytes, escapes included"};
  return {};
}

}  // namespace nuncio
