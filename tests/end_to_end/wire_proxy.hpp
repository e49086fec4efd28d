// A TCP proxy between a host and an engine, which reads passing WebSocket frames and does what a case orders: swallow messages,
// hold them back, replace them, cut before or after one, refuse to connect. It keeps a record of every connection.
//
// Threads: one that accepts, one for each connection; judges run on the latter and must not call the proxy.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <nuncio/messages.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace nuncio::e2e {

/// What becomes of a message, and of its connection.
enum class fate : std::uint8_t {
  pass,
  swallow,
  cut_before,
  cut_inside,  ///< its first half passes, which is no whole frame
  cut_after,
  spoil,    ///< towards the host: the first half of what it says passes, as a whole frame
  hold,     ///< kept back until one that goes the same way is to `release`
  release,  ///< passes, and after it what was held
};

/// One WebSocket of the host through this proxy.
struct wire_record {
  std::chrono::steady_clock::time_point opened;
  std::uint64_t starts = 0;  ///< Start commands that passed
  std::uint64_t stops = 0;
  std::uint64_t replayed = 0;  ///< commands before the first Ping
  std::uint64_t acks_swallowed = 0;
  std::uint64_t stopped_events = 0;
  bool barrier = false;  ///< the first Ping has passed
  bool ended = false;
};

class wire_proxy {
public:
  explicit wire_proxy(std::uint16_t engine_port, std::uint16_t protocol_version = 8);
  ~wire_proxy();
  wire_proxy(const wire_proxy&) = delete;
  wire_proxy& operator=(const wire_proxy&) = delete;

  [[nodiscard]] std::string endpoint() const;

  [[nodiscard]] std::uint16_t port() const { return port_; }

  /// Acks are read and thrown away.
  void lose_acks(bool lost) { lose_acks_ = lost; }

  /// What the host writes stays unread. A judge may call this, and nothing else: behind what it judges nothing passes.
  void stall_towards_engine(bool stalled) { stalled_ = stalled; }

  /// New connections are closed at once.
  void refuse(bool refused) { refuse_ = refused; }

  /// Resets every connection; what is on its way is lost.
  void cut();

  /// Ends every connection so that what the engine has written still reaches the host, but nothing of what the host
  /// writes reaches the engine: for counting requests, since neither engine repeats one that was lost on its way.
  void cut_towards_engine();

  /// The connections that are there fall silent: nothing passes either way any more, and neither side hears of an end. New
  /// ones are served.
  void freeze() { ++freezes_; }

  /// Sends the host of every connection this message, of which the engine knows nothing.
  void send_to_host(std::vector<std::uint8_t> payload);

  /// Has the next connection begin with this message, before what the engine says.
  void greet_host(std::vector<std::uint8_t> payload);

  /// Sends the host of every connection a frame that is no message.
  void inject_garbage() { send_to_host({0xff, 0xff, 0xff, 0xff}); }

  void judge_to_engine(std::function<fate(const protocol::to_rivet&)> judge);
  void judge_to_host(std::function<fate(const protocol::to_envoy&)> judge);

  /// Has the other side hear something else than was said, where `rewrite` changes the message and returns true. It comes
  /// before the judge, and like a judge must not call the proxy.
  void rewrite_to_engine(std::function<bool(protocol::to_rivet&)> rewrite);
  void rewrite_to_host(std::function<bool(protocol::to_envoy&)> rewrite);

  [[nodiscard]] std::vector<wire_record> records() const;
  /// Of the newest connection.
  [[nodiscard]] wire_record last() const;

  /// Waits until connection number `n` (from 1) has passed its replay barrier.
  bool await_barrier(
      std::size_t n, std::chrono::milliseconds limit = std::chrono::seconds{20}) const;
  /// Cuts and waits for the next connection's barrier; returns that connection's record.
  wire_record cut_and_await();

private:
  void accept_loop();
  void serve(int client);
  template <class Note>
  void note(std::size_t record, Note&& change);
  fate judge(std::size_t record, bool to_engine, std::vector<std::uint8_t> payload);
  std::optional<std::vector<std::uint8_t>> rewritten(
      bool to_engine, const std::vector<std::uint8_t>& payload);

  std::uint16_t engine_port_;
  std::uint16_t version_;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  std::atomic<bool> lose_acks_ = false, refuse_ = false, over_ = false, stalled_ = false;
  std::atomic<std::uint64_t> cuts_ = 0, half_cuts_ = 0, freezes_ = 0, injections_ = 0;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::mutex judge_mutex_;  ///< held while a judge runs
  std::function<fate(const protocol::to_rivet&)> judge_to_engine_;
  std::function<fate(const protocol::to_envoy&)> judge_to_host_;
  std::function<bool(protocol::to_rivet&)> rewrite_to_engine_;
  std::function<bool(protocol::to_envoy&)> rewrite_to_host_;
  std::vector<wire_record> records_;
  std::vector<std::vector<std::uint8_t>> injected_;  ///< as many as `injections_` says
  std::optional<std::vector<std::uint8_t>> greeting_;
  std::list<std::thread> pipes_;
  std::thread acceptor_;
};

}  // namespace nuncio::e2e
