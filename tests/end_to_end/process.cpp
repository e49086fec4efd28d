// See process.hpp.
#include "process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <thread>

extern char** environ;

namespace nuncio::e2e {

using namespace std::chrono_literals;

process::process(std::vector<std::string> command_line) {
  int pipes[2];
  if (::pipe2(pipes, O_CLOEXEC) != 0) throw std::runtime_error{"no pipe"};
  errors_ = ::memfd_create("stderr", MFD_CLOEXEC);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
  posix_spawn_file_actions_adddup2(&actions, errors_, 2);
  std::vector<char*> arguments;
  arguments.reserve(command_line.size() + 1);
  for (auto& x : command_line) arguments.push_back(x.data());
  arguments.push_back(nullptr);
  const int failed =
      ::posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(pipes[1]);
  output_ = pipes[0];
  if (failed != 0) throw std::runtime_error{"can't run " + command_line[0]};
}

process::~process() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::kill(pid_, SIGCONT);
    ::waitpid(pid_, nullptr, 0);
  }
  ::close(output_);
  ::close(errors_);
}

void process::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

bool process::await_line(std::string_view prefix, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    for (std::size_t end = 0; (end = held_.find('\n')) != std::string::npos;) {
      line_ = held_.substr(0, end);
      held_.erase(0, end + 1);
      if (line_.starts_with(prefix)) return true;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left <= 0ms) return false;
    pollfd p{output_, POLLIN, 0};
    if (::poll(&p, 1, static_cast<int>(left.count())) <= 0) return false;
    char buffer[4096];
    const auto n = ::read(output_, buffer, sizeof buffer);
    if (n <= 0) return false;
    held_.append(buffer, static_cast<std::size_t>(n));
  }
}

std::optional<int> process::await_exit(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  do {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    std::this_thread::sleep_for(5ms);  // waitpid has no limit of its own
  } while (std::chrono::steady_clock::now() < deadline);
  return std::nullopt;
}

std::string process::log() const {
  std::string out(
      static_cast<std::size_t>(std::max<off_t>(0, ::lseek(errors_, 0, SEEK_CUR))), '\0');
  const auto n = ::pread(errors_, out.data(), out.size(), 0);
  out.resize(static_cast<std::size_t>(std::max<ssize_t>(0, n)));
  return out;
}

std::vector<std::string> serve_command(
    const std::string& endpoint, const std::string& pool, const std::vector<std::string>& more) {
  std::vector<std::string> out{NUNCIO_PROGRAM, "serve", "--endpoint", endpoint, "--pool", pool};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

}  // namespace nuncio::e2e
