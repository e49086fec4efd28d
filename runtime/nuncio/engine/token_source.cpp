// See token_source.hpp.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nuncio/engine/url.hpp>
#include <nuncio/token_source.hpp>
#include <system_error>
#include <utility>

namespace nuncio {
namespace {

constexpr std::size_t token_bytes_max = 4096;

// Shorter texts are not secret, and may occur in any word.
constexpr std::size_t hidden_bytes_min = 4;

outcome<std::string> read_token_file(const std::string& path) {
  const auto bad = [&](const std::string& why) {
    return failure{errc::invalid_argument, "the token file " + path + ": " + why};
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{
      std::fopen(path.c_str(), "re"), &std::fclose};
  if (!file) return bad(std::generic_category().message(errno));
  std::array<char, token_bytes_max + 512> buffer;
  const auto n = std::fread(buffer.data(), 1, buffer.size(), file.get());
  if (std::ferror(file.get()) != 0) return bad(std::generic_category().message(errno));
  auto token = parse_token({buffer.data(), n});
  if (!token) return bad(token.error().message);
  if (token->empty()) return bad("it is empty");
  return token;
}

}  // namespace

outcome<std::string> parse_token(std::string_view raw) {
  constexpr std::string_view around = " \t\r\n";
  const auto from = raw.find_first_not_of(around);
  if (from == std::string_view::npos) return std::string{};
  raw = raw.substr(from, raw.find_last_not_of(around) - from + 1);
  if (raw.size() > token_bytes_max)
    return failure{errc::invalid_argument, "a token has at most 4096 characters"};
  for (const char c : raw)
    if (c <= ' ' || c >= 127 || c == ',')
      return failure{
          errc::invalid_argument,
          "a token is one word of printable ASCII characters without a comma"};
  return std::string{raw};
}

outcome<std::string> read_token(const token_source& source, std::string_view fixed) {
  if (!source) return parse_token(fixed);
  auto token = source();
  return token ? parse_token(*token) : std::move(token);
}

std::string without_token(std::string text, std::string_view token) {
  if (token.size() < hidden_bytes_min) return text;
  const auto hide = [&](std::string_view secret) {
    for (auto at = text.find(secret); at != text.npos; at = text.find(secret, at))
      text.replace(at, secret.size(), "***");
  };
  hide(token);
  hide(percent_encoded(token));
  return text;
}

token_source token_from_file(std::string path) {
  return [path = std::move(path)] { return read_token_file(path); };
}

token_source token_from_environment() {
  return []() -> outcome<std::string> {
    if (const char* token = std::getenv("RIVET_TOKEN"); token != nullptr && *token != 0)
      return parse_token(token);
    if (const char* path = std::getenv("RIVET_TOKEN_FILE"); path != nullptr && *path != 0)
      return read_token_file(path);
    return std::string{};
  };
}

}  // namespace nuncio
