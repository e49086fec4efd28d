// `nuncio serve`: hosts the sample actors until a signal comes.
#include <fmt/format.h>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <cstdlib>
#include <nuncio/host.hpp>

#include "commands.hpp"
#include "console_log.hpp"
#include "flag_names.hpp"
#include "number_in.hpp"
#include "probe_actor.hpp"
#include "sample_actors.hpp"

namespace nuncio {
namespace {

struct serve_flags {
  host_options host;
  double drain_timeout_s = 30;
  std::string log_format = "text";
  std::string token_file;
};

int serve(serve_flags& flags) {
  flags.host.drain_timeout =
      std::chrono::milliseconds{static_cast<long>(flags.drain_timeout_s * 1000)};
  flags.host.log = with_flag_names(console_log(flags.log_format));
  if (!flags.token_file.empty())
    flags.host.token_from = token_from_file(flags.token_file);
  else if (const char* fixed = std::getenv("RIVET_TOKEN");
           fixed != nullptr && *fixed != 0 && flags.host.token.empty())
    flags.host.token = fixed;  // no source: a process's environment does not change
  else if (flags.host.token.empty())
    flags.host.token_from = token_from_environment();
  caf::actor_system_config config;
  recommended(config);
  caf::actor_system system{config};
  auto& options = flags.host;
  const host* started = nullptr;
  options.on_ready = [&] {
    fmt::print(
        "ready: endpoint={} namespace={} pool={} version={} protocol={}\n",
        options.endpoint,
        options.namespace_name,
        options.pool,
        options.actors_version,
        started->protocol_version());
    std::fflush(stdout);
  };
  host the_host{system, options};
  started = &the_host;
  const auto census = std::make_shared<start_census>();
  serve_samples(the_host, census);
  serve_probe(the_host, census);
  return the_host.run_until_signal();
}

}  // namespace

void add_serve(CLI::App& app, int& status) {
  auto flags = std::make_shared<serve_flags>();
  auto& h = flags->host;
  auto* command = app.add_subcommand(
      "serve", "Host the sample actors: counter, echo, bench and probe (docs/probe.md)");
  command->add_option("--endpoint", h.endpoint, "URL of the engine")
      ->envname("RIVET_ENDPOINT")
      ->capture_default_str();
  command->add_option("--namespace", h.namespace_name, "Namespace; must exist")
      ->envname("RIVET_NAMESPACE")
      ->capture_default_str();
  command->add_option("--pool", h.pool, "Pool; created if it is missing")
      ->envname("RIVET_POOL")
      ->capture_default_str();
  auto* token = command->add_option(
      "--token",
      h.token,
      "Token for the engine; prefer --token-file or RIVET_TOKEN, which no process list shows");
  command
      ->add_option(
          "--token-file",
          flags->token_file,
          "File with the token, read again if the engine refuses it [RIVET_TOKEN_FILE]")
      ->excludes(token);
  command->add_option("--tls-ca", h.tls.ca_file, "PEM: authorities to trust besides the system's")
      ->envname("RIVET_TLS_CA");
  command->add_option("--tls-cert", h.tls.cert_file, "PEM: certificate to show to the engine")
      ->envname("RIVET_TLS_CERT");
  command->add_option("--tls-key", h.tls.key_file, "PEM: the certificate's key")
      ->envname("RIVET_TLS_KEY");
  command
      ->add_option(
          "--tls-server-name", h.tls.server_name, "Name to verify instead of the endpoint's")
      ->envname("RIVET_TLS_SERVER_NAME");
  command->add_flag("--tls-insecure", h.tls.insecure, "For development: verify nothing");
  command->add_option("--links", h.links, "Links to the engine, each with its own envoy key")
      ->check(number_in(1, 64))
      ->capture_default_str();
  command->add_option("--envoy-key", h.envoy_key, "For tests: a fixed key instead of a random one");
  command->add_option("--actors-version", h.actors_version, "Version of the hosted code")
      ->check(number_in<std::uint32_t>(0, UINT32_MAX))
      ->envname("RIVET_ENVOY_VERSION")
      ->capture_default_str();
  command
      ->add_option(
          "--protocol-version",
          h.protocol_version,
          "3, 4, 5, 6 or 8; by default the newest that the engine speaks")
      ->check(CLI::IsMember({3, 4, 5, 6, 8}));
  command
      ->add_option("--drain-timeout", flags->drain_timeout_s, "Seconds for actors to sleep or move")
      ->check(number_in(0.0, 86400.0))
      ->capture_default_str();
  command->add_option("--log-format", flags->log_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command->callback([flags, &status] { status = serve(*flags); });
}

}  // namespace nuncio
