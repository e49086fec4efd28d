// A proxy between one host and its engine that forwards every byte unchanged, inspects the traffic, and cuts the connection at
// the worst moments. Plain HTTP passes through too, since a host's endpoint is one URL.
//
// A cut ends the stream to the host in good order, so that everything delivered is sure to be read, and resets the connection
// to the engine. Thread: one of its own; every member may be called from any other.
// from any other.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nuncio/outcome.hpp>
#include <string>

#include "proxy/wire_audit.hpp"

namespace nuncio {

struct cutting_proxy_options {
  std::uint16_t engine_port = 0;  ///< on 127.0.0.1
  std::uint64_t seed = 1;         ///< for how long acks are swallowed before a cut
};

class cutting_proxy {
public:
  explicit cutting_proxy(cutting_proxy_options options);
  ~cutting_proxy();
  cutting_proxy(const cutting_proxy&) = delete;
  cutting_proxy& operator=(const cutting_proxy&) = delete;

  /// Listens on 127.0.0.1. @returns the port, or errc::unreachable
  outcome<std::uint16_t> start();
  void stop();
  [[nodiscard]] std::string endpoint() const;

  /// Cuts at the next such moment.
  void arm(proxy::cut_moment at);
  void disarm();
  /// Cuts now.
  void cut();

  [[nodiscard]] proxy::audit_stats stats() const;
  /// Waits until `good` holds for the counters. @returns whether it did within `limit`
  bool wait_for(
      const std::function<bool(const proxy::audit_stats&)>& good,
      std::chrono::milliseconds limit) const;

private:
  struct implementation;
  std::unique_ptr<implementation> implementation_;
};

}  // namespace nuncio
