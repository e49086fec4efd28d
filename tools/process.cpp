// See process.hpp.
#include "process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <thread>

extern char** environ;

namespace nuncio {
namespace {

using namespace std::chrono_literals;

constexpr int not_run = 127;

std::vector<char*> pointers(std::vector<std::string>& xs) {
  std::vector<char*> out;
  out.reserve(xs.size() + 1);
  for (auto& x : xs) out.push_back(x.data());
  out.push_back(nullptr);
  return out;
}

void close(int fd) {
  if (fd >= 0) ::close(fd);
}

// The child, from fork to exec: nothing that needs memory, since another thread may have held the allocator's lock.
[[noreturn]] void become(
    char* const* arguments,
    char* const* environment,
    pid_t parent,
    int input,
    int output,
    int errors) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(not_run);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::dup2(input, 0);
  ::dup2(output, 1);
  ::dup2(errors, 2);
  ::execve(arguments[0], arguments, environment);
  ::_exit(not_run);
}

}  // namespace

process::process(std::vector<std::string> command_line, process_options options) {
  const int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  int pipes[2]{-1, -1};
  if (input >= 0 && options.log_file.empty()) {
    if (::pipe2(pipes, O_CLOEXEC) == 0) errors_ = ::memfd_create("stderr", MFD_CLOEXEC);
  } else if (input >= 0) {
    pipes[1] = ::open(options.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  }
  output_ = pipes[0];
  const int errors = options.log_file.empty() ? errors_ : pipes[1];
  auto argv = pointers(command_line);
  auto envp = pointers(options.environment);
  char* const* const environment = options.environment.empty() ? environ : envp.data();
  const auto parent = ::getpid();
  if (errors >= 0) pid_ = ::fork();
  if (pid_ == 0) become(argv.data(), environment, parent, input, pipes[1], errors);
  const int why = errno;
  close(input);
  close(pipes[1]);
  if (pid_ > 0) return;
  close(output_);
  close(errors_);
  auto what = "can't run " + command_line[0];
  if (!options.log_file.empty()) what += " with the log " + options.log_file;
  throw std::system_error{why, std::generic_category(), what};
}

process::~process() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  close(output_);
  close(errors_);
}

void process::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

bool process::running() {
  if (pid_ <= 0) return false;
  int status = 0;
  const auto seen = ::waitpid(pid_, &status, WNOHANG);
  if (seen == 0) return true;
  if (seen == pid_) status_ = status;
  pid_ = -1;
  return false;
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
  while (running()) {
    if (std::chrono::steady_clock::now() >= deadline) return std::nullopt;
    std::this_thread::sleep_for(5ms);  // waitpid has no limit of its own
  }
  if (!status_) return std::nullopt;
  return WIFEXITED(*status_) ? WEXITSTATUS(*status_) : 128 + WTERMSIG(*status_);
}

std::string process::log() const {
  std::string out(
      static_cast<std::size_t>(std::max<off_t>(0, ::lseek(errors_, 0, SEEK_CUR))), '\0');
  const auto n = ::pread(errors_, out.data(), out.size(), 0);
  out.resize(static_cast<std::size_t>(std::max<ssize_t>(0, n)));
  return out;
}

}  // namespace nuncio
