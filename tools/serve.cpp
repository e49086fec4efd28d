// `nuncio serve`: hosts the sample actors until a signal comes.
#include <fmt/format.h>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <nuncio/host.hpp>

#include "commands.hpp"
#include "console_log.hpp"
#include "sample_actors.hpp"

namespace nuncio {
namespace {

struct serve_flags {
  host_options host;
  double drain_timeout_s = 30;
  std::string log_format = "text";
};

int serve(serve_flags& flags) {
  flags.host.drain_timeout = std::chrono::milliseconds{static_cast<long>(flags.drain_timeout_s * 1000)};
  flags.host.log = console_log(flags.log_format);
  caf::actor_system_config config;
  recommended(config);
  caf::actor_system system{config};
  auto& options = flags.host;
  options.on_ready = [&options] {
    fmt::print(
        "ready: endpoint={} namespace={} pool={} version={} protocol={}\n",
        options.endpoint,
        options.namespace_name,
        options.pool,
        options.actors_version,
        options.protocol_version);
    std::fflush(stdout);
  };
  host the_host{system, options};
  serve_samples(the_host, std::make_shared<start_census>());
  return the_host.run_until_signal();
}

}  // namespace

void add_serve(CLI::App& app, int& status) {
  auto flags = std::make_shared<serve_flags>();
  auto& h = flags->host;
  auto* command = app.add_subcommand("serve", "Host the sample actors: counter, echo and bench");
  command->add_option("--endpoint", h.endpoint, "URL of the engine")
      ->envname("RIVET_ENDPOINT")
      ->capture_default_str();
  command->add_option("--namespace", h.namespace_name, "Namespace; must exist")
      ->envname("RIVET_NAMESPACE")
      ->capture_default_str();
  command->add_option("--pool", h.pool, "Pool; created if it is missing")
      ->envname("RIVET_POOL")
      ->capture_default_str();
  command->add_option("--token", h.token, "Token of the engine")->envname("RIVET_TOKEN");
  command->add_option("--envoy-key", h.envoy_key, "For tests: a fixed key instead of a random one");
  command->add_option("--actors-version", h.actors_version, "Version of the hosted code")
      ->envname("RIVET_ENVOY_VERSION")
      ->capture_default_str();
  command->add_option("--protocol-version", h.protocol_version, "3, 4, 5, 6 or 8")
      ->check(CLI::IsMember({3, 4, 5, 6, 8}))
      ->capture_default_str();
  command->add_option("--drain-timeout", flags->drain_timeout_s, "Seconds that actors get to sleep or move")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  command->add_option("--log-format", flags->log_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command->callback([flags, &status] { status = serve(*flags); });
}

}  // namespace nuncio
