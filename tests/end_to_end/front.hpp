// What may be in front of an engine: TLS termination, token checks, a proxy. It reads the heads of passing requests, records
// them, and answers those itself that a case does not let through.
//
// Threads: one that accepts, one for each connection; judges run on the latter, one at a time.
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace nuncio::e2e {

/// A request as it came.
struct front_request {
  std::string head;
  std::string server_name{};  ///< that TLS was begun with

  /// Of a header, whatever the case of its name; empty without one.
  [[nodiscard]] std::string header(std::string_view name) const;

  [[nodiscard]] bool is_connect() const { return head.starts_with("CONNECT "); }

  [[nodiscard]] bool is_websocket() const { return !header("Upgrade").empty(); }
};

class front {
public:
  /// The answer that a request gets instead of passing; empty: it passes.
  using judge = std::function<std::string(const front_request&)>;

  /// @param behind  port on loopback of whom requests pass on to
  /// @param tls     what it shows; null: it speaks plain HTTP. Lives longer than this
  explicit front(std::uint16_t behind, SSL_CTX* tls = nullptr, judge ask = {});
  ~front();
  front(const front&) = delete;
  front& operator=(const front&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }

  /// From the next connection on.
  void show(SSL_CTX* tls) { tls_ = tls; }

  /// What comes from behind passes no faster than so many bytes a second, on each connection; 0: as it comes.
  void slow_down(std::size_t bytes_per_second) { rate_ = bytes_per_second; }

  /// Resets every connection.
  void cut() { ++cuts_; }

  /// All that were read, also those that did not pass.
  [[nodiscard]] std::vector<front_request> requests() const;

  /// Connections on which TLS did not come about.
  [[nodiscard]] std::uint64_t without_tls() const { return without_tls_; }

private:
  void accept_loop();
  void serve(int client);
  std::string decide(const front_request& request);

  std::uint16_t behind_;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  std::atomic<SSL_CTX*> tls_;
  std::atomic<bool> over_ = false;
  std::atomic<std::uint64_t> cuts_ = 0, without_tls_ = 0;
  std::atomic<std::size_t> rate_ = 0;
  mutable std::mutex mutex_;
  std::mutex judge_mutex_;  ///< held while a judge runs
  judge ask_;
  std::vector<front_request> requests_;
  std::list<std::thread> pipes_;
  std::thread acceptor_;
};

/// A judge that makes a front a proxy for `authority`, which nobody else knows: other targets get 502, and without these
/// credentials ("user:password") there is 407. Empty: none are asked for.
front::judge proxy_for(std::string authority, const std::string& credentials = {});

/// A judge that lets nobody pass whose token `is_right` does not take; empty: there was none.
front::judge token_gate(std::function<bool(const std::string& token)> is_right);

}  // namespace nuncio::e2e
