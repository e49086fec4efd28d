// The object behind a `connection`. Made by the host, or by an instance that continues with it; the instance's handlers own it
// from then on. Other threads read the const members, and post everything else. Pure.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <nuncio/connection/link_port.hpp>
#include <nuncio/instances/instance_base.hpp>
#include <nuncio/tunnel/socket_exchange.hpp>
#include <nuncio/tunnel/socket_head.hpp>
#include <nuncio/tunnel/waiting_room.hpp>

namespace nuncio::internal {

/// What a WebSocket takes besides the text of its head: itself, its opening and its close in a mailbox. Rounded up.
inline constexpr std::size_t socket_bytes = 512;

struct socket : std::enable_shared_from_this<socket> {
  socket(
      const socket_session& begun, std::uint64_t attempt, std::shared_ptr<const instance_base> of)
      : session(begun), ticket(attempt), context(std::move(of)) {}

  ~socket() {
    if (heads) heads->give_back(head_cost());
  }

  socket(const socket&) = delete;
  socket& operator=(const socket&) = delete;

  /// What this takes as long as it exists, whoever keeps it: also in a mailbox, until the instance has passed over it.
  [[nodiscard]] std::size_t head_cost() const { return head.size() + socket_bytes; }

  /// Called by the instance to accept an opening, or by the host to refuse it after its time limit: the first call, on
  /// whichever thread, wins.
  /// @returns false if the other one was first
  bool claim_opening() { return !answered.exchange(true); }

  // -- the instance's handlers only
  socket_session session;
  bytes state;  ///< a copy of its own: the original may be a small part of a frame
  std::uint64_t accepted_ms = 0;  ///< wall clock, Unix time
  output_meter unsent = 0;        ///< the link subtracts, too

  // -- constant once a handler has seen it
  std::uint64_t ticket;
  std::shared_ptr<const instance_base> context;
  socket_head head;

  // -- the host
  std::shared_ptr<waiting_pool> heads;  ///< counts head_cost(); null while nothing does

  // -- shared: the host adds, the instance takes away
  waiting_share waiting;  ///< of messages that no handler has had yet
  std::atomic<bool> answered =
      false;  ///< the answer to its opening is being sent; see claim_opening()
  std::atomic<bool> repeated = false;  ///< the instance must be told that a message was repeated
};

using socket_ptr = std::shared_ptr<socket>;

}  // namespace nuncio::internal
