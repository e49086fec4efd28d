// The dev engine's state: namespaces, pools, envoys, actors, unacked commands. Plain values; engine thread.
#pragma once

#include <cstdint>
#include <map>
#include <nuncio/ids.hpp>
#include <nuncio/messages.hpp>
#include <nuncio/testing/engine_limits.hpp>
#include <optional>
#include <string>
#include <vector>

namespace nuncio::testing::engine {

/// Identifies one connection as long as the engine runs; 0 is none.
using connection_id = std::uint64_t;

enum class actor_phase : std::uint8_t {
  allocating,  ///< wants an envoy and there is none
  starting,    ///< Start sent
  running,
  sleep_intent,  ///< Stop(SLEEP_INTENT) sent; the next three likewise
  stop_intent,
  going_away,
  destroying,
  sleeping,
  destroyed
};

enum class actor_error : std::uint8_t {
  none,
  no_envoys,
  no_capacity,
  crashed,                ///< detail: its message
  envoy_connection_lost,  ///< detail: the envoy key
  envoy_no_response
};

struct actor_record {
  actor_id id;
  std::string namespace_name;
  std::string name;
  std::optional<std::string> key;
  std::string pool;
  std::optional<bytes> input;

  actor_phase phase = actor_phase::allocating;
  std::uint32_t generation = 0;
  std::int64_t last_command = 0;
  std::string envoy;  ///< key of the envoy that hosts this generation
  std::int64_t last_event = -1;
  std::int64_t last_event_acked = -1;
  std::optional<millis> alarm;
  bool wake_wanted = false;     ///< a request came while it was going to sleep
  bool destroy_wanted = false;  ///< deleted while starting
  actor_error error = actor_error::none;
  std::string error_detail;

  millis create_ts = 0;
  std::optional<millis> start_ts;
  std::optional<millis> pending_allocation_ts;
  std::optional<millis> connectable_ts;
  std::optional<millis> sleep_ts;
  std::optional<millis> reschedule_ts;
  std::optional<millis> destroy_ts;

  millis phase_deadline = 0;  ///< start, stop or allocation retry; 0: none
  millis lost_check = 0;      ///< next judgement; 0: none
  millis retry_delay = 0;
  millis allocating_since = 0;
  millis deadline = 0;  ///< its key in the timer index; 0: not in it
};

struct namespace_record {
  std::string id;
  std::string name;
  std::string display_name;
  millis create_ts = 0;
};

struct pool_record {
  std::string namespace_name;
  std::string name;
  std::optional<std::uint16_t> protocol_version;  ///< of the first envoy that connected
};

struct envoy_record {
  std::string namespace_name;
  std::string key;
  std::string pool;
  std::uint32_t version = 0;
  std::uint16_t protocol_version = 0;
  connection_id connection = 0;
  bool stopping = false;
  std::string metadata = "{}";
  millis create_ts = 0;
  millis last_ping_ts = 0;
  millis last_pong_ts = 0;
  millis last_connected_ts = 0;
  millis next_ping = 0;
  millis last_rtt = 0;
};

/// Unacked commands of one envoy key: by instance, then by index.
using command_store = std::map<actor_ref, std::map<std::int64_t, protocol::command>>;

struct engine_state {
  std::map<std::string, namespace_record> namespaces;                // by name
  std::map<std::pair<std::string, std::string>, pool_record> pools;  // namespace, pool
  std::map<std::string, envoy_record> envoys;                        // by key
  std::map<std::string, command_store> commands;                     // by envoy key
  std::map<actor_id, actor_record> actors;
  std::map<std::pair<std::string, std::string>, std::string>
      actor_names;  // namespace, name: metadata
};

}  // namespace nuncio::testing::engine
