// The real Rivet engine as a child process on free loopback ports with its own data folder: start, stop, kill, freeze, restart.
// For tests and the demo. One owner, one thread at a time. Its end is as process.hpp says.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <nuncio/outcome.hpp>
#include <optional>
#include <string>
#include <vector>

#include "process.hpp"

namespace nuncio {

struct rivet_engine_options {
  std::string binary{};  ///< empty: NUNCIO_RIVET_ENGINE
  std::string folder{};  ///< for data, settings and log; empty: a temporary one, removed at the end
  bool streaming = false;                  ///< the streaming gateway instead of the buffered one
  std::vector<std::string> environment{};  ///< additional variables: NAME=value
  std::chrono::milliseconds start_limit{std::chrono::seconds{60}};
  std::chrono::milliseconds stop_limit{std::chrono::seconds{15}};  ///< then SIGKILL
};

class rivet_engine {
public:
  explicit rivet_engine(rivet_engine_options options = {});
  /// Kills the engine if it still runs.
  ~rivet_engine();
  rivet_engine(const rivet_engine&) = delete;
  rivet_engine& operator=(const rivet_engine&) = delete;

  /// Starts it and waits for /health. After stop() or kill(): with the same ports and data.
  /// @returns errc::invalid_argument (no binary) | timed_out | internal, with the log's last lines
  outcome<void> start();
  /// Sends SIGTERM and waits for its end.
  void stop();
  /// Sends SIGKILL and waits for its end.
  void kill();
  /// SIGSTOP and SIGCONT.
  void freeze();
  void thaw();

  [[nodiscard]] bool running();

  [[nodiscard]] std::uint16_t port() const { return ports_[0]; }

  [[nodiscard]] std::string endpoint() const;

  [[nodiscard]] std::filesystem::path log_file() const { return folder_ / "engine.log"; }

  [[nodiscard]] std::string log_tail(std::size_t bytes_max = 2000) const;

private:
  outcome<void> spawn();

  rivet_engine_options options_;
  std::filesystem::path folder_;
  bool folder_is_ours_ = false;
  std::array<std::uint16_t, 3> ports_{};  ///< gateway and API, peer, metrics
  std::optional<process> child_;
  bool started_before_ = false;
};

}  // namespace nuncio
