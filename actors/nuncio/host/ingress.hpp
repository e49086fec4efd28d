// The actor that receives everything from the engine: the only owner of the command ledger, of the instances' lifecycles and of
// the routes of exchanges, all of which its host_machine holds. It forwards only fresh commands. One for each host, detached by
// default; it must never block. A shell: turns messages into calls, and outputs into messages.
#pragma once

#include <caf/event_based_actor.hpp>
#include <functional>
#include <memory>
#include <nuncio/actor/instance_context.hpp>
#include <nuncio/directory.hpp>
#include <nuncio/host/counters.hpp>
#include <nuncio/host/host_machine.hpp>
#include <nuncio/host/internal_messages.hpp>
#include <nuncio/host/served.hpp>
#include <nuncio/host/system_watch.hpp>
#include <optional>
#include <vector>

namespace nuncio {

struct ingress_options : host_limits {
  internal::factories factories;
  std::shared_ptr<link_port> link;
  caf::actor storage;
  std::shared_ptr<counters> counts;
  log_sink log;
  std::function<time_point()> now = boot_clock::now;
  /// The clock for alarms.
  std::function<std::chrono::system_clock::time_point()> wall_now = std::chrono::system_clock::now;
  /// The limit for threads of detached actors in the actor system, including the application's own and four of the runtime. A
  /// Start beyond it is answered with Stopped(Error). Far below what a process may have.
  std::size_t detached_max = 1024;
  /// The first messages on every connection.
  std::vector<protocol::to_rivet> greeting;
  /// Called on ingress's thread: the first replay barrier has passed; the link is over; the host is done.
  std::function<void()> on_ready;
  std::function<void(const failure&)> on_final;
  std::function<void()> on_done;
  /// Called when much memory was freed: returns the allocator's unused memory. Must not block.
  std::function<void()> release_memory;
  /// For a simulation: see host_machine_options.
  command_observer on_judged;
  /// The actor system is shutting down before the host: nothing may keep ingress alive once this has returned.
  std::function<void()> on_system_end;
};

class ingress final : public caf::event_based_actor {
public:
  ingress(caf::actor_config& cfg, ingress_options options, caf::actor ack, caf::actor outbox);

  caf::behavior make_behavior() override;

  const char* name() const override { return "nuncio.ingress"; }

  void on_exit() override;

  /// For a simulation, which runs it on its own thread. Not after the end.
  [[nodiscard]] host_machine& machine() { return *machine_; }

private:
  /// The local side of an instance, by its number.
  struct place {
    caf::actor handle;  ///< null before it is spawned, and once it is down
    std::shared_ptr<instance_context> context;
  };

  host_roster roster();
  std::shared_ptr<instance_base> make_context(std::uint64_t term);
  template <class T>
  void feed(T& what);
  void handle_system_end();
  void settle(const actor_ref& who, const caf::actor& handle);
  caf::result<caf::actor> found(std::optional<instance_number> at) const;

  // -- outputs of the machine
  void carry_out();
  void carry_out(host_output::message& x);
  void carry_out(const host_output::spawn& x);
  void carry_out(const host_output::forget& x);
  void carry_out(const host_output::kill& x);
  void carry_out(const host_output::outputs_closed& x);
  void carry_out(const host_output::storage_up& x);
  void carry_out(internal::processed& x);
  void carry_out(internal::outbox_batch& x);
  void carry_out(const host_output::drain_outbox& x);
  void carry_out(const host_output::ready& x);
  void carry_out(const host_output::link_over& x);
  void carry_out(const host_output::done& x);
  void carry_out(const host_output::release_memory& x);

  void after_input();
  void handle_tick(std::uint64_t serial);
  void flush();
  void launch_fresh();
  void set_timer();

  ingress_options options_;
  caf::actor ack_;
  caf::actor outbox_;
  std::shared_ptr<internal::error_log> errors_;
  std::optional<host_machine> machine_;  ///< none once this is over
  std::vector<place> places_;
  std::vector<caf::actor> launching_;  ///< spawned, not yet scheduled
  bool flush_asked_ = false;
  std::uint64_t tick_serial_ = 0;
  std::optional<time_point> tick_at_;
  bool system_over_ = false;
  internal::system_watch system_watch_;
};

}  // namespace nuncio
