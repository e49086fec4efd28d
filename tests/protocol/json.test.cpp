// JSON errors name a place: the offset of invalid JSON, or the pointer to a value that does not fit.
#include <doctest/doctest.h>

#include <nuncio/json.hpp>

#include "protocol/vectors.hpp"

namespace nuncio::test {
namespace {

std::string rivet_json_error(std::string_view json, std::uint16_t version = 8) {
  const auto x = protocol::to_rivet_from_json(json, version);
  return x ? "accepted" : x.error().message;
}

bool starts(const std::string& x, std::string_view with) {
  CAPTURE(x);
  return x.starts_with(with);
}

TEST_CASE("invalid JSON is an error with its offset") {
  CHECK(starts(rivet_json_error(""), "offset 1: not JSON"));
  CHECK(starts(rivet_json_error("{\"tag\":,}"), "offset 8: not JSON"));
  CHECK(starts(rivet_json_error("{} {}"), "offset 4: not JSON"));
  CHECK(starts(rivet_json_error("\"\xff\""), "offset 2: not JSON"));
  CHECK(starts(rivet_json_error(std::string(100000, '[')), "offset 100001: not JSON"));
}

TEST_CASE("a value that does not fit is an error with its pointer") {
  CHECK(rivet_json_error("[]") == "at the top: expected {\"tag\", \"val\"}");
  CHECK(rivet_json_error(R"({"tag":"Nope","val":null})") == "at the top: unknown tag 'Nope'");
  CHECK(
      rivet_json_error(R"({"tag":"ToRivetPong","val":{"ts":1}})") ==
      "at /val/ts: expected a 64-bit integer as a decimal string");
  CHECK(starts(rivet_json_error(R"({"tag":"ToRivetPong","val":{"ts":"1x"}})"), "at /val/ts: '1x'"));
  CHECK(starts(rivet_json_error(R"({"tag":"ToRivetPong","val":{"ts":"+1"}})"), "at /val/ts:"));
  CHECK(starts(rivet_json_error(R"({"tag":"ToRivetPong","val":{"ts":" 1"}})"), "at /val/ts:"));
  CHECK(starts(
      rivet_json_error(R"({"tag":"ToRivetPong","val":{"ts":"9223372036854775808"}})"),
      "at /val/ts:"));
  CHECK(rivet_json_error(R"({"tag":"ToRivetPong","val":{}})") == "at /val: ToRivetPong lacks 'ts'");
  CHECK(
      rivet_json_error(R"({"tag":"ToRivetPong","val":{"ts":"1","more":1}})") ==
      "at /val: ToRivetPong has a field that it does not know");
  CHECK(starts(rivet_json_error(R"({"tag":"ToRivetStopping","val":1})"), "at /val: "));
  CHECK(starts(
      rivet_json_error(
          R"({"tag":"ToRivetAckCommands","val":{"lastCommandCheckpoints":[{"actorId":"a","generation":4294967296,"index":"0"}]}})"),
      "at /val/lastCommandCheckpoints/0/generation: expected a number from 0 to 4294967295"));
  CHECK(starts(
      rivet_json_error(
          R"({"tag":"ToRivetAckCommands","val":{"lastCommandCheckpoints":[{"actorId":"a","generation":-1,"index":"0"}]}})"),
      "at /val/lastCommandCheckpoints/0/generation:"));
}

std::string with_kind(std::string_view id, std::string_view kind) {
  return R"({"tag":"ToRivetTunnelMessage","val":{"messageId":{"gatewayId":")" + std::string{id} +
         R"(","requestId":"00000000","messageIndex":0},"messageKind":)" + std::string{kind} + "}}";
}

TEST_CASE("hex, maps, enums and bools are checked") {
  const std::string open = R"({"tag":"ToRivetWebSocketOpen","val":{"canHibernate":true}})";
  CHECK(rivet_json_error(with_kind("00000000", open)) == "accepted");
  for (const auto* id : {"0", "000000", "0000000000", "0000000g", "AA000000"})
    CHECK(starts(rivet_json_error(with_kind(id, open)), "at /val/messageId/gatewayId: expected"));
  CHECK(
      rivet_json_error(
          with_kind("00000000", R"({"tag":"ToRivetWebSocketOpen","val":{"canHibernate":1}})")) ==
      "at /val/messageKind/val/canHibernate: expected true or false");
  CHECK(starts(
      rivet_json_error(with_kind(
          "00000000",
          R"({"tag":"ToRivetResponseAbort","val":{"reason":{"kind":"WHY","detail":null}}})")),
      "at /val/messageKind/val/reason/kind: expected one of UNKNOWN, CANCELLED"));
  const auto start = [](std::string_view headers) {
    return with_kind(
        "00000000",
        R"({"tag":"ToRivetResponseStart","val":{"status":200,"headers":)" + std::string{headers} +
            R"(,"body":null,"stream":false}})");
  };
  CHECK(rivet_json_error(start(R"([["a","1"],["b","1"]])")) == "accepted");
  CHECK(
      rivet_json_error(start(R"([["a","1"],["a","2"]])")) ==
      "at /val/messageKind/val/headers: duplicate map key");
  CHECK(
      rivet_json_error(start(R"([["a"]])")) ==
      "at /val/messageKind/val/headers/0: expected [key, value]");
  CHECK(
      rivet_json_error(start(R"({})")) ==
      "at /val/messageKind/val/headers: expected an array of [key, value]");
  CHECK(
      rivet_json_error(start(R"([["a",1]])")) ==
      "at /val/messageKind/val/headers/0/1: expected a string");
}

TEST_CASE("a duplicate name in an object is an error") {
  CHECK(
      rivet_json_error(R"({"tag":"ToRivetPong","val":{"ts":"1","ts":"2"}})") ==
      "'ts' stands twice in one object");
}

TEST_CASE("fields that a version lacks are not printed and need not be there") {
  const auto x = tunnel_to_envoy(protocol::to_envoy_request_abort{});
  CHECK(protocol::to_json(x, 7).find(R"("val":null)") != std::string::npos);
  CHECK(protocol::to_json(x, 8).find("UNKNOWN") != std::string::npos);
  const auto y = protocol::to_envoy_from_json(protocol::to_json(x, 7), 7);
  REQUIRE(y.ok());
  CHECK(*y == x);
}

TEST_CASE("control characters and quotes in text survive") {
  const protocol::to_envoy x = protocol::to_envoy_kv_response{
      1, protocol::kv_error_response{text{std::string{"\0\n\"\\\x7f\xe2\x82\xac", 8}}}};
  const auto line = protocol::to_json(x, 8);
  CHECK(line.find('\n') == std::string::npos);
  CHECK(*protocol::to_envoy_from_json(line, 8) == x);
}

}  // namespace
}  // namespace nuncio::test
