// Many client WebSockets at once, on one thread and one io_context, for what one host must bear. Each call waits for its end
// without a limit of its own: the suite has one.
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

  /// How many WebSockets the limit of open files allows, with `each` files for one.
  [[nodiscard]] std::size_t most(std::size_t each) const;

  /// Opens one more. @returns whether it was accepted
  bool open(std::uint16_t port, const std::string& path);
  /// What number `n` is answered when it says `text`; empty when it is closed.
  std::string ask(std::size_t n, const std::string& text);
  [[nodiscard]] std::size_t size() const;
  /// Ends all TCP connections without a word.
  void drop();

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace nuncio::e2e
