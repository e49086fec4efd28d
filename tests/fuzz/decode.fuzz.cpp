// libFuzzer target for the decoder. Every input is tried as a frame of both directions at all
// versions; whatever is accepted must encode to the same bytes, and must survive JSON.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <nuncio/codec.hpp>
#include <nuncio/json.hpp>
#include <nuncio/parts.hpp>
#include <span>
#include <variant>
#include <vector>

namespace {

using namespace nuncio;
using namespace nuncio::protocol;

void expect(bool good, const char* what, std::uint16_t version) {
  if (good) return;
  std::fprintf(stderr, "property violated: %s (version %d)\n", what, int{version});
  std::abort();
}

// JSON costs much more than the rest: small frames are enough for its rules.
constexpr std::size_t json_bytes_max = 512;

template <class Decode, class FromJson>
void check(const bytes& frame, std::uint16_t version, Decode decode, FromJson from_json) {
  const auto x = decode(frame, version);
  if (!x) {
    expect(x.error().code == errc::malformed, "an error is called malformed", version);
    return;
  }
  const auto again = encode(*x, version);
  expect(again.ok(), "what was decoded can be encoded", version);
  expect(bytes{*again} == frame, "decode then encode gives the same bytes", version);
  if (frame.size() > json_bytes_max) return;
  const auto y = from_json(to_json(*x, version), version);
  expect(y.ok(), "what was decoded can be read back from JSON", version);
  expect(*y == *x, "JSON gives the same value", version);
}

// The head of a message says of it what the whole says, and commands in pieces are those of the whole: whatever the bytes.
// Pieces are as long as the last byte says, so that the fuzzer chooses.
void check_parts(const bytes& frame, std::uint16_t version) {
  const auto whole = decode_to_envoy(frame, version);
  const auto head = decode_head(frame.span().first(std::min(frame.size(), head_bytes)), version);
  if (whole) {
    expect(head.ok(), "what can be decoded has a head", version);
    expect(head->index() == whole->index(), "the head is of that message", version);
  }
  command_stream stream{version, frame.size() + 1};
  std::vector<command_wrapper> commands;
  const std::size_t step = frame.empty() ? 1 : 1 + frame.span().back() % 32U;
  bool good = true;
  for (std::size_t at = 0; good && at < frame.size(); at += step) {
    const auto piece = bytes::copy_of(frame.span().subspan(at, std::min(step, frame.size() - at)));
    good = stream.handle_bytes(piece.span(), commands).ok();
  }
  good = good && stream.handle_end(commands).ok();
  const auto* right = whole ? std::get_if<to_envoy_commands>(&*whole) : nullptr;
  expect(good == (right != nullptr), "commands in pieces fail where the whole fails", version);
  if (good)
    expect(commands == right->commands, "commands in pieces are those of the whole", version);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A copy of exactly this size, so that any step beyond it is seen.
  const auto frame = bytes::copy_of({data, size});
  for (auto v = wire::version_min; v <= wire::version_max; ++v) {
    check(frame, v, decode_to_rivet, to_rivet_from_json);
    check(frame, v, decode_to_envoy, to_envoy_from_json);
    check_parts(frame, v);
  }
  return 0;
}
