// A websocket and its owner for tests: records all calls.
#pragma once

#include <doctest/doctest.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <nuncio/connection/websocket.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace nuncio::test {

using namespace std::chrono_literals;

// Records what it is told; a test runs code on the service thread with `run` and waits with `until`.
struct owner : nuncio::websocket_handler {
  explicit owner(websocket_options o = quick()) : ws(*this, std::move(o)) {
    REQUIRE(ws.start().ok());
  }

  static websocket_options quick() {
    websocket_options o;
    o.connect_limit = 3000ms;
    return o;
  }

  ~owner() override { ws.stop(); }

  void run(std::function<void()> task) {
    {
      const std::lock_guard guard{mutex};
      tasks.push_back(std::move(task));
    }
    ws.wake();
  }

  void connect(std::uint16_t port, std::vector<std::string> subprotocols = {}, bool tls = false) {
    websocket_target t;
    t.host = "127.0.0.1";
    t.port = port;
    t.tls = tls;
    t.path_and_query = "/envoys/connect?x=1";
    t.subprotocols = std::move(subprotocols);
    connect(std::move(t));
  }

  void connect(websocket_target t) {
    run([this, t = std::move(t)] { ws.connect(t); });
  }

  void send(
      std::string payload,
      websocket_frame::kind what = websocket_frame::kind::binary,
      std::uint64_t cookie = 0) {
    run([this, payload = std::move(payload), what, cookie] {
      websocket_frame f;
      f.what = what;
      f.cookie = cookie;
      f.buffer.resize(nuncio::websocket_headroom + payload.size());
      std::memcpy(f.buffer.data() + nuncio::websocket_headroom, payload.data(), payload.size());
      outbound.push_back(std::move(f));
      ws.request_write();
    });
  }

  template <class Predicate>
  bool until(Predicate p) {
    std::unique_lock lock{mutex};
    return changed.wait_for(lock, 20s, p);
  }

  websocket_gone await_gone(std::size_t count = 1) {
    REQUIRE(until([&] { return gone.size() >= count; }));
    const std::lock_guard guard{mutex};
    CHECK(gone.size() == count);
    return gone[count - 1];
  }

  template <class F>
  void note(F f) {
    {
      const std::lock_guard guard{mutex};
      f();
    }
    changed.notify_all();
  }

  void on_open(std::string_view subprotocol) override {
    note([&] { opened.emplace_back(subprotocol); });
  }

  void on_message(nuncio::bytes payload, bool is_text) override {
    note([&] { (is_text ? texts : messages).push_back(std::move(payload)); });
  }

  long_message on_long_message(std::span<const std::uint8_t> first, bool) override {
    note([&] { long_heads.emplace_back(first.begin(), first.end()); });
    return of_long;
  }

  void on_part(std::span<const std::uint8_t> part, bool last) override {
    note([&] {
      parts.append(part.begin(), part.end());
      long_ends += last ? 1 : 0;
      ++part_count;
    });
  }

  void on_batch_end() override {
    note([&] { ++batches; });
  }

  void on_pong(std::span<const std::uint8_t> payload) override {
    note([&] { pongs.emplace_back(payload.begin(), payload.end()); });
  }

  bool next_frame(websocket_frame& f) override {
    if (outbound.empty()) return false;
    f = std::move(outbound.front());
    outbound.pop_front();
    return true;
  }

  void on_written(std::uint64_t cookie, std::size_t size) override {
    note([&] { written.emplace_back(cookie, size); });
  }

  void on_gone(const websocket_gone& x) override {
    note([&] { gone.push_back(x); });
    if (again) {
      auto t = std::move(*again);
      again.reset();
      ws.connect(std::move(t));
    }
  }

  void on_timer() override {
    note([&] { ++timers; });
  }

  void on_wake() override {
    std::deque<std::function<void()>> now;
    note([&] {
      ++wakes;
      now.swap(tasks);
    });
    for (auto& task : now) task();
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> tasks;
  std::vector<std::string> opened;
  std::vector<nuncio::bytes> messages;
  std::vector<nuncio::bytes> texts;
  std::vector<std::string> pongs;
  std::vector<std::pair<std::uint64_t, std::size_t>> written;
  std::vector<websocket_gone> gone;
  long_message of_long = long_message::skip;  // set before connect
  std::vector<std::string> long_heads;        // what on_long_message was shown
  std::string parts;                          // all that was taken of long messages
  int long_ends = 0, part_count = 0;
  int batches = 0;
  int timers = 0;
  int wakes = 0;
  std::deque<websocket_frame> outbound;   // service thread
  std::optional<websocket_target> again;  // set before connect, then service thread
  websocket ws;
};

}  // namespace nuncio::test
