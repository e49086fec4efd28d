// What the web server's connections share: how they end, and where they are listed. Private to the server, whose files are the
// only ones that include Boost.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <chrono>
#include <cstddef>
#include <random>
#include <set>

#include "body_room.hpp"

namespace nuncio::testing::engine {

namespace asio = boost::asio;
namespace beast = boost::beast;
using tcp = asio::ip::tcp;
using boost::system::error_code;

/// Time for a client that is still sending to read the final response.
inline constexpr auto linger_limit = std::chrono::seconds{2};

/// A TCP socket that a kill has to reset.
class web_connection {
public:
  virtual ~web_connection() = default;
  virtual void reset_now(bool by_reset) = 0;
};

/// All connections of one server; outlives them.
struct web_registry {
  std::set<web_connection*> open;
  body_room bodies{std::size_t{512} << 20U};       ///< of requests that are not answered
  std::mt19937_64 random{std::random_device{}()};  ///< for ids that need no later lookup
};

inline void end_socket(tcp::socket& socket, bool by_reset) {
  error_code ignored;
  if (by_reset) socket.set_option(asio::socket_base::linger(true, 0), ignored);
  if (!by_reset) socket.shutdown(tcp::socket::shutdown_both, ignored);
  socket.close(ignored);
}

}  // namespace nuncio::testing::engine
