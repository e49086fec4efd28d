// The only file that knows libwebsockets 4.1.6. Everything but start, stop and wake runs on the service thread.
// Callbacks of libwebsockets only record what happened; connections are begun, ended and reported in settle(), between
// two service turns, so that the handler may call anything from anywhere and no callback sees its own socket freed.
// A socket that is given up loses its pointer to its connection first: what it still says reaches nobody.
#include "nuncio/websocket.hpp"

#include <libwebsockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <csignal>
#include <cstring>
#include <mutex>
#include <thread>

#include "nuncio/proxy.hpp"

namespace nuncio {

namespace {

static_assert(websocket_headroom >= LWS_PRE);

constexpr std::size_t io_bytes = std::size_t{64} << 10;
constexpr int frames_per_turn_max = 16;
constexpr std::size_t bytes_per_turn_max = std::size_t{256} << 10;
// libwebsockets opens one socket and one event descriptor; its tables need not grow with the process's file limit.
constexpr unsigned fds_max = 16;
// libwebsockets keeps them encoded in 128 bytes, and drops longer ones in silence.
constexpr std::size_t proxy_credentials_max = 90;

// The cause of a failed TLS handshake stands only in a log line of the same thread.
thread_local std::string last_log_line;

void on_log(int, const char* line) {
  std::string_view text{line};
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  last_log_line.assign(text);
}

std::string joined(const std::vector<std::string>& xs) {
  std::string all;
  for (const auto& x : xs) {
    if (!all.empty()) all += ", ";
    all += x;
  }
  return all;
}

lws_usec_t to_usec(std::chrono::steady_clock::duration d) {
  return std::max<lws_usec_t>(1, std::chrono::duration_cast<std::chrono::microseconds>(d).count());
}

}  // namespace

std::string_view to_string(websocket_gone::kind what) {
  switch (what) {
    case websocket_gone::kind::bad_target:
      return "bad_target";
    case websocket_gone::kind::name_not_found:
      return "name_not_found";
    case websocket_gone::kind::connect_failed:
      return "connect_failed";
    case websocket_gone::kind::tls_failed:
      return "tls_failed";
    case websocket_gone::kind::handshake_refused:
      return "handshake_refused";
    case websocket_gone::kind::handshake_timeout:
      return "handshake_timeout";
    case websocket_gone::kind::closed_by_peer:
      return "closed_by_peer";
    case websocket_gone::kind::closed_by_us:
      return "closed_by_us";
    case websocket_gone::kind::lost:
      return "lost";
  }
  return "?";
}

struct websocket::impl {
  using gone_kind = websocket_gone::kind;

  // One connect() to its on_gone.
  struct connection {
    impl* owner = nullptr;
    websocket_target target;
    std::string protocols;
    std::string host_header;
    std::optional<http_proxy> proxy;
    bool finding = false;  // an address that answers
    lws* wsi = nullptr;
    int http_status = 0;
    std::string chosen;
    bool opened = false;
    bool closing = false;  // a close frame goes out once the frames before it are written
    bool close_sent = false;
    std::uint16_t close_code = 0;
    std::string close_reason;
    bool paused = false;
    std::vector<std::uint8_t> inbound;
    std::optional<long_message> beyond;  // of the message that comes, once it is known to be long
    // The frame that is being written, and how much of its payload is.
    websocket_frame outbound;
    std::size_t outbound_done = 0;
    bool outbound_active = false;
    bool outbound_buffered = false;  // handed over, but libwebsockets still holds a part
    bool liveness_ping_due = false;
    clock::time_point last_pong;
    std::optional<websocket_gone> ending;  // set once: the first reason counts
    bool kill_hard = false;                // with a TCP reset
  };

  impl(websocket_handler& h, websocket_options o) : handler(h), options(std::move(o)) {}

  // -- service thread ----------------------------------------------------------------------------------------------

  void run() {
    service_thread = std::this_thread::get_id();
    pthread_setname_np(pthread_self(), options.thread_name.substr(0, 15).c_str());
    while (!stopping.load()) {
      if (woken.exchange(false)) handler.on_wake();
      settle();
      if (woken.load() || stopping.load()) continue;
      if (lws_service(context, 0) < 0) break;
      settle();
    }
    if (!current && wanted) give_up_wanted();
    if (current) {
      end(gone_kind::closed_by_us, "stopped", true);
      finish();
    }
    wanted.reset();  // a connect() from that last on_gone: nobody is left to hear of it
    lws_sul_cancel(&owner_timer.sul);
  }

  // Everything that must not happen inside a callback of libwebsockets.
  void settle() {
    for (;;) {
      if (batch_open) {
        batch_open = false;
        handler.on_batch_end();
      } else if (timer_due) {
        timer_due = false;
        handler.on_timer();
      } else if (current && current->ending) {
        finish();
      } else if (current && current->finding) {
        auto found = finder.poll();
        if (!found) return;
        connect_to(std::move(*found));
      } else if (!current && wanted && !stopping.load()) {
        auto target = std::move(*wanted);
        wanted.reset();
        begin(std::move(target));
      } else {
        return;
      }
    }
  }

  void begin(websocket_target target) {
    current = std::make_unique<connection>();
    auto& c = *current;
    c.owner = this;
    c.target = std::move(target);
    c.protocols = joined(c.target.subprotocols);
    auto why = refusal(c);
    if (why.empty() && c.target.tls && !options.tls) why = "TLS is off in this socket's options";
    if (!why.empty()) {
      end(gone_kind::bad_target, std::move(why), false);
      return;
    }
    const auto& t = c.target;
    const bool v6 = t.host.find(':') != std::string::npos;
    const auto& trust = options.trust;
    c.host_header = v6 ? "[" + t.host + "]" : t.host;
    if (t.tls && !trust.server_name.empty()) c.host_header = trust.server_name;
    if (t.port != (t.tls ? 443 : 80)) c.host_header += ":" + std::to_string(t.port);

    if (auto chosen = choose_proxy(c); !chosen) {
      end(gone_kind::bad_target, chosen.error().message, false);
      return;
    }
    lws_sul_schedule(context, 0, &deadline.sul, &on_deadline, to_usec(options.connect_limit));
    const auto& next_hop = c.proxy ? c.proxy->host : t.host;
    if (is_ip_address(next_hop)) return connect_to(next_hop);
    c.finding = true;
    finder.begin(next_hop, c.proxy ? c.proxy->port : t.port, options.connect_limit);
  }

  // Goes on with an address, or with why there is none.
  void connect_to(outcome<std::string> address) {
    auto& c = *current;
    const auto& t = c.target;
    const auto& trust = options.trust;
    c.finding = false;
    if (!address) {
      const auto unknown = address.error().code == errc::not_found;
      end(unknown ? gone_kind::name_not_found : gone_kind::connect_failed,
          address.error().message,
          false);
      return;
    }
    if (auto set = set_proxy(c, *address); !set) {
      end(gone_kind::bad_target, set.error().message, false);
      return;
    }

    lws_client_connect_info info{};
    info.context = context;
    info.address = c.proxy ? t.host.c_str() : address->c_str();
    info.port = t.port;
    info.path = t.path_and_query.c_str();
    info.host = c.host_header.c_str();
    info.protocol = c.protocols.empty() ? nullptr : c.protocols.c_str();
    info.local_protocol_name = protocols[0].name;
    info.alpn = "http/1.1";
    info.ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT;
    if (t.tls) info.ssl_connection |= LCCSCF_USE_SSL;
    if (t.tls && trust.insecure)
      info.ssl_connection |= LCCSCF_ALLOW_SELFSIGNED | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK |
                             LCCSCF_ALLOW_EXPIRED | LCCSCF_ALLOW_INSECURE;
    info.retry_and_idle_policy = &no_validity;
    info.opaque_user_data = &c;
    info.pwsi = &c.wsi;
    last_log_line.clear();
    // A failure may be told by callback, by NULL, or by both; the callback knows more, so it comes first.
    if (lws_client_connect_via_info(&info) == nullptr) {
      c.wsi = nullptr;
      if (!c.ending) end(gone_kind::connect_failed, with_log("cannot connect"), false);
    }
  }

  outcome<void> choose_proxy(connection& c) const {
    if (!options.proxy_from_environment) return {};
    const auto& t = c.target;
    auto proxy = nuncio::choose_proxy(t.host, t.port, t.tls, proxy_environment::read());
    if (!proxy) return proxy.error();
    c.proxy = std::move(*proxy);
    if (c.proxy && c.proxy->user.size() + c.proxy->password.size() > proxy_credentials_max)
      return failure{
          errc::invalid_argument,
          "the proxy's user name and password have more than " +
              std::to_string(proxy_credentials_max) + " characters"};
    return {};
  }

  // The environment's own choice, made when the context was created, knows no exceptions: it is always replaced.
  outcome<void> set_proxy(const connection& c, const std::string& address) {
    std::string via = "none:0";
    if (const auto& p = c.proxy) {
      via = (address.find(':') != std::string::npos ? "[" + address + "]" : address) + ":" +
            std::to_string(p->port);
      if (!p->user.empty()) via = p->user + ":" + p->password + "@" + via;
    }
    if (lws_set_proxy(lws_get_vhost_by_name(context, "default"), via.c_str()) != 0)
      return failure{
          errc::invalid_argument, "libwebsockets does not take the proxy of the environment"};
    return {};
  }

  // A connect() that is taken back before it was tried still gets its on_gone.
  void give_up_wanted() {
    current = std::make_unique<connection>();
    current->owner = this;
    wanted.reset();
  }

  static std::string refusal(const connection& c) {
    const auto& t = c.target;
    const auto has_control = [](const std::string& s) {
      return std::any_of(s.begin(), s.end(), [](char x) {
        return static_cast<unsigned char>(x) <= ' ' || x == 127;
      });
    };
    if (t.host.empty() || t.host.size() > 253 || has_control(t.host))
      return "the host name is empty, too long or malformed";
    if (t.port == 0) return "port 0 cannot be connected to";
    if (t.path_and_query.empty() || t.path_and_query.front() != '/' ||
        has_control(t.path_and_query))
      return "the path must begin with / and be percent-encoded";
    if (t.path_and_query.size() > websocket_target::path_bytes_max)
      return "the path has " + std::to_string(t.path_and_query.size()) + " bytes, more than " +
             std::to_string(websocket_target::path_bytes_max);
    if (c.protocols.size() > websocket_target::subprotocol_bytes_max)
      return "the subprotocols have " + std::to_string(c.protocols.size()) + " bytes, more than " +
             std::to_string(websocket_target::subprotocol_bytes_max);
    for (const auto& p : t.subprotocols)
      if (p.empty() || has_control(p) || p.find(',') != std::string::npos)
        return "a subprotocol is empty or malformed";
    return {};
  }

  static std::string with_log(std::string reason) {
    if (!last_log_line.empty()) reason += " (" + last_log_line + ")";
    return reason;
  }

  // Records the end; the first reason counts. The socket itself goes in finish().
  void end(gone_kind what, std::string reason, bool hard) {
    if (!current || current->ending) return;
    websocket_gone gone;
    gone.what = what;
    gone.opened = current->opened;
    gone.http_status = current->http_status;
    gone.close_code = what == gone_kind::closed_by_peer ? current->close_code : std::uint16_t{0};
    gone.reason = std::move(reason);
    current->ending = std::move(gone);
    current->kill_hard = hard;
    lws_cancel_service(context);  // timers run just before poll, which must not wait then
  }

  void finish() {
    const auto gone = std::move(*current->ending);
    if (current->finding) finder.abandon();
    lws_sul_cancel(&deadline.sul);
    lws_sul_cancel(&liveness.sul);
    if (auto* wsi = current->wsi) {
      lws_set_opaque_user_data(wsi, nullptr);
      if (const int fd = lws_get_socket_fd(wsi); current->kill_hard && fd >= 0) {
        const linger at_once{1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      }
      lws_close_free_wsi(wsi, LWS_CLOSE_STATUS_NOSTATUS_CONTEXT_DESTROY, "nuncio");
    }
    current.reset();
    handler.on_gone(gone);
  }

  // -- callbacks of libwebsockets ------------------------------------------------------------------------------------

  static int on_event(lws* wsi, lws_callback_reasons why, void* user, void* in, std::size_t size) {
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

  // libwebsockets takes the Host header up to its first colon for the name to ask for and to verify: "[" for an IPv6 address.
  // So what is verified is set here: what is strictly an address as one, without being asked for by name, and anything else as
  // a name. Where that can't be set, nobody is believed.
  static void on_tls(const SSL* ssl, int where, int) {
    if ((where & SSL_CB_HANDSHAKE_START) == 0) return;
    auto* self = static_cast<impl*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
    if (!self->current) return;
    const auto& wanted_name = self->options.trust.server_name;
    const auto& host = wanted_name.empty() ? self->current->target.host : wanted_name;
    const auto is_address = is_ip_address(host);
    const auto asks = !is_address && host.find(':') == std::string::npos;
    auto* at = const_cast<SSL*>(ssl);  // the handshake that begins is not const, only its observer
    auto wanted = host;                // OpenSSL takes no const
    const auto named = SSL_set_tlsext_host_name(at, asks ? wanted.data() : nullptr) == 1;
    if (self->options.trust.insecure) return;
    auto* verify = SSL_get0_param(at);
    const auto* name = is_address ? nullptr : host.c_str();
    const auto set =
        X509_VERIFY_PARAM_set1_host(verify, name, name == nullptr ? 0 : host.size()) == 1 &&
        (!is_address || X509_VERIFY_PARAM_set1_ip_asc(verify, host.c_str()) == 1);
    if (!named || !set)
      self->end(gone_kind::tls_failed, "TLS can't be told to verify the name " + host, true);
  }

  int handle(connection& c, lws* wsi, lws_callback_reasons why, const char* in, std::size_t size) {
    switch (why) {
      case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH: {
        // Later the headers are gone.
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
        return c.ending || c.close_sent
                   ? 0
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

  void handle_failure(connection& c, lws* wsi, std::string text) {
    if (c.ending) return;
    // What libwebsockets makes of all that is no 200; it does not keep what the proxy has said.
    if (text == "proxy not h1")
      text = std::string{"the proxy does not connect us: check "} +
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

  void handle_closed(connection& c) {
    if (c.close_sent)
      end(gone_kind::closed_by_us, c.close_reason, false);
    else if (c.opened)
      end(gone_kind::lost, "the connection ended without a close frame", false);
    else if (c.http_status != 0)
      end(gone_kind::handshake_refused, "the answer is not a WebSocket", false);
    else
      end(gone_kind::connect_failed, with_log("the connection ended during the handshake"), false);
  }

  void handle_open(connection& c, lws* wsi) {
    lws_sul_cancel(&deadline.sul);
    const int on = 1;
    setsockopt(lws_get_socket_fd(wsi), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c.opened = true;
    c.last_pong = clock::now();
    arm_liveness();
    lws_callback_on_writable(wsi);
    handler.on_open(c.chosen);
  }

  int handle_data(connection& c, lws* wsi, const char* in, std::size_t size) {
    bytes_received += size;
    const auto rest = lws_remaining_packet_payload(wsi);
    const auto last = lws_is_final_fragment(wsi) != 0 && rest == 0;
    if (rest > 0) c.last_pong = clock::now();  // no PONG can come within a frame
    const std::span<const std::uint8_t> part{reinterpret_cast<const std::uint8_t*>(in), size};
    if (c.beyond) {
      hand_on(c, part, last);
      return 0;
    }
    const auto known = c.inbound.size() + size;
    const auto is_long = known + rest > options.message_bytes_max;
    // The peer's word on a frame's length is believed only as far as io_bytes ahead, then the vector doubles, but never
    // beyond that length: its memory is kept as long as anything that is cut from it.
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

  // Of a message that is too long to be collected.
  void hand_on(connection& c, std::span<const std::uint8_t> part, bool last) {
    batch_open = true;
    if (*c.beyond == long_message::take) handler.on_part(part, last);
    if (last) c.beyond.reset();
  }

  // -- writing ---------------------------------------------------------------------------------------------------------

  int write(connection& c, lws* wsi) {
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

  bool next(connection& c) {
    c.outbound = {};
    c.outbound_done = 0;
    if (!handler.next_frame(c.outbound)) return false;
    assert(c.outbound.buffer.size() >= websocket_headroom);
    c.outbound_active = true;
    return true;
  }

  // Writes the next fragment. A fragment's header overwrites the tail of the one before, which has left by then.
  static std::ptrdiff_t write_fragment(lws* wsi, std::uint8_t* data, std::size_t size, int how) {
    return lws_write(wsi, data, size, static_cast<lws_write_protocol>(how)) < static_cast<int>(size)
               ? -1
               : static_cast<std::ptrdiff_t>(size);
  }

  std::ptrdiff_t write_piece(connection& c, lws* wsi) {
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

  void written(connection& c) {
    const auto size = c.outbound.buffer.size() - websocket_headroom;
    const auto cookie = c.outbound.cookie;
    c.outbound = {};
    handler.on_written(cookie, size);
  }

  // From here on it has so long to end. The frame goes out when it is writable.
  void begin_close(connection& c) {
    c.closing = true;
    lws_sul_schedule(context, 0, &deadline.sul, &on_deadline, to_usec(options.close_limit));
  }

  // The caller returns this from its callback: libwebsockets then sends the frame and awaits the answer.
  int send_close(connection& c, lws* wsi) {
    c.close_sent = true;
    lws_close_reason(
        wsi,
        static_cast<lws_close_status>(c.close_code),
        reinterpret_cast<unsigned char*>(c.close_reason.data()),
        std::min<std::size_t>(c.close_reason.size(), 123));
    return -1;
  }

  // -- timers ----------------------------------------------------------------------------------------------------------

  // The first member, so that a timer's address is its holder's.
  struct timer {
    lws_sorted_usec_list_t sul{};
    impl* owner = nullptr;
  };

  static impl& of(lws_sorted_usec_list_t* sul) { return *lws_container_of(sul, timer, sul)->owner; }

  static void on_deadline(lws_sorted_usec_list_t* sul) {
    auto& self = of(sul);
    if (!self.current) return;
    if (!self.current->opened)
      self.end(gone_kind::handshake_timeout, "the handshake did not end in time", true);
    else
      self.end(gone_kind::closed_by_us, self.current->close_reason, true);
  }

  static void on_owner_timer(lws_sorted_usec_list_t* sul) {
    of(sul).timer_due = true;
    lws_cancel_service(of(sul).context);  // as in end()
  }

  void arm_liveness() {
    if (options.ping_after.count() <= 0 && options.hangup_after.count() <= 0) return;
    const auto now = clock::now();
    auto next = clock::time_point::max();
    if (options.hangup_after.count() > 0) next = current->last_pong + options.hangup_after;
    if (options.ping_after.count() > 0) {
      const auto due = current->last_pong + options.ping_after;
      next = std::min(next, due > now ? due : now + options.ping_after);
    }
    lws_sul_schedule(context, 0, &liveness.sul, &on_liveness, to_usec(next - now));
  }

  static void on_liveness(lws_sorted_usec_list_t* sul) {
    auto& self = of(sul);
    if (!self.current || self.current->ending || self.current->close_sent) return;
    auto& c = *self.current;
    const auto now = clock::now();
    if (c.paused) c.last_pong = now;
    const auto quiet = now - c.last_pong;
    if (self.options.hangup_after.count() > 0 && quiet >= self.options.hangup_after) {
      self.end(
          gone_kind::lost,
          "no PONG for " + std::to_string(self.options.hangup_after.count()) + " ms",
          true);
      return;
    }
    if (self.options.ping_after.count() > 0 && quiet >= self.options.ping_after) {
      c.liveness_ping_due = true;
      lws_callback_on_writable(c.wsi);
    }
    self.arm_liveness();
  }

  void assert_service_thread() const { assert(std::this_thread::get_id() == service_thread); }

  websocket_handler& handler;
  const websocket_options options;
  address_finder finder{options.resolver, [this] { lws_cancel_service(context); }};
  lws_context* context = nullptr;
  std::thread thread;
  std::thread::id service_thread;
  std::atomic<bool> stopping{false};
  std::atomic<bool> woken{true};

  // Service thread from here.
  std::unique_ptr<connection> current;
  std::optional<websocket_target> wanted;
  bool batch_open = false;
  bool timer_due = false;
  std::uint64_t bytes_received = 0;
  timer deadline{{}, this};
  timer liveness{{}, this};
  timer owner_timer{{}, this};
  lws_protocols protocols[2] = {
      {"nuncio", &on_event, 0, io_bytes, 0, nullptr, io_bytes},
      {nullptr, nullptr, 0, 0, 0, nullptr, 0}};
  // Liveness is our own: libwebsockets' counts in seconds, and cuts a connection whose reading the owner has paused.
  lws_retry_bo_t no_validity{};
};

websocket::websocket(websocket_handler& handler, websocket_options options)
    : impl_(std::make_unique<impl>(handler, std::move(options))) {}

websocket::~websocket() {
  stop();
  impl_->finder.close();
  // Not before: wake() may be under way on another thread until now.
  if (impl_->context != nullptr) lws_context_destroy(impl_->context);
}

outcome<void> websocket::start() {
  auto& x = *impl_;
  if (x.context != nullptr)
    return failure{errc::internal, "the WebSocket thread was started before"};
  const auto& trust = x.options.trust;
  if (auto good = check(trust); !good) return good;
  {
    static std::mutex one_at_a_time;  // libwebsockets has one log for the whole process
    const std::lock_guard guard{one_at_a_time};
    lws_set_log_level(LLL_ERR | LLL_WARN, &on_log);
  }
  lws_context_creation_info info{};
  info.port = CONTEXT_PORT_NO_LISTEN;
  info.user = &x;
  info.protocols = x.protocols;
  if (x.options.tls) info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
  info.pt_serv_buf_size = io_bytes;
  info.max_http_header_data = 16 << 10;
  info.fd_limit_per_thread = fds_max;
  info.http_proxy_address = "none:0";
  info.retry_and_idle_policy = &x.no_validity;
  // Ours come first; these are whole seconds and start again at each step.
  const auto limit = static_cast<unsigned>(x.options.connect_limit.count() / 1000 + 5);
  info.timeout_secs = limit;
  info.connect_timeout_secs = limit;
  if (!trust.ca_file.empty()) info.client_ssl_ca_filepath = trust.ca_file.c_str();
  if (!trust.cert_file.empty()) info.client_ssl_cert_filepath = trust.cert_file.c_str();
  if (!trust.key_file.empty()) info.client_ssl_private_key_filepath = trust.key_file.c_str();
  last_log_line.clear();
  x.context = lws_create_context(&info);
  if (x.context == nullptr)
    return failure{errc::internal, impl::with_log("libwebsockets could not create a context")};
  // Signals belong to the program's own threads; the new thread inherits the mask.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  x.thread = std::thread([&x] { x.run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {};
}

void websocket::stop() {
  if (!impl_->thread.joinable()) return;
  impl_->stopping.store(true);
  lws_cancel_service(impl_->context);
  impl_->thread.join();
}

void websocket::wake() {
  if (!impl_->woken.exchange(true)) lws_cancel_service(impl_->context);
}

void websocket::connect(websocket_target target) {
  impl_->assert_service_thread();
  assert(!impl_->current && !impl_->wanted);
  impl_->wanted = std::move(target);
}

void websocket::close(std::uint16_t code, std::string_view reason) {
  auto& x = *impl_;
  x.assert_service_thread();
  if (!x.current && x.wanted) x.give_up_wanted();
  if (!x.current || x.current->ending || x.current->closing) return;
  auto& c = *x.current;
  if (!c.opened) {
    x.end(websocket_gone::kind::closed_by_us, std::string{reason}, true);
    return;
  }
  c.close_code = code;
  c.close_reason = reason;
  x.begin_close(c);
  if (c.paused) pause_reading(false);  // or the peer's answer would not be seen
  lws_callback_on_writable(c.wsi);
}

void websocket::reset(std::string_view reason) {
  impl_->assert_service_thread();
  if (!impl_->current && impl_->wanted) impl_->give_up_wanted();
  impl_->end(websocket_gone::kind::closed_by_us, std::string{reason}, true);
}

void websocket::request_write() {
  impl_->assert_service_thread();
  auto& c = impl_->current;
  if (c && c->opened && !c->ending && !c->close_sent && c->wsi != nullptr)
    lws_callback_on_writable(c->wsi);
}

void websocket::set_timer(clock::duration after) {
  impl_->assert_service_thread();
  lws_sul_schedule(
      impl_->context, 0, &impl_->owner_timer.sul, &impl::on_owner_timer, to_usec(after));
}

void websocket::clear_timer() {
  impl_->assert_service_thread();
  lws_sul_cancel(&impl_->owner_timer.sul);
  impl_->timer_due = false;
}

void websocket::pause_reading(bool paused) {
  impl_->assert_service_thread();
  auto& c = impl_->current;
  if (!c || !c->opened || c->ending || c->wsi == nullptr || c->paused == paused) return;
  c->paused = paused;
  c->last_pong = clock::now();
  lws_rx_flow_control(c->wsi, paused ? 0 : 1);
}

std::uint64_t websocket::bytes_received() const { return impl_->bytes_received; }

bool websocket::is_open() const {
  const auto& c = impl_->current;
  return c && c->opened && !c->ending && !c->closing;
}

}  // namespace nuncio
