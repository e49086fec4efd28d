// Many client WebSockets at once, on one thread and one io_context, as load for one host. A call that takes longer than 90 s
// returns with what was done by then, and every later call with nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace nuncio::e2e {

class socket_crowd {
public:
  /// Raises this process's limit of open files as far as it may.
  socket_crowd();
  ~socket_crowd();
  socket_crowd(const socket_crowd&) = delete;
  socket_crowd& operator=(const socket_crowd&) = delete;

  /// How many WebSockets the limit of open files allows.
  [[nodiscard]] std::size_t most() const;

  /// Opens `n` more, `at_once` of them at the same time. @returns how many were accepted
  std::size_t open(std::uint16_t port, const std::string& path, std::size_t n, std::size_t at_once);
  /// Has each say its number, `at_once` of them at the same time. @returns how many an actor that answers JSON has answered
  /// with that `text`
  std::size_t ask_all(std::size_t at_once);
  [[nodiscard]] std::size_t size() const;
  /// Ends the TCP connections of the last `n` without a word.
  void drop(std::size_t n);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace nuncio::e2e
