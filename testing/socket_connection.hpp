// The interface behind a socket_client: see socket_client.hpp for its functions.
#pragma once

#include <nuncio/testing/socket_client.hpp>

namespace nuncio::testing {

class socket_connection {
public:
  virtual ~socket_connection() = default;
  [[nodiscard]] virtual int http_status() const = 0;
  virtual outcome<void> send(std::string_view data, bool binary) = 0;
  virtual outcome<client_message> receive(std::chrono::milliseconds limit) = 0;
  virtual outcome<void> close(std::uint16_t code, std::string_view reason) = 0;
  virtual void drop() = 0;
  /// Nothing more can be sent or received.
  [[nodiscard]] virtual bool is_over() const = 0;
  [[nodiscard]] virtual std::optional<std::uint16_t> close_code() const = 0;
  [[nodiscard]] virtual std::string close_reason() const = 0;
};

}  // namespace nuncio::testing
