// The WebSockets of one instance, by ticket. Decides nothing that socket_session does not.
#pragma once

#include <caf/actor.hpp>
#include <deque>
#include <functional>
#include <list>
#include <nuncio/actor/access.hpp>
#include <nuncio/actor/instance_context.hpp>
#include <nuncio/actor/socket_record.hpp>
#include <nuncio/connection/link_port.hpp>
#include <nuncio/engine_actor.hpp>
#include <nuncio/host/internal_messages.hpp>
#include <nuncio/kv.hpp>
#include <nuncio/socket.hpp>
#include <nuncio/storage/kv_pages.hpp>
#include <nuncio/tunnel/client_socket.hpp>
#include <nuncio/tunnel/socket_exchange.hpp>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace nuncio::internal {

/// The context of the instance that serves `x`.
inline const instance_context& context_of(const socket& x) {
  return static_cast<const instance_context&>(*x.context);
}

class instance_sockets {
public:
  /// @param owner  of all sockets; outlives this
  instance_sockets(engine_actor* owner, storage_client& storage)
      : owner_(owner), storage_(storage) {
    const auto& context = access::context(*owner);
    room_.join(context.outgoing, outgoing_bytes_reserved, context.outgoing_bytes_max);
  }

  ~instance_sockets() { drop_waiting(); }

  instance_sockets(const instance_sockets&) = delete;
  instance_sockets& operator=(const instance_sockets&) = delete;

  /// The engine has listed these as still open. Continues with those that have a stored record, closes the others, and drops
  /// the records of all that are gone. Also continues with those that the engine may not have listed yet.
  void restore(std::vector<socket_ptr> listed);

  // -- from ingress, before a handler sees it; false: no handler may see it
  bool handle_opened(const socket_ptr& x);
  bool handle_message(const socket_message& m);

  /// A message of the client was repeated.
  void handle_repeated(socket& x);
  /// Ingress wants it closed. This may overtake the socket's own opening, which no handler sees then.
  void handle_failed(socket& x, std::uint16_t code, std::string_view why);

  // -- afterwards
  /// The result of `socket_opened`: `error` if no handler took it, or one failed.
  /// @returns false if no socket has this ticket
  bool handle_answer(std::uint64_t ticket, const caf::error* error);
  /// The message's handler has returned. Without `consumed` the message is repeated, and `m` is unchanged.
  void handle_returned(bool consumed, const socket_message& m);
  /// A handler was told that it is closed.
  void handle_closed(socket& x);

  /// The next socket whose handler has to be told that it is restored; null if there is none.
  [[nodiscard]] socket_ptr next_untold() const {
    return untold_.empty() ? nullptr : untold_.front();
  }

  /// The handler was told.
  void handle_told();
  /// Sends acks and messages that found no room before; must be called again while wants_flush().
  void flush();
  /// The link may have room for waiting messages.
  void handle_room();

  /// The actor will end once all its messages so far are sent; from now on they may use the room that is kept for others.
  void handle_ending();

  /// Messages sent before that still wait for room in the link.
  [[nodiscard]] bool ends_later() const { return owed_ != 0; }

  /// Stores the changes of several turns in one request.
  void handle_flush();

  /// Until it is known which hibernating sockets continue, and handlers have been told, everything else for handlers has to
  /// wait.
  [[nodiscard]] bool restoring() const { return looking_up_.has_value() || !untold_.empty(); }

  /// Whether it was not forgotten.
  [[nodiscard]] bool holds(const socket& x) const { return all_.contains(x.ticket); }

  [[nodiscard]] bool wants_flush() const {
    return acks_due_ || (!flush_asked_ && (!unsaved_.empty() || !unerased_.empty()));
  }

  // -- from the actor
  outcome<void> accept(socket& x, const accept_options& options);
  outcome<void> refuse(socket& x, std::uint16_t code, std::string_view reason);
  outcome<void> send(socket& x, bytes data, bool binary);
  outcome<void> close(socket& x, std::uint16_t code, std::string_view reason);

  /// Sends to all open sockets.
  void broadcast(const bytes& data, bool binary);

  void set_state(socket& x, const bytes& state);

  /// The instance is down: messages that its handlers have begun to handle are acked. With `for_good` no other instance
  /// continues with the hibernating sockets: they are closed.
  void handle_down(bool for_good);

  [[nodiscard]] std::vector<connection> open() const;

private:
  struct failed {
    socket_ptr socket;
    std::uint16_t code;
    std::string why;
  };

  /// Messages to one client that wait for room in the link.
  struct waiting_output {
    protocol::to_rivet_tunnel_message message;
    std::size_t size;  ///< of its data, which the client has not received
    std::size_t cost;  ///< taken from `room_`
  };

  struct client_output {
    socket_ptr to;
    std::deque<waiting_output> messages;  ///< in order; never empty
  };

  /// Beyond the host's room.
  static constexpr std::size_t outgoing_bytes_reserved = 64UL << 10U;

  outcome<void> put(socket& x, protocol::to_rivet_tunnel_message&& message);
  /// @returns errc::cancelled if ingress has already refused it, otherwise as socket_session::accept
  outcome<protocol::to_rivet_tunnel_message> accept_opening(socket& x, bool hibernates);
  outcome<void> put_short(socket& x, protocol::to_rivet_tunnel_message message);
  void put_ack(socket& x, protocol::to_rivet_tunnel_message message);
  bool wait_for_room(socket& x, protocol::to_rivet_tunnel_message& message);
  void keep(socket& x, waiting_output what);

  [[nodiscard]] bool waits(const socket& x) const { return outgoing_of_.contains(&x); }

  [[nodiscard]] bool has_room_for(const protocol::to_rivet_tunnel_message& message) const;
  bool send_one(std::list<client_output>::iterator at);
  void send_waiting();
  void drop_first(std::list<client_output>::iterator at);
  void drop_waiting();
  void acknowledge(socket& x, const socket_message& m);
  void close_and_tell(socket& x, std::uint16_t code, std::string_view reason);
  void tell(socket& x, std::uint16_t code, std::string_view reason);
  void give_up(socket& x, std::string_view why);
  void forget(socket& x);
  static std::uint64_t wall_clock_ms();
  void save(const socket& x);
  void unsave(const exchange_id& id);
  void ask_flush();
  /// Also erases the records that are no longer needed, before writing: a WebSocket may have been opened again.
  void write_records(bool at_end);
  void put_records(
      std::vector<std::pair<octets, octets>> entries, std::vector<std::uint64_t> tickets);
  void erase_records();
  void complain(std::string_view why, std::size_t count);
  void read_page();
  void handle_page(const std::vector<kv_entry>& records);
  void handle_no_page(const caf::error& why);
  void end_restore();
  void take_up(const socket_ptr& x, const socket_record& record);
  void clean_up();

  engine_actor* owner_;
  storage_client& storage_;
  std::unordered_map<std::uint64_t, socket_ptr> all_;  ///< by ticket
  std::list<client_output> outgoing_;                  ///< served in turn
  std::unordered_map<const socket*, std::list<client_output>::iterator> outgoing_of_;
  waiting_share room_;            ///< for `outgoing_`
  bytes said_, kept_;             ///< the last message in `outgoing_`, and its copy there
  std::size_t said_waiting_ = 0;  ///< messages in `outgoing_`
  std::size_t owed_ = 0;          ///< of these, messages to send before the actor ends
  bool ending_ = false;
  std::optional<socket_message> in_hand_;  ///< being handled
  bool acks_due_ = false;
  std::uint64_t next_own_ = ~std::uint64_t{};  ///< ticket for sockets that ingress has not made
  std::unordered_map<exchange_id, std::uint64_t> unlisted_;  ///< tickets of those that continue
  bool looked_up_ = false;                                   ///< the records of an earlier instance

  /// While records are looked up.
  struct lookup {
    kv_pages pages;
    std::unordered_map<exchange_id, socket_ptr> listed;  ///< no record found yet
    std::vector<socket_ptr> unlisted;                    ///< continue nevertheless
  };

  std::optional<lookup> looking_up_;
  std::vector<failed> failed_early_;           ///< while looking up
  std::deque<socket_ptr> untold_;              ///< restored, but no handler was told
  std::unordered_set<std::uint64_t> unsaved_;  ///< tickets of those whose record must be written
  std::vector<exchange_id> unerased_;  ///< whose records must be erased; before any is written
  bool flush_asked_ = false;
};

/// The sockets of the instance with this context, if this thread is running one of its handlers.
instance_sockets* sockets_of_this_thread(const instance_context* context);

}  // namespace nuncio::internal
