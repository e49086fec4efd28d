// What is known about client WebSockets that no instance holds: those that an ended instance left, those that were closed a
// moment ago, and messages of clients while it is not known yet to which instance they belong. Pure: time is passed in; one
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nuncio/detail/clock.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/messages_tunnel.hpp>
#include <nuncio/support/known_by_owner.hpp>
#include <nuncio/support/known_for.hpp>
#include <nuncio/tunnel/waiting_room.hpp>
#include <optional>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace nuncio {

struct absent_sockets_options {
  /// How long a WebSocket that is gone may still be listed (host_limits::listed_limit).
  duration listed_limit{};
  /// How long messages of a WebSocket that was closed here may still arrive.
  duration closed_limit{};
  /// Memory for WebSockets that instances left, and their actors; for closed ones, and for messages meanwhile that find no
  /// room.
  std::size_t left_bytes_max = 0;
  std::size_t closed_bytes_max = 0;
  /// The pool in which clients' messages are counted, and the share of a single client.
  std::shared_ptr<waiting_pool> said;
  std::size_t said_bytes_max = 0;
};

class absent_sockets {
public:
  /// What happened to one between two instances. Unknown: there was no room to remember it.
  enum class fate : std::uint8_t { open, closed, unknown };

  using message =
      std::pair<std::uint16_t, protocol::to_envoy_web_socket_message>;  ///< its index first

  /// The messages of one that comes back; none if some of them are lost.
  using messages = std::optional<std::vector<message>>;

  explicit absent_sockets(absent_sockets_options options);

  // -- ends and starts of instances

  /// An instance of `of` has ended with this one open; it hibernates.
  void handle_left(const actor_id& of, const exchange_id& id, time_point now);
  /// The instance has left some, so that the next one looks for those that are not listed.
  void handle_hibernated(const actor_id& of, time_point now);
  /// Its client closed it when no instance could be told, or it was refused: if it is listed, it is closed nevertheless.
  void handle_closed(const actor_id& of, const exchange_id& id, time_point now);
  /// It was closed here: its messages under way belong to nobody. Without room for this entry they may be kept for a while.
  void handle_ended(const actor_id& of, const exchange_id& id, time_point now);
  /// It is there (again).
  void handle_present(const exchange_id& id);
  /// Whether an earlier instance may have left some; the next one asks once.
  [[nodiscard]] bool take_hibernated(const actor_id& of, time_point now);
  /// The fate of one that a Start lists.
  [[nodiscard]] fate take_listed(const actor_id& of, const exchange_id& id, time_point now);
  /// The fate of one that is not listed, but which an instance has found in its store.
  [[nodiscard]] fate take_unlisted(const actor_id& of, const exchange_id& id, time_point now);

  // -- while instances restore theirs

  void begin_restoring() { ++restoring_; }

  void end_restoring();
  /// A client has closed one that no instance holds.
  void handle_close(const exchange_id& id, time_point now);
  /// A client sends a message on one that no instance holds.
  void handle_message(
      const exchange_id& id,
      std::uint16_t index,
      protocol::to_envoy_web_socket_message& said,
      time_point now);
  /// A message that is too long to keep.
  void handle_lost_message(const exchange_id& id, time_point now);
  /// The messages of one that was found.
  [[nodiscard]] messages take_messages(const exchange_id& id, time_point now);

private:
  struct stray {
    stray() = default;
    stray(const stray&) = delete;
    stray& operator=(const stray&) = delete;

    ~stray() { share.give_back(share.used()); }

    waiting_share share;
    std::vector<message> said;
  };

  [[nodiscard]] bool may_come_back(const exchange_id& id);
  fate take_left(const actor_id& of, const exchange_id& id, time_point now);

  absent_sockets_options options_;
  /// Until the next instances know: WebSockets that were closed in between may still be listed. One that does not fit is closed
  /// instead of being taken for open; one actor's crowd is at its own cost.
  known_by_owner<actor_id, exchange_id, fate> left_;
  /// Without room every next instance looks.
  known_for<actor_id, std::monostate> hibernated_;
  known_by_owner<actor_id, exchange_id, std::monostate> ended_;
  std::unordered_map<exchange_id, stray> strays_;
  /// For these there was no room for a message.
  known_for<exchange_id, std::monostate> lost_;
  /// These were closed by their clients.
  known_for<exchange_id, std::monostate> closed_;
  std::size_t restoring_ = 0;  ///< instances
};

}  // namespace nuncio
