// The engine's numbers at the ends of their ranges: numbers in range stay, others are moved to where the table says, and
// nothing that uses them overflows.
#include <doctest/doctest.h>

#include <limits>
#include <nuncio/connection/lease.hpp>
#include <nuncio/connection/wire_limits.hpp>
#include <nuncio/tunnel/http_exchange.hpp>

namespace wire_limits_test {

using namespace nuncio;
using namespace std::chrono_literals;

namespace {

constexpr auto lowest = std::numeric_limits<std::int64_t>::min();
constexpr auto highest = std::numeric_limits<std::int64_t>::max();
constexpr auto highest_unsigned = std::numeric_limits<std::uint64_t>::max();

template <class T>
T kept(T x) {
  protocol::to_envoy whole{std::move(x)};
  keep_in_range(whole);
  return std::get<T>(std::move(whole));
}

protocol::protocol_metadata init(std::int64_t threshold, std::uint64_t payload) {
  return kept(protocol::to_envoy_init{{threshold, 0, payload}}).metadata;
}

// (as it comes, as it is kept)
constexpr std::pair<engine_ms, engine_ms> times[] = {
    {lowest, 0},
    {-1, 0},
    {0, 0},
    {1, 1},
    {engine_ms_max, engine_ms_max},
    {engine_ms_max + 1, engine_ms_max},
    {highest, engine_ms_max}};

}  // namespace

TEST_CASE("1.4: times are 0 to the year 2223") {
  for (const auto& [comes, is] : times) {
    CAPTURE(comes);
    CHECK(kept(protocol::to_envoy_ping{comes}).ts == is);

    protocol::command_start_actor start;
    start.config.create_ts = comes;
    start.preloaded_kv.emplace().entries.emplace_back().metadata.update_ts = comes;
    protocol::to_envoy_commands commands;
    commands.commands.push_back({{}, start});
    commands.commands.push_back({{}, protocol::command_stop_actor{}});
    const auto after = kept(std::move(commands));
    const auto& kept_start = std::get<protocol::command_start_actor>(after.commands[0].inner);
    CHECK(kept_start.config.create_ts == is);
    CHECK(kept_start.preloaded_kv->entries[0].metadata.update_ts == is);

    protocol::kv_get_response got;
    got.metadata.push_back({{}, comes});
    protocol::kv_list_response listed;
    listed.metadata.push_back({{}, comes});
    const auto get = kept(protocol::to_envoy_kv_response{0, got});
    CHECK(std::get<protocol::kv_get_response>(get.data).metadata[0].update_ts == is);
    const auto list = kept(protocol::to_envoy_kv_response{0, listed});
    CHECK(std::get<protocol::kv_list_response>(list.data).metadata[0].update_ts == is);
  }
}

TEST_CASE("1.4: a lost threshold is 1 ms to a day") {
  for (const auto& [comes, is] :
       {std::pair{lowest, lost_threshold_ms_usual},
        std::pair{std::int64_t{-1}, lost_threshold_ms_usual},
        std::pair{std::int64_t{0}, lost_threshold_ms_usual},
        std::pair{std::int64_t{1}, std::int64_t{1}},
        std::pair{lost_threshold_ms_max, lost_threshold_ms_max},
        std::pair{lost_threshold_ms_max + 1, lost_threshold_ms_max},
        std::pair{std::int64_t{18'000'000'000'000'000}, lost_threshold_ms_max},
        std::pair{highest, lost_threshold_ms_max}}) {
    CAPTURE(comes);
    CHECK(init(comes, 1).envoy_lost_threshold == is);
  }
}

TEST_CASE("1.4: the longest response is 1 byte to 31 MiB, and a response of any gateway has room") {
  for (const auto& [comes, is] :
       {std::pair{std::uint64_t{0}, response_bytes_usual},
        std::pair{std::uint64_t{1}, std::uint64_t{1}},
        std::pair{response_bytes_limit, response_bytes_limit},
        std::pair{response_bytes_limit + 1, response_bytes_limit},
        std::pair{highest_unsigned, response_bytes_limit}}) {
    CAPTURE(comes);
    const auto most = init(1, comes).max_response_payload_size;
    CHECK(most == is);
    http_exchange x{exchange_id{}, {.response_bytes_max = most}};
    protocol::to_envoy_request_start start;
    x.handle_request_start(0, start);
    protocol::to_rivet_response_start head;
    head.status = 200;
    REQUIRE(x.begin(head).ok());
    CHECK(x.room() == most + 1);
  }
}

TEST_CASE("1.4: a lease and a clock of numbers in range overflow nothing") {
  constexpr time_point now{24h * 365 * 30};  // of a machine that has been up for long
  for (const auto& first : times)
    for (const auto& second : times)
      for (const auto threshold : {std::int64_t{1}, lost_threshold_ms_usual, highest}) {
        lease x;
        x.handle_init(std::chrono::milliseconds{init(threshold, 1).envoy_lost_threshold});
        x.handle_ping(first.second, now);
        CHECK(x.end() > now);
        x.handle_ping(second.second, now + 1s);
        x.handle_ping(second.second, now + 2s);
        REQUIRE(x.clock().age(0, now + 2s).has_value());
        CHECK(*x.clock().age(0, now + 2s) >= *x.clock().age(engine_ms_max, now + 2s));
      }
}

}  // namespace wire_limits_test
