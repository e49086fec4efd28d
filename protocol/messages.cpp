// Instantiates BARE for the two top-level unions, so that no other file pays for it.
#include <fmt/format.h>

#include <nuncio/bare_reader.hpp>
#include <nuncio/bare_writer.hpp>
#include <nuncio/codec.hpp>

namespace nuncio {

std::string_view to_string(errc code) {
  switch (code) {
    case errc::invalid_argument:
      return "invalid_argument";
    case errc::malformed:
      return "malformed";
    case errc::not_in_version:
      return "not_in_version";
    case errc::unsupported_version:
      return "unsupported_version";
    case errc::too_large:
      return "too_large";
    case errc::queue_full:
      return "queue_full";
    case errc::link_lost:
      return "link_lost";
    case errc::timed_out:
      return "timed_out";
    case errc::unreachable:
      return "unreachable";
    case errc::refused:
      return "refused";
    case errc::not_found:
      return "not_found";
    case errc::evicted:
      return "evicted";
    case errc::cancelled:
      return "cancelled";
    case errc::internal:
      return "internal";
  }
  return "unknown";
}

std::string to_string(const failure& x) {
  return fmt::format("{}: {}", to_string(x.code), x.message);
}

}  // namespace nuncio

namespace nuncio::protocol {
namespace {

failure wrong_version(std::uint16_t version) {
  return {
      errc::unsupported_version,
      fmt::format(
          "protocol version {} is not one of {} to {}",
          version,
          wire::version_min,
          wire::version_max)};
}

bool speaks(std::uint16_t version) {
  return version >= wire::version_min && version <= wire::version_max;
}

template <class T>
outcome<std::vector<std::uint8_t>> encode_any(
    const T& x, std::uint16_t version, std::size_t headroom) {
  if (!speaks(version)) return wrong_version(version);
  std::vector<std::uint8_t> out;
  out.reserve(headroom + 256);
  out.resize(headroom);
  bare::writer writer{out, version};
  writer.put(x);
  if (writer.error() != nullptr) {
    const auto code = writer.error_is_of_version() ? errc::not_in_version : errc::malformed;
    return failure{
        code, fmt::format("{}: {} (version {})", writer.error_at(), writer.error(), version)};
  }
  return out;
}

template <class T>
outcome<T> decode_any(
    const bytes& frame,
    std::uint16_t version,
    std::size_t elements_bytes_max = bare::reader::unlimited) {
  if (!speaks(version)) return wrong_version(version);
  bare::reader reader{frame, version, elements_bytes_max};
  outcome<T> x{T{}};
  reader.get(*x);
  reader.finish();
  if (reader.error() != nullptr)
    return failure{
        reader.took_too_much() ? errc::too_large : errc::malformed,
        fmt::format("offset {}: {}", reader.error_offset(), reader.error())};
  return x;
}

template <class T>
std::string_view name_of_any(const T& x) {
  return std::visit([](const auto& y) { return std::remove_cvref_t<decltype(y)>::wire.name; }, x);
}

}  // namespace

outcome<std::vector<std::uint8_t>> encode(
    const to_rivet& x, std::uint16_t version, std::size_t headroom) {
  return encode_any(x, version, headroom);
}

outcome<std::vector<std::uint8_t>> encode(
    const to_envoy& x, std::uint16_t version, std::size_t headroom) {
  return encode_any(x, version, headroom);
}

outcome<to_rivet> decode_to_rivet(const bytes& frame, std::uint16_t version) {
  return decode_any<to_rivet>(frame, version);
}

outcome<to_envoy> decode_to_envoy(const bytes& frame, std::uint16_t version) {
  return decode_any<to_envoy>(frame, version);
}

outcome<to_envoy> decode_to_envoy_within(
    const bytes& frame, std::uint16_t version, std::size_t elements_bytes_max) {
  return decode_any<to_envoy>(frame, version, elements_bytes_max);
}

std::string_view name_of(const to_rivet& x) { return name_of_any(x); }

std::string_view name_of(const to_envoy& x) { return name_of_any(x); }

}  // namespace nuncio::protocol
