// What is known of client WebSockets that no instance holds: those that an instance left when it ended, those that were closed a
// moment ago, and what clients say while it is not known yet whose theirs are. Pure: time is passed in; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nuncio/commands/known_by_owner.hpp>
#include <nuncio/commands/known_for.hpp>
#include <nuncio/detail/clock.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/messages_tunnel.hpp>
#include <nuncio/tunnel/waiting_room.hpp>
#include <optional>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace nuncio {

struct absent_sockets_options {
  /// How long one that is gone may still be listed (ingress_options::listed_limit).
  duration listed_limit{};
  /// How long something may be on its way of one that was closed here.
  duration closed_limit{};
  /// Of what instances left, and of their actors; of what was closed, and of what is said meanwhile and finds no room.
  std::size_t left_bytes_max = 0;
  std::size_t closed_bytes_max = 0;
  /// Where what clients say is counted, and how much of it one of them may have there.
  std::shared_ptr<waiting_pool> said;
  std::size_t said_bytes_max = 0;
};

class absent_sockets {
public:
  /// What has become of one between two instances. Unknown: there was no room to know it.
  enum class fate : std::uint8_t { open, closed, unknown };

  using message =
      std::pair<std::uint16_t, protocol::to_envoy_web_socket_message>;  ///< its index first

  /// What was said of one that comes back; none if some of it is lost.
  using messages = std::optional<std::vector<message>>;

  explicit absent_sockets(absent_sockets_options options);

  // -- instances end, and begin

  /// An instance of `of` has ended with this one open; it hibernates.
  void handle_left(const actor_id& of, const exchange_id& id, time_point now);
  /// It has left some, so that the next one looks for those that are not listed.
  void handle_hibernated(const actor_id& of, time_point now);
  /// Its client closed it when it could not be told any more, or it was refused: listed, it is closed all the same.
  void handle_closed(const actor_id& of, const exchange_id& id, time_point now);
  /// It was closed here: what is on its way of it is nobody's. Without room that may be kept for a while.
  void handle_ended(const actor_id& of, const exchange_id& id, time_point now);
  /// It is there (again).
  void handle_present(const exchange_id& id);
  /// Whether an earlier instance may have left some; asked by the next one, once.
  [[nodiscard]] bool take_hibernated(const actor_id& of, time_point now);
  /// What has become of one that a Start lists.
  [[nodiscard]] fate take_listed(const actor_id& of, const exchange_id& id, time_point now);
  /// What has become of one that is not listed, and that an instance has found in its store.
  [[nodiscard]] fate take_unlisted(const actor_id& of, const exchange_id& id, time_point now);

  // -- while instances restore theirs

  void begin_restoring() { ++restoring_; }

  void end_restoring();
  /// A client has closed one that no instance holds.
  void handle_close(const exchange_id& id, time_point now);
  /// A client says something on one that no instance holds.
  void handle_message(
      const exchange_id& id,
      std::uint16_t index,
      protocol::to_envoy_web_socket_message& said,
      time_point now);
  /// Something that is too long to be kept.
  void handle_lost_message(const exchange_id& id, time_point now);
  /// What was said of one that was found.
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
  /// Until the next instances know: those whose close came in between may still be listed. What there is no room for is closed
  /// instead of being believed open; one actor's crowd is at its own cost.
  known_by_owner<actor_id, exchange_id, fate> left_;
  /// Without room every next instance looks.
  known_for<actor_id, std::monostate> hibernated_;
  known_by_owner<actor_id, exchange_id, std::monostate> ended_;
  std::unordered_map<exchange_id, stray> strays_;
  /// Of these there was no room for a message.
  known_for<exchange_id, std::monostate> lost_;
  /// And these were closed by their clients.
  known_for<exchange_id, std::monostate> closed_;
  std::size_t restoring_ = 0;  ///< instances
};

}  // namespace nuncio
