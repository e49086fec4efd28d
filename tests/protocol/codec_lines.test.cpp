// `nuncio codec`: one output line for each input line, whatever the input.
#include <doctest/doctest.h>

#include <line_codec.hpp>
#include <sstream>

#include "protocol/vectors.hpp"

namespace nuncio::test {
namespace {

using tools::codec_options;
using direction = codec_options::direction;
using message = codec_options::message;

struct ran {
  int status;
  std::string out;
  std::string err;
};

ran run(const codec_options& options, const std::string& input) {
  std::istringstream in{input};
  std::ostringstream out;
  std::ostringstream err;
  const auto status = tools::run_codec(options, in, out, err);
  return {status, out.str(), err.str()};
}

TEST_CASE("all vectors through the codec, both ways, in one run each") {
  for (const auto type : {message::to_rivet, message::to_envoy}) {
    std::string json;
    std::string hex;
    for (const auto& c :
         load_vectors(type == message::to_rivet ? "torivet.json" : "toenvoy.json")) {
      json += c.json + "\n";
      hex += c.hex + "\n";
    }
    const auto encoded = run({direction::encode, type, 8}, json);
    CHECK(encoded.status == 0);
    CHECK(encoded.out == hex);
    const auto decoded = run({direction::decode, type, 8}, hex);
    CHECK(decoded.status == 0);
    CHECK(decoded.out == json);
    CHECK(decoded.err.empty());
  }
}

TEST_CASE("a line that can't be converted becomes one error line, and the rest goes on") {
  const auto x = run({direction::decode, message::to_rivet, 8}, "03\nzz\n030\n\n0300\n03\n");
  CHECK(x.status == 1);
  CHECK(
      x.out ==
      "{\"tag\":\"ToRivetStopping\",\"val\":null}\n"
      "error: column 1: not a hex digit\n"
      "error: column 3: incomplete byte\n"
      "error: offset 0: truncated\n"
      "error: offset 1: trailing bytes\n"
      "{\"tag\":\"ToRivetStopping\",\"val\":null}\n");
  const auto y =
      run({direction::encode, message::to_rivet, 8},
          "{\n{\"tag\":\"A\\nB\",\"val\":null}\n{\"tag\":\"ToRivetStopping\",\"val\":null}\n");
  CHECK(y.status == 1);
  CHECK(y.out.starts_with("error: offset "));
  CHECK(y.out.ends_with("\nerror: at the top: unknown tag 'A B'\n03\n"));
}

TEST_CASE("negative vectors are error lines") {
  for (const auto& c : load_vectors("negative.json")) {
    CAPTURE(c.name);
    const auto type = c.to_envoy ? message::to_envoy : message::to_rivet;
    const auto x = run({direction::decode, type, 8}, c.hex + "\n");
    CHECK(x.status == 1);
    CHECK(x.out.starts_with("error: offset "));
  }
}

TEST_CASE("versions, upper case, line ends and a last line without one") {
  const std::string exec =
      R"({"tag":"ToRivetSqliteExecRequest","val":{"requestId":1,"namespaceId":"","data":null}})";
  CHECK(
      run({direction::decode, message::to_rivet, 6}, "04FFFFFFFFFFFFFFFF\r\n03").out ==
      "{\"tag\":\"ToRivetPong\",\"val\":{\"ts\":\"-1\"}}\n{\"tag\":\"ToRivetStopping\",\"val\":"
      "null}\n");
  CHECK(run({direction::encode, message::to_rivet, 6}, exec).status == 1);
  const auto late = run(
      {direction::encode, message::to_envoy, 6},
      R"({"tag":"ToEnvoySqliteCommitStageBeginResponse","val":{"requestId":1,"data":{"tag":"SqliteCommitStageBeginOk","val":{"txid":"1"}}}})");
  CHECK(late.status == 1);
  CHECK(late.out.find("not in this protocol version") != std::string::npos);
  CHECK(run({direction::encode, message::to_rivet, 8}, "").status == 0);
  const auto wrong = run({direction::encode, message::to_rivet, 9}, "{}\n");
  CHECK(wrong.status == 2);
  CHECK(wrong.out.empty());
  CHECK(wrong.err.find("3 to 8") != std::string::npos);
}

}  // namespace
}  // namespace nuncio::test
