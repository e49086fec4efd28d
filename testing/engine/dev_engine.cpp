// The public class: owns one run and its web server; its members post to that server's thread.
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <nuncio/testing/dev_engine.hpp>
#include <random>
#include <utility>

#include "engine_run.hpp"
#include "state_store.hpp"
#include "web.hpp"

namespace nuncio::testing {

using namespace engine;

namespace {

/// How long envoys may take to answer the close frame of a stopping engine. One on the same machine takes a millisecond; after
/// this time an envoy is dead or frozen.
constexpr auto farewell_limit = std::chrono::milliseconds{100};

}  // namespace

struct dev_engine::implementation {
  explicit implementation(dev_engine_options o) : options(std::move(o)) {
    if (options.seed == 0) options.seed = std::random_device{}() | 1U;
  }

  /// Runs `f` on the engine's thread and waits; false if there is none.
  template <class F>
  bool on_thread(F f) {
    if (!server) return false;
    std::promise<void> done;
    server->post([&] {
      f(*run);
      done.set_value();
    });
    done.get_future().wait();
    return true;
  }

  void end(bool abruptly) {
    const std::lock_guard lock{mutex};
    if (!server) return;
    if (!abruptly) {
      const auto gone = std::make_shared<std::promise<void>>();
      on_thread([gone](engine_run& r) { r.go_away([gone] { gone->set_value(); }); });
      gone->get_future().wait_for(farewell_limit);
    }
    on_thread([this](engine_run& r) { last_stats = r.stats(); });
    server->stop(abruptly);
    // The thread has ended. The run holds sessions, whose sockets need the server's io_context, so it is destroyed first.
    run.reset();
    server.reset();
  }

  dev_engine_options options;
  mutable std::mutex mutex;  ///< start, stop and use may come from different threads
  std::unique_ptr<engine_run> run;
  std::unique_ptr<web_server> server;
  dev_engine_stats last_stats;
  std::atomic<std::uint16_t> port{0};
  std::uint64_t lives = 0;
};

dev_engine::dev_engine(dev_engine_options options)
    : implementation_(std::make_unique<implementation>(std::move(options))) {}

dev_engine::~dev_engine() { stop(); }

outcome<std::string> dev_engine::start() {
  auto& me = *implementation_;
  const std::lock_guard lock{me.mutex};
  if (me.server) return endpoint();
  std::unique_ptr<state_store> store;
  if (!me.options.data.empty()) {
    auto opened = state_store::open(me.options.data);
    if (!opened) return opened.error();
    store = std::move(*opened);
  }
  // Each life draws other ids: those of the last one may be in the store.
  me.run = std::make_unique<engine_run>(
      me.options, me.options.seed + 1000 * me.lives++, std::move(store));
  if (const auto ready = me.run->prepare(); !ready) return ready.error();
  auto server = std::make_unique<web_server>(*me.run);
  const auto wanted = me.port != 0 ? me.port.load() : me.options.port;
  const auto bound = server->start(me.options.address, wanted);
  if (!bound) return bound.error();
  me.port = *bound;
  me.server = std::move(server);
  me.on_thread([url = endpoint()](engine_run& r) { r.set_url(url); });
  return endpoint();
}

void dev_engine::stop() { implementation_->end(false); }

void dev_engine::kill() { implementation_->end(true); }

bool dev_engine::running() const {
  const std::lock_guard lock{implementation_->mutex};
  return implementation_->server != nullptr;
}

std::uint16_t dev_engine::port() const { return implementation_->port; }

std::string dev_engine::endpoint() const {
  return "http://" + implementation_->options.address + ":" + std::to_string(port());
}

dev_engine_stats dev_engine::stats() const {
  auto& me = *implementation_;
  const std::lock_guard lock{me.mutex};
  auto out = me.last_stats;
  me.on_thread([&](engine_run& r) { out = r.stats(); });
  return out;
}

void dev_engine::inject(const fault& f) {
  auto& me = *implementation_;
  const std::lock_guard lock{me.mutex};
  me.on_thread([&](engine_run& r) { r.inject(f); });
}

void dev_engine::clear_faults() {
  auto& me = *implementation_;
  const std::lock_guard lock{me.mutex};
  me.on_thread([](engine_run& r) { r.clear_faults(); });
}

}  // namespace nuncio::testing
