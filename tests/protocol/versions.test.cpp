// What differs between protocol versions 3 to 8 (docs/protocol.md, "Version deltas"), rule by rule.
// The expected bytes are derived by hand from that table and the schema, not printed by this codec.
#include <doctest/doctest.h>

#include <nuncio/bare_reader.hpp>
#include <nuncio/bare_writer.hpp>

#include "protocol/vectors.hpp"

namespace nuncio::test {
namespace {

using namespace nuncio::protocol;

// gatewayId, requestId and messageIndex of the helpers in vectors.hpp, behind the tag of a tunnel
// message.
const std::string to_rivet_tunnel =
    "06"
    "00000000"
    "00000000"
    "0000";
const std::string to_envoy_tunnel =
    "04"
    "00000000"
    "00000000"
    "0000";

template <class Message>
auto decoded(std::string_view hex, std::uint16_t version) {
  if constexpr (std::is_same_v<Message, to_rivet>) {
    return decode_to_rivet(frame(hex), version);
  } else {
    return decode_to_envoy(frame(hex), version);
  }
}

// Both ways: `x` at `version` is exactly these bytes, and they are `x`.
template <class Message>
void is(const Message& x, std::uint16_t version, const std::string& hex) {
  CAPTURE(version);
  CHECK(encoded(x, version) == hex);
  const auto y = decoded<Message>(hex, version);
  REQUIRE_MESSAGE(y.ok(), to_string(y.ok() ? failure{} : y.error()));
  CHECK(*y == x);
}

// `x` can't be said at `version`.
template <class Message>
void is_not_in(const Message& x, std::uint16_t version) {
  CAPTURE(version);
  const auto out = encode(x, version);
  REQUIRE_FALSE(out.ok());
  CHECK(out.error().code == errc::not_in_version);
}

template <class Message>
void is_unknown_tag(const std::string& hex, std::uint16_t version) {
  CAPTURE(version);
  const auto x = decoded<Message>(hex, version);
  REQUIRE_FALSE(x.ok());
  CHECK(x.error().message.find("unknown union tag") != std::string::npos);
}

// A message that exists from `first` on: by version, its tag there.
template <class Message>
void has_tags(
    const Message& x,
    std::uint16_t first,
    std::uint16_t moved,
    const char* before,
    const char* after,
    const std::string& rest) {
  for (std::uint16_t v = 3; v <= 8; ++v) {
    if (v < first) {
      is_not_in(x, v);
    } else {
      is(x, v, (v < moved ? before : after) + rest);
    }
  }
}

TEST_CASE("3 to 8: what never changes has the same bytes at every version") {
  for (std::uint16_t v = 3; v <= 8; ++v) {
    is(to_rivet{to_rivet_metadata{}},
       v,
       "0000"
       "00");
    is(to_rivet{to_rivet_events{}}, v, "0100");
    is(to_rivet{to_rivet_ack_commands{}}, v, "0200");
    is(to_rivet{to_rivet_stopping{}}, v, "03");
    is(to_rivet{to_rivet_pong{1}}, v, "040100000000000000");
    is(to_rivet{to_rivet_kv_request{actor_id{"a"}, 7, kv_drop_request{}}},
       v,
       "05"
       "0161"
       "07000000"
       "05");
    is(to_rivet{to_rivet_sqlite_get_pages_request{1, {actor_id{"a"}, {2}, 3, {}}}},
       v,
       "07"
       "01000000"
       "0161"
       "01"
       "02000000"
       "010300000000000000"
       "00");
    is(to_rivet{to_rivet_sqlite_commit_request{1, {actor_id{"a"}, {}, 2, 3, {}, {}}}},
       v,
       "08"
       "01000000"
       "0161"
       "00"
       "02000000"
       "0300000000000000"
       "00"
       "00");
    is(to_envoy{to_envoy_init{{1, 2, 3}}},
       v,
       "00"
       "0100000000000000"
       "0200000000000000"
       "0300000000000000");
    is(to_envoy{to_envoy_commands{}}, v, "0100");
    is(to_envoy{to_envoy_ack_events{}}, v, "0200");
    is(to_envoy{to_envoy_kv_response{1, kv_put_response{}}},
       v,
       "03"
       "01000000"
       "03");
    is(to_envoy{to_envoy_ping{1}}, v, "050100000000000000");
  }
}

TEST_CASE("3 to 8: a Start has no SQLite data behind it") {
  // config{name "n", key none, createTs 1, input none}, no hibernating requests, no preloaded KV
  const command_start_actor start{{"n", {}, 1, {}}, {}, {}};
  const to_envoy x = to_envoy_commands{{{{actor_id{"a"}, 1, 2}, start}}};
  for (std::uint16_t v = 3; v <= 8; ++v)
    is(x,
       v,
       "01"
       "01"
       "0161"
       "01000000"
       "0200000000000000"
       "00"
       "016e"
       "00"
       "0100000000000000"
       "00"
       "00"
       "00");
}

TEST_CASE("3 to 4: exec and execute are appended; 6 to 7: they move behind the staged commits") {
  has_tags(
      to_rivet{to_rivet_sqlite_exec_request{1, {"n", actor_id{"a"}, 2, "s"}}},
      4,
      7,
      "09",
      "0c",
      "01000000"
      "016e"
      "0161"
      "0200000000000000"
      "0173");
  has_tags(
      to_rivet{to_rivet_sqlite_execute_request{1, {"n", actor_id{"a"}, 2, "s", {}}}},
      4,
      7,
      "0a",
      "0d",
      "01000000"
      "016e"
      "0161"
      "0200000000000000"
      "0173"
      "00");
  has_tags(
      to_envoy{to_envoy_sqlite_exec_response{1, sqlite_exec_ok{}}},
      4,
      7,
      "08",
      "0b",
      "01000000"
      "00"
      "00"
      "00");
  has_tags(
      to_envoy{to_envoy_sqlite_execute_response{1, sqlite_execute_ok{{{}, {}, 5, {}}}}},
      4,
      7,
      "09",
      "0c",
      "01000000"
      "00"
      "00"
      "00"
      "0500000000000000"
      "00");
}

TEST_CASE("5 to 6: batches are appended; 6 to 7: they move") {
  has_tags(
      to_rivet{to_rivet_sqlite_execute_batch_request{1, {"n", actor_id{"a"}, 2, {}}}},
      6,
      7,
      "0b",
      "0e",
      "01000000"
      "016e"
      "0161"
      "0200000000000000"
      "00");
  has_tags(
      to_envoy{to_envoy_sqlite_execute_batch_response{1, sqlite_execute_batch_ok{}}},
      6,
      7,
      "0a",
      "0d",
      "01000000"
      "00"
      "00");
}

TEST_CASE("6 to 7: staged commits are inserted") {
  has_tags(
      to_rivet{to_rivet_sqlite_commit_stage_begin_request{1, {actor_id{"a"}, {}, {}}}},
      7,
      3,
      "",
      "09",
      "01000000"
      "0161"
      "00"
      "00");
  has_tags(
      to_rivet{to_rivet_sqlite_commit_stage_segment_request{1, {actor_id{"a"}, {}, 2, 3, {}}}},
      7,
      3,
      "",
      "0a",
      "01000000"
      "0161"
      "00"
      "0200000000000000"
      "03000000"
      "00");
  has_tags(
      to_rivet{to_rivet_sqlite_commit_finalize_request{1, {actor_id{"a"}, {}, 2, 3, 4, {}}}},
      7,
      3,
      "",
      "0b",
      "01000000"
      "0161"
      "00"
      "0200000000000000"
      "03000000"
      "0400000000000000"
      "00");
  has_tags(
      to_envoy{to_envoy_sqlite_commit_stage_begin_response{1, sqlite_commit_stage_begin_ok{2}}},
      7,
      3,
      "",
      "08",
      "01000000"
      "00"
      "0200000000000000");
  has_tags(
      to_envoy{to_envoy_sqlite_commit_stage_segment_response{1, sqlite_commit_stage_segment_ok{2}}},
      7,
      3,
      "",
      "09",
      "01000000"
      "00"
      "0200000000000000");
  has_tags(
      to_envoy{to_envoy_sqlite_commit_finalize_response{1, sqlite_commit_finalize_ok{2}}},
      7,
      3,
      "",
      "0a",
      "01000000"
      "00"
      "01"
      "0200000000000000");
}

TEST_CASE("the first tag behind the last message is unknown at every version") {
  const std::vector<std::pair<const char*, const char*>> ends = {
      {"09", "08"}, {"0b", "0a"}, {"0b", "0a"}, {"0c", "0b"}, {"0f", "0e"}, {"0f", "0e"}};
  for (std::uint16_t v = 3; v <= 8; ++v) {
    is_unknown_tag<to_rivet>(ends[v - 3U].first, v);
    is_unknown_tag<to_envoy>(ends[v - 3U].second, v);
  }
}

TEST_CASE("4 to 5: SQLite answers gain the head transaction") {
  const to_envoy pages = to_envoy_sqlite_get_pages_response{1, sqlite_get_pages_ok{}};
  const to_envoy commit = to_envoy_sqlite_commit_response{1, sqlite_commit_ok{}};
  for (std::uint16_t v = 3; v <= 8; ++v) {
    is(pages,
       v,
       "06"
       "01000000"
       "00"
       "00" +
           std::string(v < 5 ? "" : "00"));
    is(commit,
       v,
       "07"
       "01000000"
       "00" +
           std::string(v < 5 ? "" : "00"));
  }
  const to_envoy known = to_envoy_sqlite_commit_response{1, sqlite_commit_ok{9}};
  CHECK(encoded(known, 4) == "070100000000");
  is(known,
     5,
     "07"
     "01000000"
     "00"
     "01"
     "0900000000000000");
}

TEST_CASE(
    "4 to 5: a SQLite error gains group and code, which an older engine means as "
    "core.internal_error") {
  const to_envoy x = to_envoy_sqlite_commit_response{1, sqlite_error_response{"g", "c", "m"}};
  for (std::uint16_t v = 5; v <= 8; ++v)
    is(x,
       v,
       "07"
       "01000000"
       "01"
       "0167"
       "0163"
       "016d");
  for (std::uint16_t v = 3; v <= 4; ++v) {
    CHECK(
        encoded(x, v) ==
        "0701000000"
        "01"
        "016d");
    const to_envoy lifted =
        to_envoy_sqlite_commit_response{1, sqlite_error_response{"core", "internal_error", "m"}};
    is(lifted,
       v,
       "07"
       "01000000"
       "01"
       "016d");
  }
  is(to_envoy{to_envoy_sqlite_commit_response{1, sqlite_error_response{"", "", ""}}},
     8,
     "07"
     "01000000"
     "01"
     "000000");
}

TEST_CASE("7 to 8: a request's Start gains generation and streaming") {
  const to_envoy_request_start plain{actor_id{"a"}, {}, "G", "/", {}, {}, true, false};
  for (std::uint16_t v = 3; v <= 7; ++v)
    is(tunnel_to_envoy(plain),
       v,
       to_envoy_tunnel +
           "00"
           "0161"
           "0147"
           "012f"
           "00"
           "00"
           "01");
  is(tunnel_to_envoy(plain),
     8,
     to_envoy_tunnel +
         "00"
         "0161"
         "00"
         "0147"
         "012f"
         "00"
         "00"
         "01"
         "00");
  auto full = plain;
  full.actor_generation = 3;
  full.response_stream = true;
  is(tunnel_to_envoy(full),
     8,
     to_envoy_tunnel +
         "00"
         "0161"
         "0103000000"
         "0147"
         "012f"
         "00"
         "00"
         "01"
         "01");
  CHECK(encoded(tunnel_to_envoy(full), 7) == encoded(tunnel_to_envoy(plain), 7));
}

TEST_CASE("7 to 8: aborts gain a reason") {
  const to_rivet_response_abort response{{http_stream_abort_reason_kind::handler_error, "d"}};
  const to_envoy_request_abort request{
      actor_id{"a"}, 2, {http_stream_abort_reason_kind::cancelled, {}}};
  is(tunnel_to_rivet(response),
     8,
     to_rivet_tunnel +
         "02"
         "02"
         "010164");
  is(tunnel_to_envoy(request),
     8,
     to_envoy_tunnel +
         "02"
         "010161"
         "0102000000"
         "01"
         "00");
  for (std::uint16_t v = 3; v <= 7; ++v) {
    CHECK(encoded(tunnel_to_rivet(response), v) == to_rivet_tunnel + "02");
    CHECK(encoded(tunnel_to_envoy(request), v) == to_envoy_tunnel + "02");
    is(tunnel_to_rivet(to_rivet_response_abort{}), v, to_rivet_tunnel + "02");
    is(tunnel_to_envoy(to_envoy_request_abort{}), v, to_envoy_tunnel + "02");
  }
}

TEST_CASE("7 to 8: window updates and cancels are inserted, WebSocket kinds move") {
  const auto rivet = [](const auto& kind,
                        const std::string& before,
                        const std::string& after,
                        const std::string& rest) {
    for (std::uint16_t v = 3; v <= 8; ++v) {
      const auto& tag = v < 8 ? before : after;
      if (tag.empty()) {
        is_not_in(tunnel_to_rivet(kind), v);
      } else {
        is(tunnel_to_rivet(kind), v, to_rivet_tunnel + tag + rest);
      }
    }
  };
  rivet(
      to_rivet_response_start{200, {}, {}, false},
      "00",
      "00",
      "c800"
      "00"
      "00"
      "00");
  rivet(
      to_rivet_response_chunk{bytes{std::string_view{"x"}}, true},
      "01",
      "01",
      "0178"
      "01");
  rivet(to_rivet_request_body_window_update{5}, "", "03", "0500000000000000");
  rivet(to_rivet_request_body_cancel{}, "", "04", "");
  rivet(to_rivet_web_socket_open{true}, "03", "05", "01");
  rivet(
      to_rivet_web_socket_message{bytes{std::string_view{"x"}}, false},
      "04",
      "06",
      "0178"
      "00");
  rivet(to_rivet_web_socket_message_ack{258}, "05", "07", "0201");
  rivet(
      to_rivet_web_socket_close{1011, "r", true},
      "06",
      "08",
      "01f303"
      "010172"
      "01");
  const auto envoy = [](const auto& kind,
                        const std::string& before,
                        const std::string& after,
                        const std::string& rest) {
    for (std::uint16_t v = 3; v <= 8; ++v) {
      const auto& tag = v < 8 ? before : after;
      if (tag.empty()) {
        is_not_in(tunnel_to_envoy(kind), v);
      } else {
        is(tunnel_to_envoy(kind), v, to_envoy_tunnel + tag + rest);
      }
    }
  };
  envoy(
      to_envoy_request_chunk{bytes{std::string_view{"x"}}, true},
      "01",
      "01",
      "0178"
      "01");
  envoy(to_envoy_request_body_cancel{}, "", "03", "");
  envoy(to_envoy_response_body_window_update{5}, "", "04", "0500000000000000");
  envoy(
      to_envoy_web_socket_message{bytes{std::string_view{"x"}}, true},
      "04",
      "06",
      "0178"
      "01");
  envoy(
      to_envoy_web_socket_close{{}, {}},
      "05",
      "07",
      "00"
      "00");
}

TEST_CASE("7 to 8: a WebSocket open gains the generation") {
  const to_envoy_web_socket_open x{actor_id{"a"}, {}, "/", {}};
  for (std::uint16_t v = 3; v <= 7; ++v)
    is(tunnel_to_envoy(x),
       v,
       to_envoy_tunnel +
           "03"
           "0161"
           "012f"
           "00");
  is(tunnel_to_envoy(x),
     8,
     to_envoy_tunnel +
         "05"
         "0161"
         "00"
         "012f"
         "00");
  auto y = x;
  y.actor_generation = 1;
  is(tunnel_to_envoy(y),
     8,
     to_envoy_tunnel +
         "05"
         "0161"
         "0101000000"
         "012f"
         "00");
  CHECK(encoded(tunnel_to_envoy(y), 7) == encoded(tunnel_to_envoy(x), 7));
}

TEST_CASE("3 to 8: JSON of every vector that a version can say comes back from it") {
  for (const auto& c : all_vectors())
    for (std::uint16_t v = 3; v <= 8; ++v) {
      CAPTURE(c.name);
      CAPTURE(v);
      const auto check = [&](const auto& x, auto decode, auto from_json) {
        const auto raw = encode(x, v);
        if (!raw) {
          CHECK(raw.error().code == errc::not_in_version);
          return;
        }
        const auto y = decode(bytes{*raw}, v);
        REQUIRE(y.ok());
        const auto z = from_json(to_json(*y, v), v);
        REQUIRE(z.ok());
        CHECK(*z == *y);
        CHECK(encoded(*z, v) == to_hex(*raw));
      };
      if (c.to_envoy) {
        check(*decode_to_envoy(frame(c.hex), 8), decode_to_envoy, to_envoy_from_json);
      } else {
        check(*decode_to_rivet(frame(c.hex), 8), decode_to_rivet, to_rivet_from_json);
      }
    }
}

// -- a field that must not be dropped: no message has one today ---------------------------------

struct careful {
  std::uint16_t old = 0;
  std::uint16_t fresh = 7;
  std::uint16_t told = 0;

  static constexpr auto wire = nuncio::wire::record(
      "Careful",
      nuncio::wire::field("old", &careful::old),
      nuncio::wire::field("fresh", &careful::fresh, nuncio::wire::since(5)),
      nuncio::wire::field("told", &careful::told, nuncio::wire::since_droppable(6)));
};

TEST_CASE(
    "a field may be left out at its default, when droppable always, otherwise it is "
    "not_in_version") {
  const auto at = [](const careful& x, std::uint16_t version) -> std::string {
    std::vector<std::uint8_t> out;
    bare::writer writer{out, version};
    writer.put(x);
    if (writer.error() == nullptr) return to_hex(out);
    CHECK(writer.error_is_of_version());
    return std::string{writer.error_at()} + ": " + writer.error();
  };
  CHECK(at({1, 7, 9}, 4) == "0100");
  CHECK(at({1, 8, 9}, 4) == "fresh: field is not in this protocol version");
  CHECK(at({1, 8, 9}, 5) == "01000800");
  CHECK(at({1, 8, 9}, 6) == "010008000900");
  bare::reader reader{frame("0100"), 4};
  const auto x = reader.get<careful>();
  reader.finish();
  CHECK(reader.error() == nullptr);
  CHECK(x.fresh == 7);
}

}  // namespace
}  // namespace nuncio::test
