// See socket.hpp.
#include <caf/send.hpp>
#include <nuncio/instance_sockets.hpp>

namespace nuncio {
namespace {

using internal::instance_sockets;
using internal::socket;

const failure none{errc::invalid_argument, "this connection is no WebSocket"};
const failure elsewhere{
    errc::invalid_argument,
    "only the actor that serves a WebSocket may do this, in its own handlers"};

instance_sockets* served_here(const std::shared_ptr<socket>& x) {
  return internal::sockets_of_this_thread(&internal::context_of(*x));
}

// To the actor that serves it, from any other thread or actor.
outcome<void> post(const std::shared_ptr<socket>& x, internal::socket_order order) {
  order.socket = connection{x};
  const auto to = caf::actor_cast<caf::actor>(internal::context_of(*x).self);
  if (!to) return failure{errc::cancelled, "the actor that served this WebSocket has ended"};
  caf::anon_send(to, std::move(order));
  return {};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view x) {
  std::string out;
  out.reserve(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i] == '+') {
      out += ' ';
    } else if (
        x[i] == '%' && i + 2 < x.size() && hex_digit(x[i + 1]) >= 0 && hex_digit(x[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(x[i + 1]) * 16 + hex_digit(x[i + 2]));
      i += 2;
    } else {
      out += x[i];
    }
  }
  return out;
}

}  // namespace

outcome<void> connection::accept(accept_options options) const {
  if (!socket_) return none;
  auto* const all = served_here(socket_);
  return all != nullptr ? all->accept(*socket_, options) : outcome<void>{elsewhere};
}

outcome<void> connection::refuse(std::uint16_t code, std::string_view reason) const {
  if (!socket_) return none;
  auto* const all = served_here(socket_);
  return all != nullptr ? all->refuse(*socket_, code, reason) : outcome<void>{elsewhere};
}

outcome<void> connection::send(text message) const {
  const std::span<const std::uint8_t> same{
      reinterpret_cast<const std::uint8_t*>(message.data()), message.size()};
  return send(bytes{message.owner(), same}, false);
}

outcome<void> connection::send(bytes message) const { return send(std::move(message), true); }

outcome<void> connection::send(bytes message, bool binary) const {
  if (!socket_) return none;
  if (auto* const all = served_here(socket_))
    return all->send(*socket_, std::move(message), binary);
  return post(socket_, {{}, std::move(message), binary, 0, {}});
}

outcome<void> connection::close(std::uint16_t code, std::string_view reason) const {
  if (!socket_) return none;
  if (auto good = check_close(code, reason); !good) return good;
  if (auto* const all = served_here(socket_)) return all->close(*socket_, code, reason);
  return post(socket_, {{}, {}, false, code, text{reason}});
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

std::optional<std::string> query_value(std::string_view path, std::string_view name) {
  const auto begin = path.find('?');
  if (begin == std::string_view::npos) return std::nullopt;
  auto rest = path.substr(begin + 1);
  while (!rest.empty()) {
    const auto part = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    const auto equals = part.find('=');
    if (percent_decoded(part.substr(0, equals)) != name) continue;
    return equals == std::string_view::npos ? std::string{}
                                            : percent_decoded(part.substr(equals + 1));
  }
  return std::nullopt;
}

}  // namespace nuncio
