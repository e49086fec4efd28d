// See rivet_engine.hpp.
#include "rivet_engine.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <nuncio/testing/client.hpp>
#include <system_error>
#include <thread>
#include <vector>

extern char** environ;

namespace nuncio {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using std::chrono::steady_clock;

constexpr int port_tries_max = 3;

/// Three free ports; held at the same time so that they differ.
std::array<std::uint16_t, 3> free_ports() {
  std::array<std::uint16_t, 3> out{};
  std::array<int, 3> held{};
  for (std::size_t i = 0; i < out.size(); ++i) {
    held[i] = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    auto* address = reinterpret_cast<sockaddr*>(&at);
    if (::bind(held[i], address, size) == 0 && ::getsockname(held[i], address, &size) == 0)
      out[i] = ntohs(at.sin_port);
  }
  for (const int fd : held)
    if (fd >= 0) ::close(fd);
  return out;
}

std::vector<std::string> child_environment(const rivet_engine_options& options) {
  std::vector<std::string> out;
  for (char** at = environ; *at != nullptr; ++at)
    if (!std::string_view{*at}.starts_with("RIVET_")) out.emplace_back(*at);
  out.emplace_back("RIVET__TELEMETRY__ENABLED=false");
  // Without it the engine sheds load on a small machine, and creates and wakes stall for seconds.
  out.emplace_back("RIVET__RUNTIME__WORKER_CPU_MAX=64000");
  if (options.streaming) {
    out.emplace_back("RIVET__FEATURES__GUARD_GATEWAY_V3__MODE=on");
    out.emplace_back("RIVET__FEATURES__GUARD_GATEWAY_V3__PERCENTAGE=100");
  }
  out.insert(out.end(), options.environment.begin(), options.environment.end());
  return out;
}

json settings_of(const std::array<std::uint16_t, 3>& ports, const fs::path& data) {
  return {
      {"guard", {{"port", ports[0]}}},
      {"api_peer", {{"port", ports[1]}}},
      {"metrics", {{"port", ports[2]}}},
      {"file_system", {{"path", data.string()}}},
      {"telemetry", {{"enabled", false}}},
      {"topology",
       {{"datacenter_label", 1},
        {"datacenters",
         {{"default",
           {{"datacenter_label", 1},
            {"is_leader", true},
            {"public_url", fmt::format("http://127.0.0.1:{}", ports[0])},
            {"peer_url", fmt::format("http://127.0.0.1:{}", ports[1])}}}}}}}};
}

/// A new engine is healthy a moment before its namespace "default" exists.
bool has_namespace(const testing::client& client) {
  const auto reply = client.call({.target = "/namespaces?name=default"});
  return reply && reply->status == 200 && reply->body.find("\"namespace_id\"") != std::string::npos;
}

}  // namespace

rivet_engine::rivet_engine(rivet_engine_options options) : options_(std::move(options)) {
  if (options_.binary.empty())
    if (const char* named = std::getenv("NUNCIO_RIVET_ENGINE")) options_.binary = named;
  folder_ = options_.folder;
}

rivet_engine::~rivet_engine() {
  kill();
  std::error_code ignored;
  if (folder_is_ours_) fs::remove_all(folder_, ignored);
}

std::string rivet_engine::endpoint() const { return fmt::format("http://127.0.0.1:{}", ports_[0]); }

outcome<void> rivet_engine::start() {
  if (running()) return {};
  if (options_.binary.empty())
    return failure{
        errc::invalid_argument,
        "no rivet-engine: set NUNCIO_RIVET_ENGINE to its path (tools/dev engine fetches it and "
        "prints the path)"};
  if (::access(options_.binary.c_str(), X_OK) != 0)
    return failure{
        errc::invalid_argument, "NUNCIO_RIVET_ENGINE=" + options_.binary + " can't be executed"};
  if (folder_.empty()) {
    auto pattern = (fs::temp_directory_path() / "nuncio-engine-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr)
      return failure{errc::internal, "no temporary folder: " + pattern};
    folder_ = pattern;
    folder_is_ours_ = true;
  }
  std::error_code ec;
  fs::create_directories(folder_ / "data", ec);
  if (ec) return failure{errc::internal, folder_.string() + ": " + ec.message()};

  // Another process may take a port between our check and the engine's bind: then try again with other ports.
  for (int tried = 1;; ++tried) {
    if (!started_before_) ports_ = free_ports();
    if (auto spawned = spawn(); !spawned) return spawned;
    const testing::client client{{.endpoint = endpoint(), .timeout = std::chrono::seconds{2}}};
    const auto end = steady_clock::now() + options_.start_limit;
    while (running() && steady_clock::now() < end) {
      if (client.health() && has_namespace(client)) {
        started_before_ = true;
        return {};
      }
      std::this_thread::sleep_for(std::chrono::milliseconds{50});
    }
    if (running()) {
      kill();
      return failure{
          errc::timed_out, "rivet-engine did not become healthy in time:\n" + log_tail()};
    }
    if (started_before_ || tried == port_tries_max)
      return failure{errc::internal, "rivet-engine ended while starting:\n" + log_tail()};
  }
}

outcome<void> rivet_engine::spawn() {
  const auto config = folder_ / "engine.json";
  std::ofstream{config} << settings_of(ports_, folder_ / "data").dump(2) << '\n';
  try {
    child_.emplace(
        std::vector<std::string>{options_.binary, "--config", config.string(), "start"},
        process_options{
            .environment = child_environment(options_), .log_file = log_file().string()});
  } catch (const std::system_error& e) {
    return failure{errc::internal, e.what()};
  }
  return {};
}

bool rivet_engine::running() { return child_ && child_->running(); }

void rivet_engine::stop() {
  if (!running()) return;
  child_->signal(SIGTERM);
  child_->signal(SIGCONT);
  if (!child_->await_exit(options_.stop_limit)) kill();
}

void rivet_engine::kill() { child_.reset(); }

void rivet_engine::freeze() {
  if (running()) child_->signal(SIGSTOP);
}

void rivet_engine::thaw() {
  if (running()) child_->signal(SIGCONT);
}

std::string rivet_engine::log_tail(std::size_t bytes_max) const {
  std::ifstream in{log_file(), std::ios::binary | std::ios::ate};
  if (!in) return "(no log)";
  const auto size = static_cast<std::size_t>(in.tellg());
  const auto from = size > bytes_max ? size - bytes_max : 0;
  in.seekg(static_cast<std::streamoff>(from));
  std::string out(size - from, '\0');
  in.read(out.data(), static_cast<std::streamsize>(out.size()));
  return out;
}

}  // namespace nuncio
