// See host.hpp: the public class, and how a host ends. For how it begins see host_start.cpp.
#include <fmt/format.h>

#include <caf/all.hpp>
#include <nuncio/client/directory_actor.hpp>
#include <nuncio/client/error_category.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/host/host_impl.hpp>
#include <nuncio/host/scheduler_settings.hpp>
#include <nuncio/support/time_range.hpp>
#include <thread>

namespace nuncio {

using namespace std::chrono_literals;

void recommended(caf::actor_system_config& config) {
  internal::print_errors(config);
  const auto threads = std::max<std::size_t>(2, std::thread::hardware_concurrency());
  internal::set_scheduler_policy(config, "sharing");
  internal::set_scheduler(config, "max-threads", threads);
  internal::set_scheduler(config, "max-throughput", 50);
}

caf::actor host::impl::the_directory() {
  const std::lock_guard guard{mutex};
  if (!directory && now_in != phase::stopped) directory = internal::spawn_directory(*system);
  return directory;
}

void host::impl::set_final(const failure& why) {
  {
    const std::lock_guard guard{mutex};
    if (!final) final = why;
  }
  log_to(
      options.log,
      why.code == errc::cancelled ? log_level::info : log_level::error,
      "the link to the engine is over",
      {{"endpoint", options.endpoint},
       {"pool", options.pool},
       {"code", std::string{to_string(why.code)}},
       {"reason", why.message}});
  changed.notify_all();
}

void host::impl::count_ready() {
  {
    const std::lock_guard guard{mutex};
    if (++ready != bundles.size()) return;
  }
  changed.notify_all();
  if (options.on_ready) options.on_ready();
}

void host::impl::count_done() {
  {
    const std::lock_guard guard{mutex};
    ++done;
  }
  changed.notify_all();
}

void host::impl::stop(std::chrono::milliseconds limit) {
  bool drains = false;
  { const std::lock_guard alone{starting}; }  // waits for a start() on another thread
  {
    std::unique_lock guard{mutex};
    if (now_in == phase::stopped) return;
    if (now_in == phase::stopping) {
      if (internal::on_instance_thread()) return;  // the caller would wait for this actor
      changed.wait_for(guard, waitable(limit) + 10s, [&] { return now_in == phase::stopped; });
      return;
    }
    drains = now_in == phase::running && links_started && limit.count() > 0;
    const auto was = now_in;
    now_in = phase::stopping;
    if (was == phase::idle) {
      now_in = phase::stopped;
      return;
    }
  }
  if (drains) {
    {
      const std::lock_guard alone{ending};
      for (const auto& each : bundles) each->drain(later(boot_clock::now(), limit));
    }
    if (internal::on_instance_thread()) {
      // It can't wait for itself: the drain continues, and the host's owner ends it.
      const std::lock_guard guard{mutex};
      now_in = phase::running;
      return;
    }
    // After the deadline, actors get time to end and the link time to flush.
    const auto all = waitable(limit) + waitable(options.socket.close_limit) + 5s;
    std::unique_lock guard{mutex};
    if (!changed.wait_for(
            guard, all, [&] { return done == bundles.size() || now_in == phase::stopped; }))
      log_to(options.log, log_level::warning, "the drain did not end in time; ending anyway");
  }
  end(false);
}

void host::impl::end(bool system_over) {
  { const std::lock_guard alone{starting}; }
  const std::lock_guard alone{ending};
  {
    const std::lock_guard guard{mutex};
    if (now_in == phase::stopped) return;
    now_in = phase::stopping;
    if (system_over && !final)
      final = failure{errc::cancelled, "the actor system ended before the host"};
  }
  std::shared_ptr<http_client> last;
  {
    const std::lock_guard guard{mutex};
    last = std::move(client);
  }
  last.reset();  // no callback after this
  for (const auto& each : bundles) each->end(system_over);
  {
    const std::lock_guard guard{mutex};
    directory = nullptr;  // no handle may outlive the actor system
    now_in = phase::stopped;
  }
  changed.notify_all();
}

host::host(caf::actor_system& system, host_options options)
    : impl_(std::make_shared<impl>(system, std::move(options))) {}

host::~host() { stop(); }

serve_result host::add(serve_options how, internal::factory make) {
  return impl_->add(std::move(how), std::move(make));
}

outcome<void> host::start() { return impl_->start(); }

void host::stop() { impl_->stop(impl_->options.drain_timeout); }

void host::abort() { impl_->stop(0ms); }

std::optional<failure> host::ended() const {
  const std::lock_guard guard{impl_->mutex};
  return impl_->final;
}

std::optional<failure> host::wait_ended(std::chrono::milliseconds limit) const {
  std::unique_lock guard{impl_->mutex};
  impl_->changed.wait_for(guard, waitable(limit), [&] { return impl_->final.has_value(); });
  return impl_->final;
}

outcome<void> host::wait_ready(std::chrono::milliseconds limit) const {
  const auto& x = *impl_;
  const auto is_ready = [&] { return !x.bundles.empty() && x.ready == x.bundles.size(); };
  std::unique_lock guard{x.mutex};
  x.changed.wait_for(guard, waitable(limit), [&] {
    return is_ready() || x.final || x.now_in == impl::phase::stopped;
  });
  if (x.final) return *x.final;
  if (x.now_in == impl::phase::stopped) return failure{errc::cancelled, "the host was stopped"};
  if (is_ready()) return {};
  return failure{
      errc::timed_out,
      fmt::format("the host was not ready within {} ms; its log says why", limit.count())};
}

host_stats host::stats() const {
  host_stats out;
  const std::lock_guard guard{impl_->mutex};
  for (const auto& each : impl_->bundles) each->add_to(out);
  return out;
}

caf::actor host::directory() const { return impl_->the_directory(); }

caf::actor host::client() const {
  const auto& o = impl_->options;
  auto made = spawn_client(
      *impl_->system,
      {.endpoint = o.endpoint,
       .namespace_name = o.namespace_name,
       .pool = o.pool,
       .token = o.token,
       .token_from = o.token_from,
       .tls = o.tls});
  return made ? *made : nullptr;
}

std::uint16_t host::protocol_version() const { return impl_->dialled_version; }

const std::string& host::envoy_key() const { return impl_->keys.front(); }

}  // namespace nuncio
