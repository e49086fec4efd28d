// Callbacks of libwebsockets for a connection, reading and writing.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstring>
#include <nuncio/connection/websocket_impl.hpp>

namespace nuncio {

namespace {

constexpr int frames_per_turn_max = 16;
constexpr std::size_t bytes_per_turn_max = std::size_t{256} << 10;

// Writes the next fragment. Its header overwrites the tail of the previous fragment, which was already sent.
std::ptrdiff_t write_fragment(lws* wsi, std::uint8_t* data, std::size_t size, int how) {
  return lws_write(wsi, data, size, static_cast<lws_write_protocol>(how)) < static_cast<int>(size)
             ? -1
             : static_cast<std::ptrdiff_t>(size);
}

}  // namespace

int websocket::impl::on_event(
    lws* wsi, lws_callback_reasons why, void* user, void* in, std::size_t size) {
  if (why == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS) {
    auto* tls = static_cast<SSL_CTX*>(user);
    SSL_CTX_set_app_data(tls, lws_context_user(lws_get_context(wsi)));
    SSL_CTX_set_info_callback(tls, &on_tls);
    return 0;
  }
  auto* c = static_cast<connection*>(lws_get_opaque_user_data(wsi));
  if (c == nullptr) return 0;
  return c->owner->handle(*c, wsi, why, static_cast<const char*>(in), size);
}

int websocket::impl::handle(
    connection& c, lws* wsi, lws_callback_reasons why, const char* in, std::size_t size) {
  switch (why) {
    case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH: {
      // The headers are gone later.
      c.http_status = static_cast<int>(lws_http_client_http_response(wsi));
      std::string value(
          static_cast<std::size_t>(lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL)) + 1, '\0');
      const int n =
          lws_hdr_copy(wsi, value.data(), static_cast<int>(value.size()), WSI_TOKEN_PROTOCOL);
      value.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
      c.chosen = std::move(value);
      return 0;
    }
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
      if (c.ending) return 0;
      handle_open(c, wsi);
      return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
      if (c.ending || c.closing) return 0;
      return handle_data(c, wsi, in, size);
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
      if (c.ending) return 0;
      c.last_pong = clock::now();
      if (size > 0) handler.on_pong({reinterpret_cast<const std::uint8_t*>(in), size});
      return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
      return c.ending || c.close_sent ? 0
                                      : write(c, wsi);  // a second -1 would not wait for the answer
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
      if (c.close_sent) return 0;  // the answer to ours
      c.close_code = 1005;
      if (size >= 2) {
        c.close_code = static_cast<std::uint16_t>(
            (static_cast<unsigned char>(in[0]) << 8) | static_cast<unsigned char>(in[1]));
        in += 2;
        size -= 2;
      } else {
        size = 0;
      }
      // Reported at once; libwebsockets would wait for room to answer if we have unsent data.
      end(gone_kind::closed_by_peer, size > 0 ? std::string(in, size) : std::string{}, false);
      return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
      handle_failure(c, wsi, in == nullptr ? std::string{} : std::string(in, strnlen(in, size)));
      return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
    case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
    case LWS_CALLBACK_WSI_DESTROY:
      c.wsi = nullptr;
      lws_set_opaque_user_data(wsi, nullptr);
      handle_closed(c);
      return 0;
    default:
      return 0;
  }
}

void websocket::impl::handle_failure(connection& c, lws* wsi, std::string text) {
  if (c.ending) return;
  // libwebsockets' text for any status but 200; it does not keep the proxy's response.
  if (text == "proxy not h1")
    text = std::string{"the proxy refuses to connect: check "} +
           (c.target.tls ? "https_proxy" : "http_proxy") + ", its user name and password";
  if (c.http_status == 0) c.http_status = static_cast<int>(lws_http_client_http_response(wsi));
  const bool tls_words = text.find("SSL") != std::string::npos ||
                         text.find("tls") != std::string::npos ||
                         text.find("bio_create") != std::string::npos;
  if (c.http_status != 0)
    end(gone_kind::handshake_refused, std::move(text), false);
  else if (c.target.tls && tls_words)
    end(gone_kind::tls_failed, with_log(std::move(text)), false);
  else
    end(gone_kind::connect_failed, std::move(text), false);
}

void websocket::impl::handle_closed(connection& c) {
  if (c.close_sent)
    end(gone_kind::closed_by_us, c.close_reason, false);
  else if (c.opened)
    end(gone_kind::lost, "the connection ended without a close frame", false);
  else if (c.http_status != 0)
    end(gone_kind::handshake_refused, "the answer is not a WebSocket", false);
  else
    end(gone_kind::connect_failed, with_log("the connection ended during the handshake"), false);
}

void websocket::impl::handle_open(connection& c, lws* wsi) {
  lws_sul_cancel(&deadline.sul);
  const int on = 1;
  setsockopt(lws_get_socket_fd(wsi), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  c.opened = true;
  c.last_pong = clock::now();
  arm_liveness();
  lws_callback_on_writable(wsi);
  handler.on_open(c.chosen);
}

int websocket::impl::handle_data(connection& c, lws* wsi, const char* in, std::size_t size) {
  bytes_received += size;
  const auto rest = lws_remaining_packet_payload(wsi);
  const auto last = lws_is_final_fragment(wsi) != 0 && rest == 0;
  if (rest > 0) c.last_pong = clock::now();  // no PONG can arrive within a frame
  const std::span<const std::uint8_t> part{reinterpret_cast<const std::uint8_t*>(in), size};
  if (c.beyond) {
    hand_on(c, part, last);
    return 0;
  }
  const auto known = c.inbound.size() + size;
  const auto is_long = known + rest > options.message_bytes_max;
  // The peer's frame length is trusted only io_bytes ahead; then the vector doubles, but never beyond that length, since its
  // memory lives as long as anything cut from it.
  if (c.inbound.capacity() < known)
    c.inbound.reserve(std::min(known + rest, std::max(known + io_bytes, 2 * known)));
  c.inbound.insert(c.inbound.end(), part.begin(), part.end());
  if (is_long) {
    if (c.inbound.size() < long_message_head_bytes) return 0;
    const auto first = std::exchange(c.inbound, {});
    c.beyond = handler.on_long_message(first, lws_frame_is_binary(wsi) == 0);
    hand_on(c, first, last);
    return 0;
  }
  if (!last) return 0;
  auto whole = std::move(c.inbound);
  c.inbound = {};
  batch_open = true;
  handler.on_message(bytes{std::move(whole)}, lws_frame_is_binary(wsi) == 0);
  return 0;
}

void websocket::impl::hand_on(connection& c, std::span<const std::uint8_t> part, bool last) {
  batch_open = true;
  if (*c.beyond == long_message::take) handler.on_part(part, last);
  if (last) c.beyond.reset();
}

// -- writing

int websocket::impl::write(connection& c, lws* wsi) {
  if (c.outbound_buffered) {  // libwebsockets calls back once its own buffer is empty
    if (lws_partial_buffered(wsi) != 0) return 0;
    c.outbound_buffered = false;
    written(c);
  }
  int frames = 0;
  std::size_t sent = 0;
  do {
    if (c.liveness_ping_due) {
      c.liveness_ping_due = false;
      std::uint8_t empty[LWS_PRE];
      if (lws_write(wsi, empty + LWS_PRE, 0, LWS_WRITE_PING) < 0) return -1;
      continue;
    }
    if (!c.outbound_active && !next(c)) {
      if (c.ending) return 0;
      return c.closing ? send_close(c, wsi) : 0;
    }
    const auto n = write_piece(c, wsi);
    if (n < 0) return -1;
    sent += static_cast<std::size_t>(n);
    ++frames;
    if (!c.outbound_active) {
      if (lws_partial_buffered(wsi) != 0) {
        c.outbound_buffered = true;
        break;
      }
      written(c);
      if (c.ending) return 0;
    }
  } while (frames < frames_per_turn_max && sent < bytes_per_turn_max &&
           lws_send_pipe_choked(wsi) == 0);
  lws_callback_on_writable(wsi);
  return 0;
}

bool websocket::impl::next(connection& c) {
  c.outbound = {};
  c.outbound_done = 0;
  if (!handler.next_frame(c.outbound)) return false;
  assert(c.outbound.buffer.size() >= websocket_headroom);
  c.outbound_active = true;
  return true;
}

std::ptrdiff_t websocket::impl::write_piece(connection& c, lws* wsi) {
  auto& f = c.outbound;
  const auto left = f.buffer.size() - websocket_headroom - c.outbound_done;
  auto* data = f.buffer.data() + websocket_headroom + c.outbound_done;
  if (f.what == websocket_frame::kind::ping) {
    c.outbound_active = false;
    return write_fragment(wsi, data, std::min<std::size_t>(left, 125), LWS_WRITE_PING);
  }
  const auto limit = options.fragment_bytes == 0 ? left : options.fragment_bytes;
  const auto size = std::min(left, limit);
  int how = f.what == websocket_frame::kind::text ? LWS_WRITE_TEXT : LWS_WRITE_BINARY;
  if (c.outbound_done > 0) how = LWS_WRITE_CONTINUATION;
  if (size < left) how |= LWS_WRITE_NO_FIN;
  c.outbound_done += size;
  c.outbound_active = size < left;
  return write_fragment(wsi, data, size, how);
}

void websocket::impl::written(connection& c) {
  const auto size = c.outbound.buffer.size() - websocket_headroom;
  const auto cookie = c.outbound.cookie;
  c.outbound = {};
  handler.on_written(cookie, size);
}

void websocket::impl::begin_close(connection& c) {
  c.closing = true;
  lws_sul_schedule(context, 0, &deadline.sul, &on_deadline, to_usec(options.close_limit));
}

int websocket::impl::send_close(connection& c, lws* wsi) {
  c.close_sent = true;
  lws_close_reason(
      wsi,
      static_cast<lws_close_status>(c.close_code),
      reinterpret_cast<unsigned char*>(c.close_reason.data()),
      std::min<std::size_t>(c.close_reason.size(), 123));
  return -1;
}

}  // namespace nuncio
