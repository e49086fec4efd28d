// A small asynchronous HTTP client on libcurl, which appears in http_client.cpp only. One thread, on which every callback
// runs. Bodies, time and the number of calls are limited. It never throws, never retries and follows no redirect.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nuncio/outcome.hpp"

namespace nuncio {

/// A request.
struct http_call {
  std::string method = "GET";
  std::string url;  ///< http or https
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::chrono::milliseconds timeout{10000};  ///< for all of it, name resolution included
};

/// The answer, whatever its status.
struct http_reply {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string body;

  /// The first header of that (lower-case) name, or empty.
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

struct http_client_options {
  std::size_t calls_max = 256;                       ///< under way or waiting; more fail with queue_full
  std::size_t body_bytes_max = std::size_t{8} << 20;  ///< of a reply; a longer one fails with too_large
  std::optional<std::string> ca_file{};                ///< PEM, instead of the system's authorities
  bool allow_self_signed = false;                    ///< for development: no verification at all
};

/// Any thread may send. Proxies come from the environment as libcurl reads it, but never for loopback.
class http_client {
public:
  using callback = std::function<void(outcome<http_reply>)>;

  explicit http_client(http_client_options options = {});

  /// Ends all calls with errc::cancelled and joins. Not from a callback.
  ~http_client();
  http_client(const http_client&) = delete;
  http_client& operator=(const http_client&) = delete;

  /// Calls `done` exactly once: on the client's thread, or before send returns when the call is not taken at all
  /// (queue_full, cancelled).
  /// Fails with queue_full | invalid_argument | unreachable | timed_out | too_large | refused (TLS) | cancelled.
  void send(http_call call, callback done);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace nuncio
