// A host that runs until its process gets a signal to end.
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <nuncio/host/host_impl.hpp>
#include <thread>

namespace nuncio {
namespace {

// Signals reach a process, not an object, so there is one eventfd for all. It holds the sum of what was written since the last
// read: 1 for each signal, and no_more_signals at the end.
constexpr std::uint64_t no_more_signals = std::uint64_t{1} << 32U;

int signal_fd() {
  static const int fd = eventfd(0, EFD_CLOEXEC);
  return fd;
}

extern "C" void handle_signal(int) {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = write(signal_fd(), &one, sizeof one);
}

}  // namespace

int host::run_until_signal() {
  const int fd = signal_fd();

  struct sigaction action {};

  action.sa_handler = handle_signal;

  struct sigaction old_int {
  }, old_term{};

  sigaction(SIGINT, &action, &old_int);
  sigaction(SIGTERM, &action, &old_term);
  const auto restore = [&] {
    sigaction(SIGINT, &old_int, nullptr);
    sigaction(SIGTERM, &old_term, nullptr);
  };
  if (auto started = start(); !started) {
    restore();
    log_to(impl_->options.log, log_level::error, started.error().message);
    return started.error().code == errc::invalid_argument ? 2 : 1;
  }
  // One thread waits for signals, so that this one can also wait for the host's own end, and a second signal is seen while this
  // one stops the host.
  bool told_to_stop = false;
  std::thread waiter{[this, fd, &told_to_stop] {
    std::uint64_t signals = 0, sum = 0;
    while (sum < no_more_signals) {
      if (read(fd, &sum, sizeof sum) != sizeof sum) {
        sum = 0;
        continue;
      }
      signals += sum % no_more_signals;  // one read may return several
      if (signals > 1) _exit(1);
      if (signals == 0) continue;
      {
        const std::lock_guard guard{impl_->mutex};
        told_to_stop = true;
      }
      impl_->changed.notify_all();
    }
  }};
  {
    std::unique_lock guard{impl_->mutex};
    impl_->changed.wait(guard, [&] {
      return told_to_stop || impl_->final || impl_->now_in == impl::phase::stopped;
    });
  }
  stop();
  const auto why = ended();
  restore();
  [[maybe_unused]] const auto n = write(fd, &no_more_signals, sizeof no_more_signals);
  waiter.join();
  if (!why || why->code == errc::cancelled) return 0;
  return why->code == errc::refused || why->code == errc::evicted ? 3 : 1;
}

}  // namespace nuncio
