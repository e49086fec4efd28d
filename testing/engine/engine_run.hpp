// One life of the dev engine, from start to stop: combines core, gateway, API, store and faults. All of it runs on the web
// server's thread, except the constructor and prepare(), which run before that thread starts.
#pragma once

#include <chrono>
#include <functional>
#include <nuncio/testing/dev_engine.hpp>
#include <random>

#include "api_error.hpp"
#include "api_routes.hpp"
#include "engine_core.hpp"
#include "envoy_link.hpp"
#include "fault_plan.hpp"
#include "gateway.hpp"
#include "random_id.hpp"
#include "state_store.hpp"
#include "storage_answers.hpp"
#include "web.hpp"

namespace nuncio::testing::engine {

/// The wall clock at the start, steady from then on.
class steady_wall_clock {
public:
  [[nodiscard]] millis now() const {
    const auto passed = std::chrono::steady_clock::now() - steady_;
    return wall_ + std::chrono::duration_cast<std::chrono::milliseconds>(passed).count();
  }

private:
  std::chrono::steady_clock::time_point steady_ = std::chrono::steady_clock::now();
  millis wall_ = std::chrono::duration_cast<std::chrono::milliseconds>(
                     std::chrono::system_clock::now().time_since_epoch())
                     .count();
};

/// One life of the engine, from start to stop: everything that the server's thread owns.
class engine_run final : public web_handler {
public:
  /// @param clock  the time for everything, since the Unix epoch; never goes back
  engine_run(
      const dev_engine_options& options,
      std::uint64_t seed,
      std::unique_ptr<state_store> store,
      std::function<millis()> clock = [from = steady_wall_clock{}] { return from.now(); })
      : options_(options),
        clock_(std::move(clock)),
        random_(seed),
        core_(options.limits, seed + 1),
        gateway_(
            core_,
            options.limits,
            options.streaming,
            seed + 2,
            [this](connection_id c, protocol::to_envoy_tunnel_message m) {
              return deliver(c, std::move(m));
            },
            [this](connection_id c) { return flow_of(c); },
            [this] { return now(); }),
        storage_(core_),
        api_(core_, options.reported_protocol_version),
        faults_(seed + 3),
        store_(std::move(store)) {}

  outcome<void> prepare();

  void set_url(std::string url) { api_.set_url(std::move(url)); }

  /// Tells all envoys that the engine ends. Calls `when_gone`, once, when the last has left.
  void go_away(std::function<void()> when_gone);

  void inject(const fault& f);

  void clear_faults() { faults_.clear(); }

  [[nodiscard]] dev_engine_stats stats() const;

  /// The data that an actor has stored.
  [[nodiscard]] const actor_storage& stored(const actor_id& actor) const;

  // -- web_handler --

  void on_request(http_request request, std::shared_ptr<http_responder> responder) override;

  [[nodiscard]] bool wants_parts(std::string_view target) const override;

  void on_socket(http_request request, std::shared_ptr<web_socket> socket) override;

  void on_tick() override;

private:
  [[nodiscard]] millis now() const { return clock_(); }

  void refuse(web_socket& socket, const std::string& reason);

  void accept_envoy(const std::string& target, std::shared_ptr<web_socket> socket);

  void forget(std::optional<connection_id> id);

  void receive(connection_id id, const bytes& frame, bool binary);

  void dispatch(connection_id id, const protocol::to_rivet& message);

  /// Saves, then carries out the core's effects, until nothing is left.
  void pump();

  void say_trouble(const std::string& what) const;

  void save();

  /// Sends a frame, subject to the faults. False if there is no such connection.
  bool deliver(connection_id id, protocol::to_envoy message);

  [[nodiscard]] std::optional<socket_flow> flow_of(connection_id id) const;

  /// Known only when it is sent: sockets come and go while a command waits.
  void name_hibernating(protocol::to_envoy_commands& frame) const;

  void flush(envoy_link& link);

  void cut(connection_id id, cut_kind how);

  void shut(connection_id id, std::uint16_t code, const std::string& reason);

  void apply_due_faults();

  static bytes garbage() { return bytes{std::vector<std::uint8_t>{0xff, 0xfe, 0xfd, 0x00, 0x01}}; }

  http_reply control(const http_request& request);

  [[nodiscard]] nlohmann::ordered_json stats_json() const;

  dev_engine_options options_;
  std::function<millis()> clock_;
  std::mt19937_64 random_;
  engine_core core_;
  gateway gateway_;
  storage_requests storage_;
  engine_api api_;
  fault_plan faults_;
  std::unique_ptr<state_store> store_;
  std::map<connection_id, envoy_link> links_;
  std::function<void()> when_gone_;  ///< while ending: called when no link is left
  connection_id last_connection_ = 0;
  dev_engine_stats stats_;
};

}  // namespace nuncio::testing::engine
