// A child process: the real engine, or a program of ours in tests of what only a real process has, signals and exit statuses.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nuncio {

struct process_options {
  std::vector<std::string> environment{};  ///< NAME=value; empty: that of this process
  /// Everything that it writes is appended to this file. Empty: its standard output can be awaited, and log() has its standard
  /// error.
  std::string log_file{};
};

/// Killed at the end of this object, and with the thread that made it. It has no input, and Ctrl-C at a terminal does not reach
/// it. One thread at a time.
class process {
public:
  /// @param command_line  begins with the program's path
  /// @throws std::system_error if no child can be made. A program that can't be run has the exit status 127.
  explicit process(std::vector<std::string> command_line, process_options options = {});
  ~process();
  process(const process&) = delete;
  process& operator=(const process&) = delete;

  void signal(int number) const;

  /// As /proc has it; -1 once its end has been noticed.
  [[nodiscard]] pid_t pid() const { return pid_; }

  [[nodiscard]] bool running();

  /// Waits for a line of its standard output that begins with `prefix`.
  bool await_line(
      std::string_view prefix, std::chrono::milliseconds limit = std::chrono::seconds{20});

  /// The line that was found last.
  [[nodiscard]] const std::string& line() const { return line_; }

  /// Waits for its end. @returns the exit status, or 128 + n for a signal; none if it did not end in time
  std::optional<int> await_exit(std::chrono::milliseconds limit = std::chrono::seconds{30});

  /// What it has written to standard error.
  [[nodiscard]] std::string log() const;

private:
  pid_t pid_ = -1;
  std::optional<int> status_;  ///< of its end; none if somebody else has asked for it
  int output_ = -1;            ///< of a pipe; -1: none
  int errors_ = -1;            ///< an anonymous file; -1: none
  std::string held_, line_;
};

}  // namespace nuncio
