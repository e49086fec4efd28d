// See socket.hpp.
#include <nuncio/actor/access.hpp>
#include <nuncio/actor/instance_sockets.hpp>
#include <nuncio/client/error_category.hpp>

namespace nuncio {
namespace {

using internal::instance_sockets;
using internal::socket;
using internal::to_expected;

const failure none{errc::invalid_argument, "this connection is not a WebSocket"};
const failure elsewhere{
    errc::invalid_argument,
    "only the actor that serves a WebSocket may do this, in its own handlers"};

instance_sockets* served_here(const std::shared_ptr<socket>& x) {
  return internal::sockets_of_this_thread(&internal::context_of(*x));
}

// Posts to the actor that serves it, from any other thread or actor.
outcome<void> post(const std::shared_ptr<socket>& x, internal::socket_order order) {
  order.socket = internal::access::connection_of(x);
  const auto to = caf::actor_cast<caf::actor>(internal::context_of(*x).self);
  if (!to) return failure{errc::cancelled, "the actor that served this WebSocket has ended"};
  internal::post(to, std::move(order));
  return {};
}

}  // namespace

caf::expected<void> connection::accept(accept_options options) const {
  if (!socket_) return make_error(none);
  auto* const all = served_here(socket_);
  return to_expected(all != nullptr ? all->accept(*socket_, options) : outcome<void>{elsewhere});
}

caf::expected<void> connection::refuse(std::uint16_t code, std::string_view reason) const {
  if (!socket_) return make_error(none);
  auto* const all = served_here(socket_);
  return to_expected(
      all != nullptr ? all->refuse(*socket_, code, reason) : outcome<void>{elsewhere});
}

caf::expected<void> connection::send(text message) const {
  const std::span<const std::uint8_t> same{
      reinterpret_cast<const std::uint8_t*>(message.data()), message.size()};
  return send(bytes{message.owner(), same}, false);
}

caf::expected<void> connection::send(bytes message) const { return send(std::move(message), true); }

caf::expected<void> connection::send(bytes message, bool binary) const {
  if (!socket_) return make_error(none);
  if (auto* const all = served_here(socket_))
    return to_expected(all->send(*socket_, std::move(message), binary));
  return to_expected(post(socket_, {{}, std::move(message), binary, 0, {}}));
}

caf::expected<void> connection::close(std::uint16_t code, std::string_view reason) const {
  if (!socket_) return make_error(none);
  if (auto good = check_close(code, reason); !good) return to_expected(good);
  if (auto* const all = served_here(socket_))
    return to_expected(all->close(*socket_, code, reason));
  return to_expected(post(socket_, {{}, {}, false, code, text{reason}}));
}

bool connection::is_open() const {
  return socket_ && socket_->session.now_in() == socket_session::state::open;
}

bool connection::hibernates() const { return socket_ && socket_->session.hibernates(); }

bytes connection::state() const { return socket_ ? socket_->state : bytes{}; }

void connection::set_state(bytes x) const {
  if (!socket_) return;
  if (auto* const all = served_here(socket_)) all->set_state(*socket_, x);
}

exchange_id connection::id() const { return socket_ ? socket_->session.id() : exchange_id{}; }

std::string_view connection::path() const {
  return socket_ ? socket_->head.path() : std::string_view{};
}

std::optional<std::string_view> connection::header(std::string_view name) const {
  return socket_ ? socket_->head.header(name) : std::nullopt;
}

std::optional<std::string> connection::query(std::string_view name) const {
  return query_value(path(), name);
}

}  // namespace nuncio
