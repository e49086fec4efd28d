// The clients of a run, and the gateway that speaks for them: HTTP requests, whole or as streams, some of which are abandoned or
// asked again; WebSockets on which they send numbers. Judges what they receive. A pure model; never looks into the host.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <nuncio/ids.hpp>
#include <nuncio/messages.hpp>
#include <optional>
#include <string>

#include "simulation/client_rows.hpp"
#include "simulation/engine_model.hpp"
#include "simulation/scheduler.hpp"

namespace nuncio::simulation {

/// What was seen of clients, of one run or of many.
struct client_tally {
  std::uint64_t answered = 0;     ///< requests, with a response
  std::uint64_t sent_back = 0;    ///< with an abort: the gateway would ask the next generation
  std::uint64_t given_up = 0;     ///< by the client
  std::uint64_t accepted = 0;     ///< WebSockets
  std::uint64_t closed_here = 0;  ///< by the host
  std::uint64_t said = 0;         ///< numbers that were sent on them

  void add(const client_tally& x);
};

/// How the clients of a run behave; drawn from the seed.
struct client_habits {
  bool parts = false;        ///< handlers take bodies in parts, where the gateway sends them so
  bool long_ones = false;    ///< some bodies are longer than a window
  bool strict = false;       ///< see http_gateway::terms
  bool actors_stay = false;  ///< no actor sleeps of its own in the calm time
  std::size_t body_bytes_max = SIZE_MAX;
  bool resends = false;  ///< what is not acked comes again on a new connection, too
};

class gateway_model {
public:
  struct ports {
    std::function<void(protocol::to_envoy)> send;  ///< on the present connection
    std::function<void(const char* check, const std::string&)> violated;
    std::function<void(http_row, http_mode)> count;
    std::function<void(socket_row, bool hibernates)> count_socket;
    std::function<bool(const actor_ref&)> runs;  ///< whether this generation does
    std::function<void(const actor_id&)> wake;   ///< an actor that sleeps, for a client
    std::function<std::uint64_t(std::uint32_t client)>
        handled;  ///< the last message that was, with all before
  };

  gateway_model(scheduler& time, chance& random, ports to)
      : time_(time), random_(random), to_(std::move(to)) {}

  // -- clients come
  void request(const actor_ref& who);
  void open(const actor_ref& who);

  // -- actors come and go
  [[nodiscard]] std::vector<protocol::hibernating_request> hibernating(const actor_id& of) const;
  void handle_runs(const actor_ref& who);
  void handle_left(const actor_id& of, place now);
  void handle_connected();

  // -- the host's word, on that connection
  void handle(std::uint64_t connection, const protocol::to_rivet_tunnel_message& message);

  /// From here on whoever asks is answered.
  void handle_calm();

  /// Every request of the calm time was answered, one way or the other.
  void check_answered() const;

  [[nodiscard]] const client_tally& tally() const { return tally_; }

  client_habits habits;

  /// What a client has said.
  static std::uint64_t number_in(const bytes& said) {
    return said.empty() ? 0 : said.span().front();
  }

  static exchange_id exchange(std::uint32_t number);
  static std::uint32_t number(const request_id& id);

private:
  struct client {
    actor_ref who;
    bool socket = false;
    bool calm = false;      ///< asked in the calm time
    bool gone = false;      ///< has given up, or was told the end
    bool accepted = false;  ///< its WebSocket
    // requests
    client_request asked{};
    std::optional<http_gateway> http{};
    std::uint32_t attempts = 0;
    bool acting = false;
    bool slow = false;
    bool stalls = false;          ///< neither sends nor reads any more, at some time
    bool upload_stopped = false;  ///< by the client, in any attempt
    std::uint64_t begun_on = 0;   ///< the connection that brought the head of its response
    // WebSockets
    std::uint16_t first_index = 0;
    std::uint32_t said = 0;
    bool hibernates = false, awake = false;  ///< awake: its actor runs, and gets what it says
    std::deque<std::uint32_t> unacked{};
    /// By its index and what it is: the connection that brought it.
    std::map<std::pair<std::uint16_t, std::size_t>, std::uint64_t> heard{};
  };

  void send(std::uint32_t n, std::uint16_t index, protocol::to_envoy_tunnel_message_kind kind);
  void start(std::uint32_t n, client& x);
  void start_again(std::uint32_t n);
  void post(std::uint32_t n, to_host what);
  void act_later(std::uint32_t n, client& x);
  void act(std::uint32_t n);
  void spoil(std::uint32_t n, client& x);
  void leave(std::uint32_t n);
  void draw(client& x);
  std::size_t draw_size();
  void handle_http(
      std::uint64_t connection,
      std::uint32_t n,
      client& x,
      const protocol::to_rivet_tunnel_message& message);
  void handle_end(std::uint64_t connection, std::uint32_t n, client& x);
  void check_clean(const client& x) const;
  void check_calm(const client& x) const;
  [[noreturn]] void wrong(const client& x, const char* what) const;
  void say(std::uint32_t n);
  void say_now(std::uint32_t n);
  void send_number(std::uint32_t n, std::uint32_t number);
  void send_unacked(std::uint32_t n, client& x, socket_row why);
  static std::uint16_t index_of(const client& x, std::uint32_t number);
  void handle_ack(std::uint32_t n, client& x, std::uint16_t index);
  void check_acked_later(std::uint32_t n, std::uint32_t number);
  bool is_new(std::uint64_t connection, client& x, const protocol::to_rivet_tunnel_message& what);

  scheduler& time_;
  chance& random_;
  ports to_;
  std::map<std::uint32_t, client> clients_;
  std::uint32_t last_ = 0;
  bool calm_ = false;
  client_tally tally_;
};

}  // namespace nuncio::simulation
