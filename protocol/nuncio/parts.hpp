// What can be told of a message of the engine that is not whole: what it is and whose, from its first bytes; and its
// commands, one by one as they come. For messages that are too long to be kept (docs/protocol.md, "How long a message may
// be"). Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nuncio/messages.hpp>
#include <nuncio/outcome.hpp>
#include <span>
#include <vector>

namespace nuncio::protocol {

/// So many first bytes are enough for decode_head, at every version.
inline constexpr std::size_t head_bytes = 12;

/// Reads which message begins with `first`, its request id if it answers a storage request, its message id and kind if it
/// belongs to the tunnel. All else is at its default.
/// @returns errc::malformed for what is no message, or is cut short before that
outcome<to_envoy> decode_head(std::span<const std::uint8_t> first, std::uint16_t version);

/// Decodes a ToEnvoyCommands while it comes. Whatever the pieces, it gives the commands that decoding the whole message
/// gives, or fails where that fails; what it gave before an error stands, for each command is for itself. Each command
/// owns its bytes: none keeps its neighbours in memory.
class command_stream {
public:
  /// @param command_bytes_max  a longer command is an error
  command_stream(std::uint16_t version, std::size_t command_bytes_max)
      : version_(version), command_bytes_max_(command_bytes_max) {}

  /// The next bytes of the message, from its tag on. Appends what they complete to `out`.
  /// @returns errc::malformed, after which nothing more can be read
  outcome<void> handle_bytes(std::span<const std::uint8_t> next, std::vector<command_wrapper>& out);

  /// The message has ended. Appends what is left of it to `out`.
  /// @returns errc::malformed if that was not the end of its last command
  outcome<void> handle_end(std::vector<command_wrapper>& out);

  /// Bytes that are kept until their command is whole.
  [[nodiscard]] std::size_t held() const { return kept_.size(); }

private:
  outcome<void> take_whole(bool ended, std::vector<command_wrapper>& out);
  [[nodiscard]] failure malformed(std::size_t offset, std::string_view why) const;

  std::uint16_t version_;
  std::size_t command_bytes_max_;
  std::vector<std::uint8_t> kept_;
  std::size_t wanted_ = 0;    // fewer bytes than that need no look
  std::uint64_t passed_ = 0;  // bytes of the message before those kept
  std::uint64_t left_ = 0;    // commands
  bool begun_ = false;        // tag and count have been read
};

}  // namespace nuncio::protocol
