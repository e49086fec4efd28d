// What clients' traffic costs: requests, WebSocket messages and bodies through a whole host over a real WebSocket on
// loopback, and beside it what libwebsockets alone does with the same frames in the same run. Prints a table.
#include <fmt/format.h>
#include <sys/resource.h>

#include <atomic>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <cstring>
#include <nuncio/codec.hpp>
#include <nuncio/connection/websocket.hpp>
#include <nuncio/host.hpp>
#include <nuncio/socket.hpp>
#include <nuncio/stream.hpp>

#include "engine_end.hpp"

namespace {

using namespace nuncio;
using namespace std::chrono_literals;
using namespace nuncio::bench;

constexpr std::size_t in_flight = 64;
constexpr std::size_t chunk_bytes = 65536;
constexpr std::size_t window_bytes = 1 << 20;

// -- the host ----------------------------------------------------------------------------------------

const bytes& block() {
  static const bytes it{std::string(chunk_bytes, 'x')};
  return it;
}

std::size_t stream_bytes() { return std::size_t{256} << 20U; }

caf::behavior bench_actor(engine_actor* self) {
  return {
      [self](const http_request& r) -> caf::result<http_response> {
        if (r.path == "/down") {
          const auto out = self->stream(r, {});
          self->on_writable(out, [left = stream_bytes()](body_writer& to) mutable {
            while (left != 0 && to.room() >= chunk_bytes && to.write(block())) left -= chunk_bytes;
            if (left == 0) to.finish();
          });
          return caf::delegated<http_response>{};
        }
        if (r.path == "/up") {
          auto answer = self->make_response_promise<http_response>();
          static_cast<void>(self->on_body(r, [answer](const request_part& part) mutable {
            if (part.last) answer.deliver(http_response{});
          }));
          return answer;
        }
        return http_response{.body = r.body};
      },
      [](const socket_opened& s) { s.socket.accept(); },
      [](const socket_message& m) { m.socket.send(m.data, m.binary); },
  };
}

struct running_host {
  explicit running_host(std::uint16_t port)
      : its(system,
            {.endpoint = fmt::format("http://127.0.0.1:{}", port),
             .pool = "bench",
             .protocol_version = version,
             .log = stderr_log(log_level::warning)}) {
    its.serve({.name = "bench", .stream_requests = true}, bench_actor);
    if (!its.start()) std::abort();
  }

  ~running_host() { its.abort(); }

  struct config : caf::actor_system_config {
    config() { recommended(*this); }
  } settings;

  caf::actor_system system{settings};
  host its;
};

const actor_id the_actor{"bench0000000000000000000000000"};

protocol::message_id message_id(std::uint32_t n, std::uint16_t index) {
  protocol::message_id out;
  std::memcpy(out.request_id.value.data(), &n, 4);
  out.message_index = index;
  return out;
}

protocol::to_envoy tunnel(
    std::uint32_t n, std::uint16_t index, protocol::to_envoy_tunnel_message_kind what) {
  return protocol::to_envoy_tunnel_message{message_id(n, index), std::move(what)};
}

/// The next tunnel message of the host, as its number and what it is; everything else is dealt with.
std::optional<std::pair<std::uint32_t, protocol::to_rivet_tunnel_message>> next_tunnel(
    peer_wire& w) {
  while (const auto* raw = w.next()) {
    auto message = protocol::decode_to_rivet(bytes{*raw}, version);
    if (!message) std::abort();
    if (const auto* events = std::get_if<protocol::to_rivet_events>(&*message)) {
      protocol::to_envoy_ack_events answer;
      for (const auto& x : events->events) answer.last_event_checkpoints.push_back(x.checkpoint);
      w.put(answer);
    }
    if (auto* x = std::get_if<protocol::to_rivet_tunnel_message>(&*message)) {
      std::uint32_t n = 0;
      std::memcpy(&n, x->message_id.request_id.value.data(), 4);
      return std::pair{n, std::move(*x)};
    }
  }
  return std::nullopt;
}

/// Brings a connection to where the actor has answered once.
void begin(peer_wire& w) {
  w.put(protocol::to_envoy_init{{15'000, 1'800'000, 20'971'520}});
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  protocol::command_start_actor start;
  start.config.name = text{"bench"};
  start.config.create_ts = now;
  w.put(protocol::to_envoy_commands{{{{the_actor, 1, 1}, std::move(start)}}});
  w.put(protocol::to_envoy_ping{now});
  protocol::to_envoy_request_start hello;
  hello.actor_id = the_actor;
  hello.method = text{"GET"};
  hello.path = text{"/"};
  w.put(tunnel(1, 0, std::move(hello)));
  if (!next_tunnel(w)) std::abort();
}

// -- the jobs ----------------------------------------------------------------------------------------

result run_requests(peer_wire& w, std::uint32_t total) {
  begin(w);
  const auto request = [&](std::uint32_t n) {
    protocol::to_envoy_request_start x;
    x.actor_id = the_actor;
    x.method = text{"POST"};
    x.path = text{"/request/bench"};
    x.headers.entries = {{text{"host"}, text{"127.0.0.1"}}, {text{"accept"}, text{"*/*"}}};
    x.body = bytes{"a small body of some forty bytes, no more"};
    w.put(tunnel(n, 0, std::move(x)));
  };
  return timed([&] {
    std::uint32_t sent = 1, answered = 0;
    while (sent <= in_flight) request(++sent);
    while (answered < total) {
      const auto got = next_tunnel(w);
      if (!got) std::abort();
      ++answered;
      if (sent <= total) request(++sent);
    }
  });
}

result run_messages(peer_wire& w, std::uint32_t total) {
  begin(w);
  constexpr std::uint32_t sockets = 8;
  std::vector<std::uint16_t> index(sockets + 2, 0);
  for (std::uint32_t n = 2; n < sockets + 2; ++n) {
    w.put(tunnel(n, 0, protocol::to_envoy_web_socket_open{the_actor, std::nullopt, text{"/"}, {}}));
    if (!next_tunnel(w)) std::abort();
  }
  const bytes said{"a message of some forty bytes and no more"};
  const auto say = [&](std::uint32_t n) {
    w.put(tunnel(n, ++index[n], protocol::to_envoy_web_socket_message{said, true}));
  };
  return timed([&] {
    std::uint32_t sent = 0, echoed = 0;
    for (; sent < in_flight; ++sent) say(2 + sent % sockets);
    while (echoed < total) {
      const auto got = next_tunnel(w);
      if (!got) std::abort();
      ++echoed;
      if (sent++ < total) say(got->first);
    }
  });
}

result run_download(peer_wire& w) {
  begin(w);
  return timed([&] {
    protocol::to_envoy_request_start x;
    x.actor_id = the_actor;
    x.method = text{"GET"};
    x.path = text{"/down"};
    x.response_stream = true;
    w.put(tunnel(2, 0, std::move(x)));
    std::uint64_t got = 0, credited = 0;
    for (;;) {
      const auto next = next_tunnel(w);
      if (!next) std::abort();
      const auto* chunk =
          std::get_if<protocol::to_rivet_response_chunk>(&next->second.message_kind);
      if (chunk == nullptr) continue;
      got += chunk->body.size();
      if (chunk->finish) break;
      if (got - credited < window_bytes / 2) continue;
      credited = got;
      w.put(tunnel(2, 0, protocol::to_envoy_response_body_window_update{credited}));
    }
    if (got != stream_bytes()) std::abort();
  });
}

result run_upload(peer_wire& w) {
  begin(w);
  return timed([&] {
    protocol::to_envoy_request_start x;
    x.actor_id = the_actor;
    x.method = text{"POST"};
    x.path = text{"/up"};
    x.stream = x.response_stream = true;
    w.put(tunnel(2, 0, std::move(x)));
    std::uint64_t sent = 0, credited = 0;
    std::uint16_t index = 0;
    for (;;) {
      while (sent < stream_bytes() && sent - credited + chunk_bytes <= window_bytes) {
        sent += chunk_bytes;
        w.put(
            tunnel(2, ++index, protocol::to_envoy_request_chunk{block(), sent == stream_bytes()}));
      }
      const auto next = next_tunnel(w);
      if (!next) std::abort();
      const auto& kind = next->second.message_kind;
      if (const auto* update = std::get_if<protocol::to_rivet_request_body_window_update>(&kind))
        credited = update->consumed_bytes;
      if (std::holds_alternative<protocol::to_rivet_response_start>(kind)) break;
    }
  });
}

// -- libwebsockets alone: sends back what comes, or sends as fast as it can --------------------------

struct bare : websocket_handler {
  bare(std::uint16_t port, std::size_t sends) : left(sends) {
    if (!ws.start()) std::abort();
    at = port;
    ws.wake();
  }

  ~bare() override { ws.stop(); }

  void on_wake() override {
    websocket_target to;
    to.host = "127.0.0.1";
    to.port = at;
    to.subprotocols = {"rivet"};
    ws.connect(to);
  }

  void on_open(std::string_view) override {
    if (left != 0) ws.request_write();
  }

  void on_message(bytes payload, bool) override {
    if (payload.size() >= chunk_bytes) return;  // a download only counts
    websocket_frame f;
    f.what = websocket_frame::kind::binary;
    f.buffer.resize(websocket_headroom + payload.size());
    std::memcpy(f.buffer.data() + websocket_headroom, payload.data(), payload.size());
    queue.push_back(std::move(f));
    ws.request_write();
  }

  bool next_frame(websocket_frame& f) override {
    if (!queue.empty()) {
      f = std::move(queue.front());
      queue.pop_front();
      return true;
    }
    if (left == 0) return false;
    --left;
    f.what = websocket_frame::kind::binary;
    f.buffer.resize(websocket_headroom + chunk_bytes);
    return true;
  }

  void on_batch_end() override {}

  void on_pong(std::span<const std::uint8_t>) override {}

  void on_written(std::uint64_t, std::size_t) override {}

  void on_gone(const websocket_gone&) override {}

  void on_timer() override {}

  std::atomic<std::uint16_t> at = 0;
  std::size_t left;
  std::deque<websocket_frame> queue;
  websocket ws{*this, {.tls = false}};
};

result run_bare_messages(peer_wire& w, std::uint32_t total) {
  const auto frame = protocol::encode(
      tunnel(
          2,
          1,
          protocol::to_envoy_web_socket_message{
              bytes{"a message of some forty bytes and no more"}, true}),
      version);
  const std::string_view said{reinterpret_cast<const char*>(frame->data()), frame->size()};
  return timed([&] {
    std::uint32_t sent = 0, echoed = 0;
    for (; sent < in_flight; ++sent) w.put(said);
    while (echoed < total) {
      if (w.next() == nullptr) std::abort();
      ++echoed;
      if (sent++ < total) w.put(said);
    }
  });
}

result run_bare_download(peer_wire& w) {
  return timed([&] {
    for (std::uint64_t got = 0; got < stream_bytes();) {
      const auto* x = w.next();
      if (x == nullptr) std::abort();
      got += x->size();
    }
  });
}

// As many as the window at once, then one for each that is confirmed by a ping: as fast as the receiver takes them.
result run_bare_upload(peer_wire& w) {
  return timed([&] {
    for (std::uint64_t sent = 0; sent < stream_bytes(); sent += chunk_bytes) {
      w.put(block().view());
      if (!w.flush()) std::abort();
    }
    w.put("end");  // comes back when all before it was taken
    if (w.next() == nullptr) std::abort();
  });
}

std::size_t peak_kib() {
  rusage x{};
  getrusage(RUSAGE_SELF, &x);
  return static_cast<std::size_t>(x.ru_maxrss);
}

void print(
    std::string_view what,
    double per_second,
    std::string_view unit,
    const result& r,
    double count,
    double floor) {
  fmt::print(
      "{:<34} {:>12.0f} {:<11} {:>8.2f} us CPU each{}\n",
      what,
      per_second,
      unit,
      r.cpu * 1e6 / count,
      floor == 0 ? ""
                 : fmt::format("   {:>5.1f} % of libwebsockets alone", 100 * per_second / floor));
  std::fflush(stdout);
}

result through_host(engine_end& engine, engine_end::job what) {
  auto out = engine.next(std::move(what));
  const running_host host{engine.port()};
  return out.get();
}

result through_bare(engine_end& engine, std::size_t sends, engine_end::job what) {
  auto out = engine.next(std::move(what));
  const bare client{engine.port(), sends};
  return out.get();
}

}  // namespace

int main() {
  engine_end engine;
  constexpr std::uint32_t n = 300'000;
  const auto mib = static_cast<double>(stream_bytes()) / (1 << 20);
  const auto chunks = static_cast<double>(stream_bytes()) / static_cast<double>(chunk_bytes);
  // Each twice: the first warms up.
  for (const bool counts : {false, true}) {
    if (counts) fmt::print("{:-<100}\n", "");
    const auto requests = through_host(engine, [](peer_wire& w) { return run_requests(w, n); });
    print("HTTP, small bodies, 64 in flight", n / requests.seconds, "requests/s", requests, n, 0);
    const auto floor =
        through_bare(engine, 0, [](peer_wire& w) { return run_bare_messages(w, n); });
    print("libwebsockets alone, echo", n / floor.seconds, "messages/s", floor, n, 0);
    const auto messages = through_host(engine, [](peer_wire& w) { return run_messages(w, n); });
    print(
        "WebSocket echo, 8 sockets",
        n / messages.seconds,
        "messages/s",
        messages,
        n,
        n / floor.seconds);
    const auto bare_down = through_bare(engine, stream_bytes() / chunk_bytes, run_bare_download);
    print("libwebsockets alone, sends", mib / bare_down.seconds, "MiB/s", bare_down, chunks, 0);
    const auto before = peak_kib();
    const auto down = through_host(engine, run_download);
    print(
        "response of 256 MiB in parts",
        mib / down.seconds,
        "MiB/s",
        down,
        chunks,
        mib / bare_down.seconds);
    const auto bare_up = through_bare(engine, 0, run_bare_upload);
    print("libwebsockets alone, receives", mib / bare_up.seconds, "MiB/s", bare_up, chunks, 0);
    const auto up = through_host(engine, run_upload);
    print(
        "request of 256 MiB in parts",
        mib / up.seconds,
        "MiB/s",
        up,
        chunks,
        mib / bare_up.seconds);
    fmt::print("peak of memory grew by {} KiB during both streams\n", peak_kib() - before);
  }
}
