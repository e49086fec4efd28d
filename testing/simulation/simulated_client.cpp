// See simulated_client.hpp.
#include "simulation/simulated_client.hpp"

#include <fmt/format.h>

#include <deque>
#include <stdexcept>
#include <utility>

#include "socket_connection.hpp"

namespace nuncio::testing {
namespace {

using namespace std::chrono_literals;

const failure world_is_gone{errc::cancelled, "the simulated host is gone"};

class memory_responder final : public engine::http_responder {
public:
  void answer(engine::http_reply reply) override {
    begin(std::move(reply));
    end();
  }

  void begin(engine::http_reply head) override {
    reply_.status = static_cast<int>(head.status);
    for (auto& x : head.headers) reply_.headers.emplace_back(std::move(x.name), std::move(x.value));
    reply_.body = std::move(head.body);
  }

  void chunk(std::string_view body) override {
    reply_.body += body;
    taken_ = false;
  }

  void end() override { over_ = true; }

  void cut() override { over_ = cut_ = true; }

  void set_reading(bool) override {}

  /// Tells the gateway that the client has taken the received bytes.
  void take() {
    if (!std::exchange(taken_, true) && on_drained) on_drained(reply_.body.size());
  }

  [[nodiscard]] bool over() const { return over_; }

  [[nodiscard]] outcome<client_reply> result(const std::string& what) const {
    if (cut_) return failure{errc::link_lost, what + ": the answer was cut short"};
    return reply_;
  }

private:
  client_reply reply_;
  bool taken_ = true;
  bool over_ = false;
  bool cut_ = false;
};

/// The client's end of a WebSocket, which the gateway holds too.
class memory_socket final : public engine::web_socket {
public:
  void send(bytes data, bool binary) override {
    sent_ += data.size();
    got.push_back({std::string{data.view()}, binary});
  }

  void close(std::uint16_t code, std::string reason) override {
    if (ended) return;
    ended = {code, std::move(reason)};
  }

  void drop(bool) override {
    if (!ended) ended.emplace(0, "");
  }

  void set_reading(bool on) override { reading = on; }

  void set_unsent_max(std::size_t) override {}

  [[nodiscard]] engine::socket_flow flow() const override { return {sent_, sent_}; }

  void tell_end(std::optional<std::uint16_t> code, const std::string& reason) {
    if (const auto told = std::exchange(on_close, nullptr)) told(code, reason);
  }

  std::deque<client_message> got;
  std::optional<std::pair<std::uint16_t, std::string>> ended;  ///< by the engine; code 0: none
  bool reading = true;

private:
  std::uint64_t sent_ = 0;
};

class simulated_connection final : public socket_connection {
public:
  simulated_connection(std::weak_ptr<simulated_world> in, std::shared_ptr<memory_socket> socket)
      : in_(std::move(in)), socket_(std::move(socket)) {}

  ~simulated_connection() override {
    // If there is no end to it, the next call that settles says so.
    if (const auto world = leave()) static_cast<void>(world->settled());
  }

  [[nodiscard]] int http_status() const override { return 101; }

  outcome<void> send(std::string_view data, bool binary) override {
    const auto world = in_.lock();
    if (!world) return world_is_gone;
    if (!open()) return lost();
    for (auto left = 20s; !socket_->reading && open(); left -= 1s) {
      if (left <= 0s)
        return failure{errc::timed_out, "the engine accepts no more data: waited 20 s"};
      world->advance(1s);
    }
    if (!open()) return lost();
    socket_->on_message(bytes{data}, binary);
    settle(*world);
    return {};
  }

  outcome<client_message> receive(std::chrono::milliseconds limit) override {
    const auto world = in_.lock();
    if (!world) return world_is_gone;
    settle(*world);
    auto left = limit;
    while (socket_->got.empty() && open() && left > 0ms) {
      const auto step = std::min<std::chrono::milliseconds>(left, 10ms);
      world->advance(step);
      left -= step;
    }
    if (!socket_->got.empty()) {
      auto out = std::move(socket_->got.front());
      socket_->got.pop_front();
      return out;
    }
    if (!open()) return lost();
    return failure{errc::timed_out, fmt::format("no message came within {} ms", limit.count())};
  }

  outcome<void> close(std::uint16_t code, std::string_view reason) override {
    const auto world = in_.lock();
    if (!world) return world_is_gone;
    if (!open()) return lost();
    closed_ = true;
    socket_->tell_end(code, std::string{reason});
    settle(*world);
    return {};
  }

  void drop() override {
    if (const auto world = leave()) settle(*world);
  }

  [[nodiscard]] bool is_over() const override { return !open(); }

  [[nodiscard]] std::optional<std::uint16_t> close_code() const override {
    if (!socket_->ended || socket_->ended->first == 0) return std::nullopt;
    return socket_->ended->first;
  }

  [[nodiscard]] std::string close_reason() const override {
    return socket_->ended ? socket_->ended->second : std::string{};
  }

private:
  /// Ends it without a word. @returns the world, which has to settle; null if it is gone
  std::shared_ptr<simulated_world> leave() {
    closed_ = true;
    auto world = in_.lock();
    if (world) socket_->tell_end(std::nullopt, "");
    return world;
  }

  [[nodiscard]] bool open() const { return !closed_ && !socket_->ended; }

  [[nodiscard]] failure lost() const {
    if (const auto code = close_code())
      return {errc::link_lost, fmt::format("closed with {} {}", *code, close_reason())};
    return {errc::link_lost, "the connection is lost"};
  }

  std::weak_ptr<simulated_world> in_;
  std::shared_ptr<memory_socket> socket_;
  bool closed_ = false;
};

class simulated_transport final : public client_transport {
public:
  explicit simulated_transport(std::weak_ptr<simulated_world> in) : in_(std::move(in)) {}

  outcome<client_reply> call(const client_call& what) override {
    const auto world = in_.lock();
    if (!world) return world_is_gone;
    world->engine();
    world->misbehave(3);
    engine::http_request request{.method = what.method, .target = what.target};
    for (const auto& [name, value] : what.headers)
      request.headers.push_back({engine::lower(name), value});
    request.headers.push_back({"content-length", std::to_string(what.body.size())});
    request.body = what.body;
    const auto responder = std::make_shared<memory_responder>();
    world->engine().on_request(std::move(request), responder);
    settle(*world);
    auto left = what.timeout;
    while (!responder->over() && left > 0ms) {
      responder->take();
      const auto step = std::min<std::chrono::milliseconds>(left, 10ms);
      world->advance(step);
      left -= step;
    }
    const auto name = what.method + " " + what.target;
    if (responder->over()) return responder->result(name);
    if (responder->on_gone) responder->on_gone();
    settle(*world);
    return failure{
        errc::timed_out, fmt::format("{}: no answer within {} ms", name, what.timeout.count())};
  }

  outcome<socket_client> open(const std::string& target) override {
    const auto world = in_.lock();
    if (!world) return world_is_gone;
    world->engine();
    world->misbehave(3);
    auto socket = std::make_shared<memory_socket>();
    world->engine().on_socket(
        {.method = "GET", .target = target, .headers = {{"sec-websocket-protocol", "rivet"}}},
        socket);
    settle(*world);
    return socket_client{std::make_unique<simulated_connection>(in_, std::move(socket))};
  }

  void wait(std::chrono::milliseconds time) override {
    if (const auto world = in_.lock())
      for (auto left = time; left > 0ms; left -= 10ms) world->advance(10ms);
  }

private:
  std::weak_ptr<simulated_world> in_;
};

}  // namespace

void settle(simulated_world& world) {
  if (!world.settled())
    throw std::runtime_error{fmt::format(
        "simulated_host: {} messages were handled and no time has passed: an actor sends to "
        "itself, or two to each other, without end",
        steps_max)};
}

std::shared_ptr<client_transport> make_simulated_transport(std::weak_ptr<simulated_world> in) {
  return std::make_shared<simulated_transport>(std::move(in));
}

}  // namespace nuncio::testing
