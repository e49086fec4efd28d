// A small asynchronous HTTP client on libcurl, which is used in http_client.cpp only. One thread, on which every callback runs.
// Bodies, time and the number of calls are limited. It never throws, never retries and follows no redirects.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <nuncio/outcome.hpp>
#include <nuncio/tls_options.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nuncio {

/// A request.
struct http_call {
  std::string method = "GET";
  std::string url;  ///< http or https
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::chrono::milliseconds timeout{
      10000};  ///< for the whole call, name resolution included; 1 ms to one day
};

/// The response, whatever its status.
struct http_reply {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string body;

  /// The first header with that (lower-case) name, or empty.
  [[nodiscard]] std::string_view header(std::string_view name) const {
    for (const auto& [key, value] : headers)
      if (key == name) return value;
    return {};
  }
};

struct http_client_options {
  std::size_t calls_max = 256;       ///< under way or waiting, from 1; more fail with queue_full
  std::size_t connections_max = 32;  ///< kept and reused, 1 to 65,535; calls wait for a free one
  std::size_t body_bytes_max = std::size_t{8}
                               << 20;  ///< of a response; a longer one fails with too_large
  tls_options tls{};
  bool proxy_from_environment = true;  ///< read for each call: see proxy.hpp
};

/// Any thread may send.
class http_client {
public:
  using callback = std::function<void(outcome<http_reply>)>;

  /// With an option out of range each call fails with errc::invalid_argument and its name.
  explicit http_client(http_client_options options = {});

  /// Ends all calls with errc::cancelled and joins; from a callback it does not wait for the calls to end.
  ~http_client();
  http_client(const http_client&) = delete;
  http_client& operator=(const http_client&) = delete;

  /// Calls `done` exactly once: on the client's thread, or before send returns if the call is not accepted at all (queue_full,
  /// cancelled).
  /// Fails with queue_full | invalid_argument | unreachable | timed_out | too_large | refused (TLS) | cancelled.
  void send(http_call call, callback done);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace nuncio
