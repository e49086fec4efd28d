// See websocket.hpp: the service thread, the end of a connection, timers, and the owner's calls.
#include <pthread.h>
#include <sys/socket.h>

#include <csignal>
#include <mutex>
#include <nuncio/connection/websocket.hpp>
#include <nuncio/connection/websocket_impl.hpp>

namespace nuncio {

namespace {

// libwebsockets opens one socket and one event descriptor; its tables need not grow with the process's file limit.
constexpr unsigned fds_max = 16;

// The cause of a failed TLS handshake is only in a log line of the same thread.
thread_local std::string last_log_line;

void on_log(int, const char* line) {
  std::string_view text{line};
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  last_log_line.assign(text);
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

// -- the service thread

void websocket::impl::run() {
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
  wanted.reset();  // from a connect() in that last on_gone: nothing is left to notify
  lws_sul_cancel(&owner_timer.sul);
}

void websocket::impl::settle() {
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

void websocket::impl::end(gone_kind what, std::string reason, bool hard) {
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

void websocket::impl::finish() {
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

void websocket::impl::give_up_wanted() {
  current = std::make_unique<connection>();
  current->owner = this;
  wanted.reset();
}

std::string websocket::impl::with_log(std::string reason) {
  if (!last_log_line.empty()) reason += " (" + last_log_line + ")";
  return reason;
}

void websocket::impl::clear_log() { last_log_line.clear(); }

// -- timers

void websocket::impl::on_deadline(lws_sorted_usec_list_t* sul) {
  auto& self = of(sul);
  if (!self.current) return;
  if (!self.current->opened)
    self.end(gone_kind::handshake_timeout, "the handshake did not end in time", true);
  else
    self.end(gone_kind::closed_by_us, self.current->close_reason, true);
}

void websocket::impl::on_owner_timer(lws_sorted_usec_list_t* sul) {
  of(sul).timer_due = true;
  lws_cancel_service(of(sul).context);  // as in end()
}

void websocket::impl::arm_liveness() {
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

void websocket::impl::on_liveness(lws_sorted_usec_list_t* sul) {
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

// -- called by the owner

websocket::websocket(websocket_handler& handler, websocket_options options)
    : impl_(std::make_unique<impl>(handler, std::move(options))) {}

websocket::~websocket() {
  stop();
  impl_->finder.close();
  // Only now: wake() may have been running on another thread.
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
  info.pt_serv_buf_size = impl::io_bytes;
  info.max_http_header_data = 16 << 10;
  info.fd_limit_per_thread = fds_max;
  info.http_proxy_address = "none:0";
  info.retry_and_idle_policy = &x.no_validity;
  // Ours come first; these are in whole seconds and start again at each step.
  const auto limit = static_cast<unsigned>(x.options.connect_limit.count() / 1000 + 5);
  info.timeout_secs = limit;
  info.connect_timeout_secs = limit;
  if (!trust.ca_file.empty()) info.client_ssl_ca_filepath = trust.ca_file.c_str();
  if (!trust.cert_file.empty()) info.client_ssl_cert_filepath = trust.cert_file.c_str();
  if (!trust.key_file.empty()) info.client_ssl_private_key_filepath = trust.key_file.c_str();
  impl::clear_log();
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
  if (c.paused) pause_reading(false);  // otherwise the peer's close frame would not be seen
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
