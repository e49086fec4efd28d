// The clients of a run, and the gateway that speaks for them: HTTP requests, whole or in pieces, some of which are abandoned;
// WebSockets on which they send numbers. Judges what they receive. A pure model; never looks into the host.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nuncio/ids.hpp>
#include <nuncio/messages.hpp>
#include <string>

#include "simulation/scheduler.hpp"

namespace nuncio::simulation {

/// What was seen of clients, of one run or of many.
struct client_tally {
  std::uint64_t answered = 0;     ///< requests, with a response
  std::uint64_t sent_back = 0;    ///< with an abort: the gateway would ask the next generation
  std::uint64_t given_up = 0;     ///< by the client
  std::uint64_t in_pieces = 0;    ///< whose bodies came in pieces
  std::uint64_t accepted = 0;     ///< WebSockets
  std::uint64_t closed_here = 0;  ///< by the host
  std::uint64_t said = 0;         ///< numbers that were sent on them

  void add(const client_tally& x);
};

class gateway_model {
public:
  struct ports {
    std::function<void(protocol::to_envoy)> send;  ///< on the present connection
    std::function<void(const char* check, const std::string&)> violated;
  };

  gateway_model(scheduler& time, chance& random, ports to)
      : time_(time), random_(random), to_(std::move(to)) {}

  // -- clients come
  void request(const actor_ref& who);
  void open(const actor_ref& who);

  // -- the host's word, on that connection
  void handle(std::uint64_t connection, const protocol::to_rivet_tunnel_message& message);

  /// From here on whoever asks is answered.
  void handle_calm() { calm_ = true; }

  /// Every request of the calm time was answered, one way or the other.
  void check_answered() const;

  [[nodiscard]] const client_tally& tally() const { return tally_; }

  static exchange_id exchange(std::uint32_t number);
  static std::uint32_t number(const request_id& id);

private:
  struct client {
    actor_ref who;
    bool socket = false;
    bool calm = false;      ///< asked in the calm time
    bool gone = false;      ///< has given up, or was told the end
    bool accepted = false;  ///< its WebSocket
    std::uint32_t responses = 0, aborts = 0;
    std::uint16_t next_index = 1;
    std::uint32_t pieces = 0, said = 0;
    /// By its index and what it is: the connection that brought it.
    std::map<std::pair<std::uint16_t, std::size_t>, std::uint64_t> heard{};
  };

  void send(std::uint32_t n, std::uint16_t index, protocol::to_envoy_tunnel_message_kind kind);
  void send_piece(std::uint32_t n);
  void give_up(std::uint32_t n);
  void say(std::uint32_t n);
  bool is_new(std::uint64_t connection, client& x, const protocol::to_rivet_tunnel_message& what);
  void handle_answer(std::uint32_t n, client& x, bool response);

  scheduler& time_;
  chance& random_;
  ports to_;
  std::map<std::uint32_t, client> clients_;
  std::uint32_t last_ = 0;
  bool calm_ = false;
  client_tally tally_;
};

}  // namespace nuncio::simulation
