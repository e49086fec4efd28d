// A link that goes nowhere: records what the actors of a host send, in order, and can refuse it. For tests on one thread.
#pragma once

#include <deque>
#include <nuncio/codec.hpp>
#include <nuncio/connection/link_port.hpp>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

namespace nuncio::test {

class fake_link final : public link_port {
public:
  /// What left, as the engine would see it.
  struct frame {
    epoch connection = 0;
    std::variant<protocol::to_rivet, protocol::to_rivet_tunnel_message> content;
  };

  std::vector<frame> sent;
  bool record = true;  ///< false: only count, for tests that look at the heap
  std::uint64_t frames = 0;
  epoch connection = 0;  ///< 0 while down
  std::uint16_t version =
      wire::version_max;  ///< a storage request that it does not have is refused
  bool room_for_bodies = true;
  std::size_t bodies_left = 0;                ///< so many have room all the same
  bool auto_written = true;                   ///< false: nothing is ever reported as written
  std::optional<failure> refuse_tunnel;       ///< what sending a tunnel message gives
  std::optional<failure> refuse_tunnel_once;  ///< the same for the next one
  std::optional<failure> refuse_storage;      ///< the same for a storage request
  std::uint64_t refused = 0;                  ///< how often one of these four said no
  std::vector<room_waiter> waiting;           ///< refused for want of room; not told yet
  std::vector<std::pair<epoch, frame_class>> to_report;  ///< written, not told yet
  std::vector<std::pair<epoch, std::uint64_t>> fences;   ///< asked for, not told yet
  std::vector<protocol::to_rivet> greeting;
  std::size_t granted_messages = 0;
  std::size_t granted_bytes = 0;
  bool closed = false;
  std::vector<std::shared_ptr<output_meter>> meters;  ///< of what was sent with one

  void close() override { closed = true; }

  outcome<void> send_frame(frame_class what, epoch on, const protocol::to_rivet& message) override {
    if (on != connection || connection == 0)
      return failure{errc::link_lost, "the connection is over"};
    ++frames;
    if (record) sent.push_back({on, message});
    if (auto_written) to_report.emplace_back(on, what);
    return {};
  }

  outcome<void> send_for_connection(
      std::shared_ptr<const output_gate> gate,
      epoch on,
      const protocol::to_rivet& request) override {
    if (on != connection || connection == 0)
      return failure{errc::link_lost, "the connection is over"};
    if (!gate->open) return failure{errc::cancelled, "the instance has ended"};
    if (refuse_storage) return refuse(*refuse_storage, {room_waiter::kind::storage, {}});
    if (version != wire::version_max)
      if (const auto encoded = protocol::encode(request, version); !encoded) return encoded.error();
    ++frames;
    if (record) sent.push_back({on, request});
    return {};
  }

  outcome<void> send_across_connections(
      tunnel_source from, protocol::to_rivet_tunnel_message&& message) override {
    if (from.meter) meters.push_back(from.meter);
    if (from.gate && !from.gate->open) return failure{errc::cancelled, "the instance has ended"};
    if (refuse_tunnel) return refuse(*refuse_tunnel, from.waiter);
    if (auto once = std::exchange(refuse_tunnel_once, std::nullopt))
      return refuse(*once, from.waiter);
    ++frames;
    if (record) sent.push_back({connection, std::move(message)});
    return {};
  }

  [[nodiscard]] bool has_room_for_bodies(const room_waiter& who) override {
    if (bodies_left != 0) return --bodies_left, true;
    if (!room_for_bodies) static_cast<void>(refuse({errc::queue_full, "full"}, who));
    return room_for_bodies;
  }

  void fence(epoch on, std::uint64_t id) override { fences.emplace_back(on, id); }

  void greet(std::vector<protocol::to_rivet> first, bool now) override {
    greeting = std::move(first);
    if (now && connection != 0 && record)
      for (const auto& x : greeting) sent.push_back({connection, x});
  }

  void grant(std::size_t messages, std::size_t bytes) override {
    granted_messages += messages;
    granted_bytes += bytes;
  }

private:
  failure refuse(failure why, const room_waiter& who) {
    ++refused;
    if (why.code == errc::queue_full) waiting.push_back(who);
    return why;
  }
};

}  // namespace nuncio::test
