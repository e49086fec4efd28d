// The WebSocket part of engine_actor: which messages belong to a socket, and the work around their handlers.
#include <caf/actor_system.hpp>
#include <caf/mailbox_element.hpp>
#include <nuncio/actor/access.hpp>
#include <nuncio/actor/instance_sockets.hpp>
#include <nuncio/storage/storage_client.hpp>

namespace nuncio {

namespace {

using namespace std::chrono_literals;

// How long an ack may wait for others: well within the engine's 30 s (docs/protocol.md G.7).
constexpr duration ack_interval = 500ms;

// The socket of `x` if it is a WebSocket message, else null.
const internal::socket_ptr* socket_in(const internal::message_content& x) {
  if (x.match_elements<socket_message>())
    return &internal::access::socket_of(x.get_as<socket_message>(0).socket);
  if (x.match_elements<socket_opened>())
    return &internal::access::socket_of(x.get_as<socket_opened>(0).socket);
  if (x.match_elements<socket_closed>())
    return &internal::access::socket_of(x.get_as<socket_closed>(0).socket);
  if (x.match_elements<internal::socket_repeated>())
    return &x.get_as<internal::socket_repeated>(0).socket;
  if (x.match_elements<internal::socket_order>())
    return &internal::access::socket_of(x.get_as<internal::socket_order>(0).socket);
  return nullptr;
}

}  // namespace

// @returns none if `x` does not belong to a socket
std::optional<caf::invoke_message_result> engine_actor::consume_socket(caf::mailbox_element& x) {
  using caf::invoke_message_result;
  auto& content = x.content();
  if (content.match_elements<internal::sockets_listed>()) {
    if (!sockets_) sockets_ = std::make_unique<internal::instance_sockets>(this, *storage_);
    sockets_->restore(content.get_as<internal::sockets_listed>(0).all);
    return invoke_message_result::consumed;
  }
  if (content.match_elements<internal::socket_tick>()) {
    socket_tick_armed_ = false;
    sockets_->flush();
    arm_socket_tick();
    return invoke_message_result::consumed;
  }
  if (content.match_elements<internal::tell_restored>()) return consume_restored(x);
  if (content.match_elements<internal::flush>()) {
    sockets_->handle_flush();
    return invoke_message_result::consumed;
  }
  if (content.match_elements<internal::socket_failed>()) {
    const auto& what = content.get_as<internal::socket_failed>(0);
    if (sockets_) sockets_->handle_failed(*what.socket, what.code, what.why);
    arm_socket_tick();
    return invoke_message_result::consumed;
  }
  const auto* const about = socket_in(content);
  if (about == nullptr) return std::nullopt;
  // A forwarded message about another actor's socket is an ordinary message.
  if (*about == nullptr || (*about)->context != context_) return std::nullopt;
  if (!sockets_) sockets_ = std::make_unique<internal::instance_sockets>(this, *storage_);
  if (sockets_->restoring()) return invoke_message_result::skipped;
  if (content.match_elements<socket_message>()) {
    const auto& said = content.get_as<socket_message>(0);
    if (!sockets_->handle_message(said)) {
      arm_socket_tick();
      return invoke_message_result::consumed;
    }
    const auto result = event_based_actor::consume(x);
    sockets_->handle_returned(result != invoke_message_result::skipped, said);
    arm_socket_tick();
    return result;
  }
  if (x.mid.is_request() && content.match_elements<socket_opened>()) {
    if (!sockets_->handle_opened(
            internal::access::socket_of(content.get_as<socket_opened>(0).socket)))
      return invoke_message_result::consumed;
    return event_based_actor::consume(x);
  }
  if (content.match_elements<socket_closed>()) {
    const auto kept = internal::access::socket_of(content.get_as<socket_closed>(0).socket);
    if (!sockets_->holds(*kept)) return invoke_message_result::consumed;
    const auto before = kept->session;
    kept->session.handle_closed();
    const auto result = event_based_actor::consume(x);
    if (result == invoke_message_result::skipped)
      kept->session = before;  // earlier messages of its client wait, too
    else
      sockets_->handle_closed(*kept);
    return result;
  }
  if (content.match_elements<internal::socket_repeated>()) {
    sockets_->handle_repeated(**about);
    arm_socket_tick();
    return invoke_message_result::consumed;
  }
  if (content.match_elements<internal::socket_order>()) {
    // The sender of the order is not notified of a failure: a close is reported to the actor itself.
    const auto& order = content.get_as<internal::socket_order>(0);
    static_cast<void>(
        order.close_code != 0 ? order.socket.close(order.close_code, order.reason.view())
                              : order.socket.send(order.data, order.binary));
    arm_socket_tick();
    return invoke_message_result::consumed;
  }
  return std::nullopt;
}

// All in one turn: each consumed message makes CAF look again at all skipped ones.
caf::invoke_message_result engine_actor::consume_restored(caf::mailbox_element& x) {
  using caf::invoke_message_result;
  while (const auto next = sockets_->next_untold()) {
    const auto told = internal::make_mail(
        caf::make_message_id(),
        caf::make_message(socket_restored{internal::access::connection_of(next)}));
    const auto result = event_based_actor::consume(*told);
    current_mailbox_element(&x);
    // It waits while the actor awaits something; a behavior that skips it does not block everything else.
    if (result == invoke_message_result::skipped && !awaited_responses_.empty()) return result;
    sockets_->handle_told();
    if (getf(is_shutting_down_flag)) break;
  }
  return invoke_message_result::consumed;
}

void engine_actor::arm_socket_tick() {
  if (socket_tick_armed_ || !sockets_ || !sockets_->wants_flush()) return;
  socket_tick_armed_ = true;
  internal::post_later(this, ack_interval, internal::socket_tick{});
}

std::vector<connection> engine_actor::sockets() const {
  return sockets_ ? sockets_->open() : std::vector<connection>{};
}

void engine_actor::broadcast(text message) {
  const std::span<const std::uint8_t> same{
      reinterpret_cast<const std::uint8_t*>(message.data()), message.size()};
  broadcast(bytes{message.owner(), same}, false);
}

void engine_actor::broadcast(bytes message, bool binary) {
  if (sockets_) sockets_->broadcast(message, binary);
}

}  // namespace nuncio
