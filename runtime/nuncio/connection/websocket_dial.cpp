// How a WebSocket connection begins: its target, a proxy, an address, and TLS verification.
#include <openssl/x509v3.h>

#include <nuncio/connection/websocket_impl.hpp>

namespace nuncio {

namespace {

// libwebsockets keeps them encoded in 128 bytes, and silently drops longer ones.
constexpr std::size_t proxy_credentials_max = 90;

std::string joined(const std::vector<std::string>& xs) {
  std::string all;
  for (const auto& x : xs) {
    if (!all.empty()) all += ", ";
    all += x;
  }
  return all;
}

}  // namespace

void websocket::impl::begin(websocket_target target) {
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

std::string websocket::impl::refusal(const connection& c) {
  const auto& t = c.target;
  const auto has_control = [](const std::string& s) {
    return std::any_of(s.begin(), s.end(), [](char x) {
      return static_cast<unsigned char>(x) <= ' ' || x == 127;
    });
  };
  if (t.host.empty() || t.host.size() > 253 || has_control(t.host))
    return "the host name is empty, too long or malformed";
  if (t.port == 0) return "port 0 cannot be connected to";
  if (t.path_and_query.empty() || t.path_and_query.front() != '/' || has_control(t.path_and_query))
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

outcome<void> websocket::impl::choose_proxy(connection& c) const {
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

void websocket::impl::connect_to(outcome<std::string> address) {
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
  clear_log();
  // A failure may be reported by callback, by NULL, or by both; the callback knows more, so it comes first.
  if (lws_client_connect_via_info(&info) == nullptr) {
    c.wsi = nullptr;
    if (!c.ending) end(gone_kind::connect_failed, with_log("cannot connect"), false);
  }
}

// The context's own choice from the environment, made when it was created, knows no exceptions: it is always replaced.
outcome<void> websocket::impl::set_proxy(const connection& c, const std::string& address) {
  std::string via = "none:0";
  if (const auto& p = c.proxy) {
    via = (address.find(':') != std::string::npos ? "[" + address + "]" : address) + ":" +
          std::to_string(p->port);
    if (!p->user.empty()) via = p->user + ":" + p->password + "@" + via;
  }
  if (lws_set_proxy(lws_get_vhost_by_name(context, "default"), via.c_str()) != 0)
    return failure{errc::invalid_argument, "libwebsockets rejects the proxy of the environment"};
  return {};
}

// libwebsockets uses the Host header up to its first colon as the name for SNI and verification: "[" for an IPv6 address. So
// verification is set here: a strict address is verified as an address, without SNI, and anything else as a name. If that can't
// be set, no certificate is accepted.
void websocket::impl::on_tls(const SSL* ssl, int where, int) {
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
    self->end(gone_kind::tls_failed, "TLS can't be set up to verify the name " + host, true);
}

}  // namespace nuncio
