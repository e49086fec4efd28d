// See parts.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <nuncio/bare_reader.hpp>
#include <nuncio/parts.hpp>

namespace nuncio::protocol {
namespace {

// Below this a command that is not whole is looked at with each piece that comes.
constexpr std::size_t look_again_bytes = std::size_t{64} << 10;

// Nobody keeps slices of it.
bytes borrowed(std::span<const std::uint8_t> x) { return bytes{std::shared_ptr<const void>{}, x}; }

template <class T, std::size_t... Is>
void emplace(T& x, std::size_t index, std::index_sequence<Is...>) {
  ((Is == index ? void(x.template emplace<Is>()) : void()), ...);
}

// The alternative that the next tag names, with its own head if it has one.
template <wire::union_type T>
void get_head(bare::reader& reader, T& x) {
  const auto index = reader.get_tag<T>();
  if (reader.error() != nullptr) return;
  emplace(x, index, std::make_index_sequence<std::variant_size_v<T>>{});
}

void get_rest_of_head(bare::reader& reader, to_envoy& x) {
  std::visit(
      [&]<class M>(M& message) {
        if constexpr (requires { message.request_id; }) {
          reader.get(message.request_id);
        } else if constexpr (std::is_same_v<M, to_envoy_tunnel_message>) {
          reader.get(message.message_id);
          if (reader.error() == nullptr) get_head(reader, message.message_kind);
        }
      },
      x);
}

}  // namespace

outcome<to_envoy> decode_head(std::span<const std::uint8_t> first, std::uint16_t version) {
  const auto frame = borrowed(first);
  bare::reader reader{frame, version};
  outcome<to_envoy> x{to_envoy{}};
  get_head(reader, *x);
  if (reader.error() == nullptr) get_rest_of_head(reader, *x);
  if (reader.error() != nullptr)
    return failure{
        errc::malformed, fmt::format("offset {}: {}", reader.error_offset(), reader.error())};
  return x;
}

outcome<void> command_stream::handle_bytes(
    std::span<const std::uint8_t> next, std::vector<command_wrapper>& out) {
  kept_.insert(kept_.end(), next.begin(), next.end());
  return kept_.size() < wanted_ ? outcome<void>{} : take_whole(false, out);
}

outcome<void> command_stream::handle_end(std::vector<command_wrapper>& out) {
  return take_whole(true, out);
}

outcome<void> command_stream::take_whole(bool ended, std::vector<command_wrapper>& out) {
  std::size_t from = 0;
  while (!begun_ || left_ != 0) {
    const std::span<const std::uint8_t> here{kept_.data() + from, kept_.size() - from};
    const auto frame = borrowed(here);
    bare::reader reader{frame, version_};
    if (begun_) {
      static_cast<void>(reader.get<command_wrapper>());
    } else if (reader.get_tag<to_envoy>() == to_envoy{to_envoy_commands{}}.index()) {
      left_ = reader.get_list_count();
    } else if (reader.error() == nullptr) {
      return malformed(from, "these are no commands");
    }
    if (reader.error() == nullptr) {
      if (reader.consumed() > command_bytes_max_) return malformed(from, "a command is too long");
      if (begun_) {
        const auto own = bytes::copy_of(here.first(reader.consumed()));
        out.push_back(bare::reader{own, version_}.get<command_wrapper>());
        --left_;
      }
      begun_ = true;
      from += reader.consumed();
      continue;
    }
    if (ended || !reader.ended_early())
      return malformed(from + reader.error_offset(), reader.error());
    if (reader.needed() > command_bytes_max_) return malformed(from, "a command is too long");
    // Each look begins at the command's first byte, so those at a long one must not be many.
    const auto more = here.size() < look_again_bytes ? std::size_t{1} : here.size() / 4;
    wanted_ = std::max(reader.needed(), here.size() + more);
    kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(from));
    passed_ += from;
    return {};
  }
  if (from != kept_.size()) return malformed(from, "trailing bytes");
  passed_ += from;
  kept_ = {};
  wanted_ = 0;
  return {};
}

failure command_stream::malformed(std::size_t offset, std::string_view why) const {
  return {errc::malformed, fmt::format("offset {}: {}", passed_ + offset, why)};
}

}  // namespace nuncio::protocol
