// Incomplete messages: heads at every version, and commands in pieces of every size. Each is compared with the decoded whole
// message.
#include <doctest/doctest.h>

#include <nuncio/parts.hpp>

#include "protocol/vectors.hpp"

namespace nuncio::test {
namespace {

using namespace nuncio::protocol;

// Every message of the vectors at every version that has it.
template <class F>
void for_each_message(F f) {
  for (const auto& v : all_vectors()) {
    if (!v.to_envoy) continue;
    const auto whole = decode_to_envoy(frame(v.hex), 8);
    REQUIRE(whole.ok());
    for (auto version = wire::version_min; version <= wire::version_max; ++version) {
      CAPTURE(v.name);
      CAPTURE(version);
      if (const auto raw = encode(*whole, version)) f(*whole, *raw, version);
    }
  }
}

std::optional<std::uint32_t> request_of(const to_envoy& x) {
  return std::visit(
      []<class M>(const M& m) -> std::optional<std::uint32_t> {
        if constexpr (requires { m.request_id; })
          return m.request_id;
        else
          return std::nullopt;
      },
      x);
}

command_wrapper start(std::string_view actor, std::size_t input) {
  command_start_actor x;
  x.config.name = text{"counter"};
  x.config.key = text{"k"};
  x.config.create_ts = 7;
  x.config.input = bytes{std::string(input, 'i')};
  x.hibernating_requests = {{}, {}};
  x.preloaded_kv.emplace().entries = {{bytes{"a"}, bytes{"b"}, {}}, {bytes{"c"}, bytes{"d"}, {}}};
  return {{actor_id{actor}, 1, 1}, std::move(x)};
}

command_wrapper stop(std::string_view actor) {
  return {{actor_id{actor}, 300, 2}, command_stop_actor{stop_actor_reason::lost}};
}

const to_envoy several = to_envoy_commands{{start("a", 40), stop("b"), start("c", 0), stop("a")}};

std::vector<std::uint8_t> raw(const to_envoy& x, std::uint16_t version = 8) {
  return std::move(*encode(x, version));
}

struct streamed {
  std::vector<command_wrapper> commands;
  outcome<void> end;
};

// `x` in pieces that end at `cuts` and at its end.
streamed in_pieces(
    std::span<const std::uint8_t> x,
    const std::vector<std::size_t>& cuts,
    std::size_t command_bytes_max = 1 << 20,
    std::uint16_t version = 8) {
  command_stream stream{version, command_bytes_max};
  streamed out;
  std::size_t from = 0;
  const auto give = [&](std::size_t to) {
    // A copy of exactly this size, so that a sanitizer sees any step beyond it.
    const std::vector<std::uint8_t> piece(
        x.begin() + static_cast<std::ptrdiff_t>(from), x.begin() + static_cast<std::ptrdiff_t>(to));
    from = to;
    if (out.end) out.end = stream.handle_bytes(piece, out.commands);
  };
  for (const auto cut : cuts) give(cut);
  give(x.size());
  if (out.end) out.end = stream.handle_end(out.commands);
  if (out.end) CHECK(stream.held() == 0);
  return out;
}

std::vector<std::size_t> every(std::size_t step, std::size_t size) {
  std::vector<std::size_t> out;
  for (auto at = step; at < size; at += step) out.push_back(at);
  return out;
}

}  // namespace

TEST_CASE("a head says what the whole message says, at every version") {
  for_each_message([](const to_envoy& whole, const std::vector<std::uint8_t>& bytes, auto version) {
    const std::span<const std::uint8_t> all{bytes};
    const auto head = decode_head(all.first(std::min(all.size(), head_bytes)), version);
    REQUIRE(head.ok());
    CHECK(head->index() == whole.index());
    CHECK(request_of(*head) == request_of(whole));
    if (const auto* said = std::get_if<to_envoy_tunnel_message>(&whole)) {
      const auto& told = std::get<to_envoy_tunnel_message>(*head);
      CHECK(told.message_id == said->message_id);
      CHECK(told.message_kind.index() == said->message_kind.index());
    }
  });
}

TEST_CASE("a truncated or invalid head is rejected") {
  const auto tunnel = frame(
      "04"
      "01020304"
      "05060708"
      "0900"
      "06");
  for (std::size_t n = 0; n < tunnel.size(); ++n)
    CHECK(decode_head(tunnel.span().first(n), 8).error().code == errc::malformed);
  const auto whole = decode_head(tunnel.span(), 8);
  REQUIRE(whole.ok());
  CHECK(std::holds_alternative<to_envoy_web_socket_message>(
      std::get<to_envoy_tunnel_message>(*whole).message_kind));
  const auto unknown = decode_head(frame("0e00000000").span(), 8);
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.error().message == "offset 0: unknown union tag");
}

TEST_CASE("commands in pieces are the commands of the whole, wherever it is cut") {
  for (auto version = wire::version_min; version <= wire::version_max; ++version) {
    const auto all = raw(several, version);
    const auto& right = std::get<to_envoy_commands>(several).commands;
    CAPTURE(version);
    for (std::size_t first = 0; first <= all.size(); ++first)
      for (std::size_t second = first; second <= all.size(); ++second) {
        const auto got = in_pieces(all, {first, second}, 1 << 20, version);
        REQUIRE(got.end.ok());
        REQUIRE(got.commands == right);
      }
    for (std::size_t step = 1; step < 8; ++step) {
      const auto got = in_pieces(all, every(step, all.size()), 1 << 20, version);
      REQUIRE(got.end.ok());
      REQUIRE(got.commands == right);
    }
  }
}

TEST_CASE("a command is handed out with the byte that completes it") {
  const auto all = raw(several);
  command_stream stream{8, 1 << 20};
  std::vector<command_wrapper> out;
  std::vector<std::size_t> at;
  for (std::size_t i = 0; i < all.size(); ++i) {
    REQUIRE(stream.handle_bytes(std::span{all}.subspan(i, 1), out).ok());
    while (at.size() < out.size()) at.push_back(i + 1);
  }
  std::vector<std::size_t> ends;
  for (std::size_t n = 1; n <= 4; ++n) {
    auto begin = std::get<to_envoy_commands>(several);
    begin.commands.resize(n);
    ends.push_back(raw(begin).size());
  }
  CHECK(at == ends);
}

TEST_CASE("commands that are damaged fail as the whole does, and what came before them stands") {
  const auto good = raw(several);
  const auto& right = std::get<to_envoy_commands>(several).commands;
  for (std::size_t i = 0; i < good.size(); ++i)
    for (const int x : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      auto bad = good;
      bad[i] = static_cast<std::uint8_t>(x);
      CAPTURE(i);
      CAPTURE(x);
      const auto whole = decode_to_envoy(bytes::copy_of(bad), 8);
      const auto* commands = whole ? std::get_if<to_envoy_commands>(&*whole) : nullptr;
      for (const std::size_t step : {1U, 13U, 1000U}) {
        const auto got = in_pieces(bad, every(step, bad.size()));
        REQUIRE(got.end.ok() == (commands != nullptr));
        if (commands != nullptr) REQUIRE(got.commands == commands->commands);
      }
    }
  for (std::size_t n = 0; n < good.size(); ++n) {
    const auto got = in_pieces(std::span{good}.first(n), every(5, n));
    REQUIRE_FALSE(got.end.ok());
    REQUIRE(got.commands.size() < right.size());
    REQUIRE(std::equal(got.commands.begin(), got.commands.end(), right.begin()));
  }
  auto longer = good;
  longer.push_back(0);
  CHECK_FALSE(in_pieces(longer, {}).end.ok());
  CHECK(in_pieces(raw(to_envoy_commands{}), {1}).end.ok());
}

TEST_CASE("a command over the limit is an error as soon as its length is known, and is not kept") {
  const auto all = raw(to_envoy_commands{{stop("a"), start("b", 5000)}});
  const auto got = in_pieces(all, {100}, 1000);
  REQUIRE_FALSE(got.end.ok());
  CHECK(got.end.error().message.find("a command is too long") != std::string::npos);
  CHECK(got.commands == std::vector{stop("a")});
  // A length that no message has: known from a few bytes.
  command_stream stream{8, 1000};
  std::vector<command_wrapper> out;
  const auto hostile = frame(
      "01"
      "01"
      "ffffffffffffffff7f");
  CHECK_FALSE(stream.handle_bytes(hostile.span(), out).ok());
}

TEST_CASE("commands that came in pieces keep none of their neighbours in memory") {
  const auto all = raw(several);
  const auto got = in_pieces(all, {});
  const auto& first = std::get<command_start_actor>(got.commands.at(0).inner);
  const auto& third = std::get<command_start_actor>(got.commands.at(2).inner);
  REQUIRE(first.config.name.owner() != nullptr);
  CHECK(first.config.name.owner() == first.config.input->owner());
  CHECK(first.config.name.owner() != third.config.name.owner());
}

TEST_CASE("a long command in small pieces is not parsed again with each piece") {
  command_start_actor x;
  x.hibernating_requests.resize(100'000);
  const auto all = raw(to_envoy_commands{{{{actor_id{"a"}, 1, 1}, x}}});
  command_stream stream{8, 1 << 20};
  std::vector<command_wrapper> out;
  for (std::size_t at = 0; at < all.size(); at += 100)
    REQUIRE(stream
                .handle_bytes(
                    std::span{all}.subspan(at, std::min<std::size_t>(100, all.size() - at)), out)
                .ok());
  REQUIRE(stream.handle_end(out).ok());
  REQUIRE(out.size() == 1);
  CHECK(std::get<command_start_actor>(out[0].inner) == x);
}

}  // namespace nuncio::test
