// How fast messages are decoded and encoded: the ones that every request and every replay pays for.
#include <benchmark/benchmark.h>

#include <nuncio/codec.hpp>
#include <nuncio/json.hpp>
#include <string>

namespace {

using namespace nuncio;
using namespace nuncio::protocol;

const actor_id id{"1kr6kjey3m3fxg8md7108gvl5pbl00"};

wire::map_of<text, text> headers(int count) {
  wire::map_of<text, text> out;
  for (int i = 0; i < count; ++i)
    out.entries.emplace_back("x-header-name-" + std::to_string(i), "a value of common length");
  return out;
}

to_envoy request_start() {
  return to_envoy_tunnel_message{
      {},
      to_envoy_request_start{
          id,
          1,
          "POST",
          "/request/increment",
          headers(12),
          bytes{std::string_view{"{}"}},
          false,
          false}};
}

to_rivet response_start(std::size_t body_bytes) {
  return to_rivet_tunnel_message{
      {},
      to_rivet_response_start{
          200, headers(4), bytes{std::vector<std::uint8_t>(body_bytes)}, false}};
}

to_envoy starts(int count) {
  to_envoy_commands out;
  for (int i = 0; i < count; ++i)
    out.commands.push_back(
        {{id, 1, i}, command_start_actor{{"counter", text{"key"}, 1, {}}, {}, {}}});
  return out;
}

template <class Message, class Decode>
void decode(benchmark::State& state, const Message& x, Decode how) {
  const bytes frame{*encode(x, 8)};
  for (auto _ : state) {
    auto y = how(frame, 8);
    benchmark::DoNotOptimize(y);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(frame.size()));
}

template <class Message>
void encode_all(benchmark::State& state, const Message& x) {
  std::size_t size = 0;
  for (auto _ : state) {
    auto y = encode(x, 8, 16);
    size = y->size();
    benchmark::DoNotOptimize(y);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(size));
}

void codec_decode_request_start(benchmark::State& state) {
  decode(state, request_start(), decode_to_envoy);
}

void codec_encode_response_start(benchmark::State& state) {
  encode_all(state, response_start(static_cast<std::size_t>(state.range(0))));
}

void codec_decode_response_start(benchmark::State& state) {
  decode(state, response_start(static_cast<std::size_t>(state.range(0))), decode_to_rivet);
}

void codec_decode_commands(benchmark::State& state) {
  decode(state, starts(static_cast<int>(state.range(0))), decode_to_envoy);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void codec_encode_acks(benchmark::State& state) {
  to_rivet_ack_commands acks;
  for (int i = 0; i < state.range(0); ++i) acks.last_command_checkpoints.push_back({id, 1, i});
  encode_all(state, to_rivet{acks});
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void codec_json_of_request_start(benchmark::State& state) {
  const auto x = request_start();
  for (auto _ : state) {
    auto line = to_json(x, 8);
    benchmark::DoNotOptimize(line);
  }
}

BENCHMARK(codec_decode_request_start);
BENCHMARK(codec_encode_response_start)->Arg(200)->Arg(1 << 20);
BENCHMARK(codec_decode_response_start)->Arg(200)->Arg(1 << 20);
BENCHMARK(codec_decode_commands)->Arg(1)->Arg(1000);
BENCHMARK(codec_encode_acks)->Arg(1)->Arg(1000);
BENCHMARK(codec_json_of_request_start);

}  // namespace
