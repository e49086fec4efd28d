// `nuncio engine`: the embedded dev engine as a program.
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <nuncio/testing/dev_engine.hpp>

#include "commands.hpp"
#include "number_in.hpp"

namespace nuncio {
namespace {

struct engine_flags {
  testing::dev_engine_options options;
  std::vector<std::string> faults;
};

int run_engine(engine_flags& flags) {
  for (const auto& line : flags.faults) {
    auto parsed = testing::parse_fault(line);
    if (!parsed) {
      fmt::print(stderr, "nuncio engine: --fault {}: {}\n", line, parsed.error().message);
      return 2;
    }
    flags.options.faults.push_back(*parsed);
  }
  // Blocked before the engine's thread exists, so that only sigwait below sees them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  flags.options.on_trouble = [](std::string_view what) {
    fmt::print(stderr, "nuncio engine: {}\n", what);
  };
  testing::dev_engine engine{flags.options};
  if (auto started = engine.start(); !started) {
    fmt::print(stderr, "nuncio engine: {}\n", started.error().message);
    return started.error().code == errc::invalid_argument ? 2 : 1;
  }
  fmt::print("ready: endpoint={}\n", engine.endpoint());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  engine.stop();
  return 0;
}

}  // namespace

void add_engine(CLI::App& app, int& status) {
  auto flags = std::make_shared<engine_flags>();
  flags->options.port = 6420;
  auto& o = flags->options;
  auto* command = app.add_subcommand("engine", "Run the embedded dev engine (development only)");
  command->add_option("--port", o.port, "TCP port for the API, the gateway and envoys; 0 picks one")
      ->check(number_in(0, 65535))
      ->capture_default_str();
  command->add_option("--address", o.address, "Address to listen on")->capture_default_str();
  command->add_option("--data", o.data, "Folder for actors and commands; default: memory only");
  command->add_flag(
      "--streaming", o.streaming, "Use the streaming gateway instead of the buffered one");
  command->add_option(
      "--fault",
      flags->faults,
      "Inject a fault, e.g. lose-acks:count=3 or drop:on=command; repeatable");
  command->callback([flags, &status] { status = run_engine(*flags); });
}

}  // namespace nuncio
