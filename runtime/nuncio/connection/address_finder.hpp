// Finds an address of a name that accepts a connection, on its own thread: a resolver may hang, and nothing may wait for it. At
// most one such thread for each object; it outlives the object only while the resolver does not answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nuncio/host_options.hpp>
#include <nuncio/outcome.hpp>
#include <optional>
#include <string>
#include <vector>

namespace nuncio {

/// Resolves by the system. `localhost` and names below it are this machine, even if the system does not know them (RFC 6761
/// 6.3).
outcome<std::vector<std::string>> resolve_by_system(const std::string& name);

/// Whether `host` is an IP address in the strict sense; anything else is a name (for TLS too).
bool is_ip_address(const std::string& host);

class address_finder {
public:
  /// @param resolver  empty: resolve_by_system
  /// @param wake  called on the finder's thread when poll() has an answer; never after close()
  address_finder(name_resolver resolver, std::function<void()> wake);
  ~address_finder();
  address_finder(const address_finder&) = delete;
  address_finder& operator=(const address_finder&) = delete;

  /// Starts to look for an address of `name` that answers at `port` within `limit`, and drops an earlier search.
  void begin(const std::string& name, std::uint16_t port, std::chrono::milliseconds limit);
  /// Drops the search.
  void abandon();
  /// The answer, once. A single address is not tried. @returns errc::not_found: no such name; unreachable: no address answers
  std::optional<outcome<std::string>> poll();
  /// `wake` is not called after this.
  void close();

private:
  struct shared;
  std::shared_ptr<shared> shared_;
};

}  // namespace nuncio
