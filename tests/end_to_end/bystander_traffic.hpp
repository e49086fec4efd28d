// The client of one bystander: at a steady pace it does one thing of each kind in turn, checks every response exactly, and
// notes how long it took. It shares no code with the host. One thread at a time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace nuncio::e2e {

struct traffic_tally {
  std::uint64_t requests = 0;  ///< HTTP requests, and messages on WebSockets
  std::uint64_t failed = 0;    ///< HTTP requests without the right answer within ten seconds
  std::uint64_t closed = 0;    ///< WebSockets
  std::uint64_t lost = 0;      ///< counted up, said or due, and never heard of
  std::uint64_t repeated = 0;
  std::chrono::milliseconds silence{0};  ///< the longest that one answer took, or an alarm was late
  std::string silent_at{};               ///< what was waited for then
  std::vector<std::string> notes{};      ///< what went wrong, the first of it

  [[nodiscard]] std::uint64_t harm() const { return failed + closed + lost + repeated; }

  void add(const traffic_tally& more);
};

class bystander_client {
public:
  bystander_client(
      std::uint16_t port, std::string id, unsigned number, std::chrono::milliseconds pace);
  ~bystander_client();
  bystander_client(bystander_client&&) noexcept;
  bystander_client(const bystander_client&) = delete;
  bystander_client& operator=(const bystander_client&) = delete;

  /// Until `over`, and until what was asked is answered and the alarm that is set has come. What happens between two runs
  /// finds nothing on its way.
  traffic_tally run(const std::atomic<bool>& over);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace nuncio::e2e
