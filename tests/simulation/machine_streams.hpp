// The HTTP requests of one instance of machine_host: drives http_exchange as an engine actor does (actors/nuncio/actor), with
// handlers that read and write as each client asks and as chance has it. Checks what the handlers see.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nuncio/connection/link_port.hpp>
#include <nuncio/host/host_messages.hpp>
#include <set>
#include <variant>

#include "simulation/client_request.hpp"
#include "simulation/oracle.hpp"

namespace nuncio::simulation {

class machine_streams : public std::enable_shared_from_this<machine_streams> {
public:
  using word = std::variant<
      internal::attempt_done,
      internal::response_waits,
      internal::response_begun,
      internal::upload_untouched>;

  /// All of it outlives the instance.
  struct surroundings {
    scheduler& time;
    chance& random;
    oracle& watch;
    link_port& link;
    const bool& calm;                ///< handlers are quick
    std::function<void(word)> tell;  ///< the host
  };

  machine_streams(surroundings x, std::shared_ptr<const instance_base> of)
      : to_(std::move(x)), of_(std::move(of)) {}

  // -- from the host, on the side of actors
  void handle(http_request& request);
  void handle(internal::exchange_input& what);
  void handle(internal::response_credited& what);
  void handle(internal::attempt_cancelled& what);
  void handle(internal::upload_over& what);
  void handle(internal::stream_quiet& what);
  void handle_room();

  /// The instance is down: complete responses go on without it, and all else fails.
  void handle_down(std::vector<internal::attempt_done>& answered);

private:
  struct attempt {
    attempt(const http_request& x, std::size_t response_bytes_max);

    http_request request;
    client_request asked;
    http_exchange exchange;
    body_check reads;
    bool claimed = false, reading = false, writing = false, crowded = false;
    std::uint64_t written = 0;
  };

  using attempt_ptr = std::shared_ptr<attempt>;

  void later(
      duration most, const attempt_ptr& x, void (machine_streams::*what)(const attempt_ptr&));
  attempt_ptr find(std::uint64_t ticket) const;
  void read_later(const attempt_ptr& x);
  void read(const attempt_ptr& x);
  void answer(const attempt_ptr& x);
  void respond(const attempt_ptr& x);
  void begin(const attempt_ptr& x);
  void write_later(const attempt_ptr& x);
  void write(const attempt_ptr& x);
  void advance(const attempt_ptr& x);
  void close(const attempt_ptr& x);
  void transmit_now(attempt& x);

  void count(http_row r, const attempt& x) { to_.watch.count(r, x.asked.mode); }

  surroundings to_;
  std::shared_ptr<const instance_base> of_;
  std::map<std::uint64_t, attempt_ptr> all_;
  std::set<std::uint64_t> cancelled_early_;
  std::uint64_t newest_ = 0;
  bool down_ = false;
};

}  // namespace nuncio::simulation
