// The conversion behind `nuncio codec`.
#include "line_codec.hpp"

#include <fmt/format.h>

#include <istream>
#include <nuncio/codec.hpp>
#include <nuncio/hex.hpp>
#include <nuncio/json.hpp>
#include <ostream>
#include <string>

namespace nuncio::tools {
namespace {

int nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

outcome<bytes> from_hex(std::string_view hex) {
  std::vector<std::uint8_t> raw(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); ++i) {
    const int x = nibble(hex[i]);
    if (x < 0) return failure{errc::malformed, fmt::format("column {}: not a hex digit", i + 1)};
    if (i / 2 < raw.size()) raw[i / 2] = static_cast<std::uint8_t>(raw[i / 2] * 16 + x);
  }
  if (hex.size() % 2 != 0)
    return failure{errc::malformed, fmt::format("column {}: incomplete byte", hex.size())};
  return bytes{std::move(raw)};
}

template <class Message>
outcome<std::string> encode_line(const outcome<Message>& x, std::uint16_t version) {
  if (!x) return x.error();
  const auto raw = protocol::encode(*x, version);
  if (!raw) return raw.error();
  return to_hex(*raw);
}

template <class Message>
outcome<std::string> decode_line(const outcome<Message>& x, std::uint16_t version) {
  if (!x) return x.error();
  return protocol::to_json(*x, version);
}

outcome<std::string> convert(const codec_options& options, std::string_view line) {
  using message = codec_options::message;
  const auto version = options.version;
  if (options.action == codec_options::direction::encode)
    return options.type == message::to_rivet
               ? encode_line(protocol::to_rivet_from_json(line, version), version)
               : encode_line(protocol::to_envoy_from_json(line, version), version);
  const auto raw = from_hex(line);
  if (!raw) return raw.error();
  return options.type == message::to_rivet
             ? decode_line(protocol::decode_to_rivet(*raw, version), version)
             : decode_line(protocol::decode_to_envoy(*raw, version), version);
}

// A reason may quote the input; it must fit on its line.
std::string on_one_line(std::string x) {
  for (auto& c : x)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return x;
}

}  // namespace

int run_codec(
    const codec_options& options, std::istream& in, std::ostream& out, std::ostream& err) {
  if (options.version < wire::version_min || options.version > wire::version_max) {
    err << fmt::format(
        "codec: --version {}: versions {} to {} are supported\n",
        options.version,
        wire::version_min,
        wire::version_max);
    return 2;
  }
  bool all_good = true;
  for (std::string line; std::getline(in, line);) {
    if (line.ends_with('\r')) line.pop_back();
    const auto converted = convert(options, line);
    if (converted) {
      out << *converted << '\n';
    } else {
      all_good = false;
      out << "error: " << on_one_line(converted.error().message) << '\n';
    }
    // A client that sends one line and waits for its result gets it at once.
    if (in.rdbuf()->in_avail() <= 0) out.flush();
  }
  out.flush();
  if (!out) {
    err << "codec: the output can't be written\n";
    return 1;
  }
  return all_good ? 0 : 1;
}

}  // namespace nuncio::tools
