// A game room that ticks: each client that connects to GATEWAY/websocket/?name=ann is a player on a line and sends "left" or
// "right"; twenty times a second everyone gets everyone's position. The message is built once for all clients. A room without
// players stops its clock and, after a while, sleeps.
//
//   nuncio engine & example_match --endpoint=http://127.0.0.1:6420
#include <caf/all.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <nuncio/host.hpp>
#include <nuncio/socket.hpp>

namespace {

using namespace std::chrono_literals;

struct config : caf::actor_system_config {
  config() {
    nuncio::recommended(*this);
    opt_group{custom_options_, "global"}
        .add(endpoint, "endpoint,e", "URL of the engine")
        .add(pool, "pool,p", "pool of this host");
  }

  std::string endpoint = "http://127.0.0.1:6420";
  std::string pool = "game";
};

class match_room : public nuncio::engine_actor {
public:
  using engine_actor::engine_actor;

  caf::behavior make_behavior() override {
    return {
        [this](nuncio::socket_opened& s) {
          if (players_.size() == 1000) {
            s.socket.refuse(4001, "this match is full");
            return;
          }
          if (!s.socket.accept()) return;
          players_[s.socket.id()] = {s.socket.query("name").value_or("somebody"), 0, 0};
          if (!std::exchange(ticking_, true)) schedule_tick();
        },
        [this](const nuncio::socket_message& m) {
          const auto at = players_.find(m.socket.id());
          if (at == players_.end()) return;
          if (m.text() == "left") at->second.speed = -1;
          if (m.text() == "right") at->second.speed = 1;
          if (m.text() == "stop") at->second.speed = 0;
        },
        [this](const nuncio::socket_closed& s) { players_.erase(s.socket.id()); },
        [this](caf::tick_atom) { tick(); },
        [this](const nuncio::http_request&) {
          return nuncio::http_response::text(
              std::to_string(players_.size()) + " players, tick " + std::to_string(n_));
        },
    };
  }

private:
  struct player {
    std::string name;
    int position = 0;
    int speed = 0;
  };

  void schedule_tick() {
    next_ = std::max(
        next_ + 50ms, caf::actor_clock::clock_type::now());  // no drift, and no rush after a pause
    scheduled_send(this, next_, caf::tick_atom_v);
  }

  void tick() {
    if (players_.empty()) {
      ticking_ = false;
      return;
    }
    ++n_;
    auto all = nlohmann::json::array();
    for (auto& [id, x] : players_) {
      x.position += x.speed;
      all.push_back({{"name", x.name}, {"at", x.position}});
    }
    broadcast(nuncio::text{nlohmann::json{{"tick", n_}, {"players", std::move(all)}}.dump(
        -1, ' ', false, nlohmann::json::error_handler_t::replace)});
    schedule_tick();
  }

  std::map<nuncio::exchange_id, player> players_;
  std::uint64_t n_ = 0;
  bool ticking_ = false;
  caf::actor_clock::time_point next_{};
};

void caf_main(caf::actor_system& system, const config& settings) {
  nuncio::host host{
      system, {.endpoint = settings.endpoint, .pool = settings.pool, .log = nuncio::stderr_log()}};
  host.serve<match_room>("match");
  host.run_until_signal();
}

}  // namespace

CAF_MAIN()
