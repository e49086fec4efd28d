// What stands behind a `connection`. Made by the host, or by an instance that goes on with it; the instance's handlers own it
// from then on: other threads read what is const, and post the rest. Pure.
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

/// What a WebSocket takes beside the text of its head: itself, its opening and its close in a mailbox. Rounded up.
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

  /// What this takes while it is there, whoever keeps it: in a mailbox, too, until the instance has passed over it.
  [[nodiscard]] std::size_t head_cost() const { return head.size() + socket_bytes; }

  /// The instance accepts an opening, or the host refuses it once its time is over: who comes first, in whatever thread, speaks.
  /// @returns false if the other one has
  bool claim_opening() { return !answered.exchange(true); }

  // -- the instance's handlers only
  socket_session session;
  bytes state;  ///< a copy of its own: what it was given may be a small part of a frame
  std::uint64_t accepted_ms = 0;  ///< wall clock, Unix time
  output_meter unsent = 0;        ///< the link takes away, too

  // -- const once a handler has seen it
  std::uint64_t ticket;
  std::shared_ptr<const instance_base> context;
  socket_head head;

  // -- the host
  std::shared_ptr<waiting_pool> heads;  ///< where head_cost() is counted; null while it is not

  // -- shared: the host adds, the instance takes away
  waiting_share waiting;  ///< of messages that no handler has had yet
  std::atomic<bool> answered =
      false;  ///< somebody's word on its opening goes out; see claim_opening()
  std::atomic<bool> repeated = false;  ///< the instance is to hear that a message has come again
};

using socket_ptr = std::shared_ptr<socket>;

}  // namespace nuncio::internal
