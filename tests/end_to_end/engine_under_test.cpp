// See engine_under_test.hpp.
#include "engine_under_test.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nuncio/testing/dev_engine.hpp>
#include <optional>
#include <string_view>

#include "process.hpp"
#include "rivet_engine.hpp"

namespace nuncio::e2e {
namespace {

// The dev engine as a program.
class engine_program {
public:
  engine_program(bool streaming, std::string data)
      : streaming_(streaming), data_(std::move(data)) {}

  void start() {
    std::vector<std::string> command{NUNCIO_PROGRAM, "engine", "--port", std::to_string(port_)};
    if (streaming_) command.emplace_back("--streaming");
    if (!data_.empty()) command.insert(command.end(), {"--data", data_});
    child_.emplace(std::move(command));
    REQUIRE(child_->await_line("ready: endpoint="));
    const auto& line = child_->line();
    port_ = static_cast<std::uint16_t>(std::stoul(line.substr(line.rfind(':') + 1)));
  }

  void stop() {
    if (!child_) return;
    child_->signal(SIGTERM);
    CHECK(child_->await_exit() == 0);
  }

  void kill() { child_.reset(); }

  [[nodiscard]] std::uint16_t port() const { return port_; }

private:
  bool streaming_;
  std::string data_;
  std::optional<process> child_;
  std::uint16_t port_ = 0;
};

std::vector<std::string> crowded_environment() {
  return {
      "RIVET__PEGBOARD__GATEWAY_UPDATE_PING_INTERVAL_MS=3600000",
      "RIVET__PEGBOARD__GATEWAY_TUNNEL_PING_TIMEOUT_MS=7200000",
      "RIVET__PEGBOARD__HIBERNATING_REQUEST_ELIGIBLE_THRESHOLD=7200000"};
}

std::unique_ptr<engine_under_test>& shared(bool streaming) {
  static std::unique_ptr<engine_under_test> them[2];
  return them[streaming ? 1 : 0];
}

engine_under_test& started(bool streaming) {
  auto& it = shared(streaming);
  if (!it) it = std::make_unique<engine_under_test>(engine_setup{.streaming = streaming});
  return *it;
}

}  // namespace

engine_kind kind_under_test() {
  const char* named = std::getenv("NUNCIO_E2E_ENGINE");
  const std::string_view name = named != nullptr ? named : "dev";
  if (name == "dev") return engine_kind::dev;
  if (name == "rivet") return engine_kind::rivet;
  std::fprintf(stderr, "NUNCIO_E2E_ENGINE is '%s': must be dev or rivet\n", named);
  std::exit(2);
}

struct engine_under_test::impl {
  ~impl() {
    dev.reset();
    program.reset();
    std::error_code ignored;
    if (!data.empty()) std::filesystem::remove_all(data, ignored);
  }

  std::optional<engine_program> program;
  std::optional<testing::dev_engine> dev;
  std::optional<rivet_engine> rivet;
  std::string data;
};

engine_under_test::engine_under_test(engine_setup setup) : impl_(std::make_unique<impl>()) {
  if (setup.keep_data && kind_under_test() == engine_kind::dev) {
    auto pattern = (std::filesystem::temp_directory_path() / "nuncio-e2e-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    impl_->data = pattern;
  }
  if (kind_under_test() == engine_kind::dev && (setup.crowded || setup.apart)) {
    impl_->program.emplace(setup.streaming, impl_->data);
  } else if (kind_under_test() == engine_kind::dev) {
    testing::dev_engine_options options;
    options.streaming = setup.streaming;
    options.data = impl_->data;
    impl_->dev.emplace(std::move(options));
  } else {
    rivet_engine_options options{.streaming = setup.streaming};
    if (setup.crowded) options.environment = crowded_environment();
    impl_->rivet.emplace(std::move(options));
  }
  restart();
}

engine_under_test::~engine_under_test() = default;

void engine_under_test::kill() {
  if (impl_->program) impl_->program->kill();
  if (impl_->dev) impl_->dev->kill();
  if (impl_->rivet) impl_->rivet->kill();
}

void engine_under_test::stop() {
  if (impl_->program) impl_->program->stop();
  if (impl_->dev) impl_->dev->stop();
  if (impl_->rivet) impl_->rivet->stop();
}

void engine_under_test::restart() {
  if (impl_->program) {
    impl_->program->start();
  } else if (impl_->dev) {
    const auto started = impl_->dev->start();
    if (!started) FAIL("no dev engine: " << started.error().message);
  } else {
    const auto started = impl_->rivet->start();
    if (!started) FAIL("no rivet-engine: " << started.error().message);
  }
}

std::uint16_t engine_under_test::port() const {
  if (impl_->program) return impl_->program->port();
  return impl_->dev ? impl_->dev->port() : impl_->rivet->port();
}

std::string engine_under_test::endpoint() const {
  return "http://127.0.0.1:" + std::to_string(port());
}

std::string engine_under_test::log_tail() const {
  return impl_->rivet ? impl_->rivet->log_tail(20'000) : std::string{};
}

engine_under_test& shared_engine() { return started(false); }

engine_under_test& shared_streaming_engine() { return started(true); }

void end_shared_engines() {
  for (const bool streaming : {false, true}) shared(streaming).reset();
}

}  // namespace nuncio::e2e
