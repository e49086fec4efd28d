// `nuncio serve` or `nuncio engine` as a child process, for what only a real process has: signals and exit statuses.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace nuncio::e2e {

/// A child, killed at the end of its scope if it is still there. One thread.
class process {
public:
  explicit process(std::vector<std::string> command_line);
  ~process();
  process(const process&) = delete;
  process& operator=(const process&) = delete;

  void signal(int number) const;

  /// As /proc has it.
  [[nodiscard]] pid_t pid() const { return pid_; }

  /// Waits for a line of its standard output that begins with `prefix`.
  bool await_line(
      std::string_view prefix, std::chrono::milliseconds limit = std::chrono::seconds{20});

  /// The line that was found last.
  [[nodiscard]] const std::string& line() const { return line_; }

  /// Waits for its end; the exit status, 128 + n for a signal, or none when it did not end in time.
  std::optional<int> await_exit(std::chrono::milliseconds limit = std::chrono::seconds{30});
  /// What it has written to standard error.
  [[nodiscard]] std::string log() const;

private:
  pid_t pid_ = -1;
  int output_ = -1;
  int errors_ = -1;  ///< an anonymous file
  std::string held_, line_;
};

/// nuncio serve --endpoint … --pool … and `more`.
std::vector<std::string> serve_command(
    const std::string& endpoint,
    const std::string& pool,
    const std::vector<std::string>& more = {});

}  // namespace nuncio::e2e
