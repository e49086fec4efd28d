// See socket_record.hpp.
#include <algorithm>
#include <cstring>
#include <nuncio/actor/socket_record.hpp>
#include <nuncio/bare_reader.hpp>
#include <nuncio/bare_writer.hpp>

namespace nuncio::internal {
namespace {

constexpr std::uint8_t record_version = 1;

}  // namespace

bytes socket_record_key(const exchange_id& id) {
  std::string key{socket_record_prefix};
  const auto add = [&](const fixed4& x) {
    for (const auto c : x) key += static_cast<char>(c);
  };
  add(id.gateway.value);
  add(id.request.value);
  return bytes{std::move(key)};
}

std::optional<exchange_id> socket_record_id(const bytes& key) {
  exchange_id id;
  const auto all = key.view();
  if (all.size() != socket_record_prefix.size() + sizeof id ||
      !all.starts_with(socket_record_prefix))
    return std::nullopt;
  std::memcpy(
      id.gateway.value.data(), key.data() + socket_record_prefix.size(), sizeof id.gateway.value);
  std::memcpy(
      id.request.value.data(),
      key.data() + socket_record_prefix.size() + sizeof id.gateway.value,
      sizeof id.request.value);
  return id;
}

bytes encode(const socket_record& x) {
  std::vector<std::uint8_t> out{record_version};
  bare::writer writer{out, wire::version_max};
  writer.put(x);
  return bytes{std::move(out)};
}

outcome<socket_record> decode_socket_record(const bytes& x) {
  if (x.empty() || x.span()[0] != record_version)
    return failure{errc::malformed, "a WebSocket's record has an unknown version"};
  bare::reader reader{bytes{x.part(1)}, wire::version_max};
  socket_record out;
  reader.get(out);
  reader.finish();
  if (reader.error() != nullptr)
    return failure{
        errc::malformed, std::string{"a WebSocket's record can't be read: "} + reader.error()};
  return out;
}

}  // namespace nuncio::internal
