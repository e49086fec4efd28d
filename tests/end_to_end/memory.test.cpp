// `nuncio serve` as a separate process while bodies of 20 MiB pass through it: its peak memory.
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "fixture.hpp"
#include "process.hpp"
#include "raw_client.hpp"

namespace nuncio::e2e {
namespace {

using json = nlohmann::json;

constexpr std::size_t mib = std::size_t{1} << 20U;
constexpr std::size_t body_size = 20 * mib;  // the most that an engine takes by default
/// What a stream that its actor reads or writes bit by bit may take.
constexpr std::size_t stream_most = 4 * mib;

std::size_t status_of(pid_t pid, std::string_view name) {
  std::ifstream in{fmt::format("/proc/{}/status", pid)};
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(name)) return std::stoull(line.substr(name.size())) * 1024;
  return 0;
}

// Bytes that this process had resident at most since reset_peak().
std::size_t peak_of(pid_t pid) { return status_of(pid, "VmHWM:"); }

std::size_t resident_of(pid_t pid) { return status_of(pid, "VmRSS:"); }

// The peak is what is resident now.
bool reset_peak(pid_t pid) {
  std::ofstream out{fmt::format("/proc/{}/clear_refs", pid)};
  out << 5 << std::flush;
  return out.good();
}

struct served {
  explicit served(engine_under_test& on)
      : engine(on), client(on, pool), host(serve_command(on.endpoint(), pool)) {
    REQUIRE(host.await_line("ready"));
    probe = client.create_running("probe");
    echo = client.create_running("echo");
  }

  bool sinks(const std::string& body) const {
    const auto got = client.request(probe, "POST", "/request/sink", body);
    return got && got->status == 200 && json::parse(got->body)["bytes"] == body.size();
  }

  bool streams(std::size_t size) const {
    const auto got =
        client.request(probe, "GET", fmt::format("/request/stream?bytes={}&chunk=65536", size));
    return got && got->status == 200 && got->body == counting(size);
  }

  bool echoes(const std::string& body) const {
    const auto got = client.request(echo, "POST", "/request/echo", body);
    return got && got->status == 200 && got->body == body;
  }

  /// Does all at once. @returns by how much the peak was above what was resident before
  std::size_t growth(const std::string& what, const std::vector<std::function<bool()>>& all) {
    REQUIRE(reset_peak(host.pid()));
    const auto before = peak_of(host.pid());
    std::atomic<std::size_t> good = 0;
    std::vector<std::thread> clients;
    clients.reserve(all.size());
    for (const auto& each : all)
      clients.emplace_back([&] {
        if (each()) ++good;
      });
    for (auto& each : clients) each.join();
    CHECK(good == all.size());
    const auto after = peak_of(host.pid());
    MESSAGE(
        what,
        ": ",
        before / 1024,
        " KiB resident before, ",
        after / 1024,
        " KiB at the peak, ",
        all.size(),
        " at once");
    REQUIRE(after >= before);
    return after - before;
  }

  engine_under_test& engine;
  std::string pool = new_pool();
  pool_client client;
  process host;
  std::string probe, echo;
};

}  // namespace

TEST_SUITE_BEGIN("memory");

TEST_CASE("streaming gateway: streaming bodies of 20 MiB take a window each") {
  served x{shared_streaming_engine()};
  const auto body = counting(body_size);
  CHECK(x.sinks(body.substr(0, mib)));
  CHECK(x.streams(mib));
  const auto up = [&] { return x.sinks(body); };
  const auto down = [&] { return x.streams(body_size); };
  CHECK(x.growth("streaming", {up, up, up, down, down, down}) <= 6 * stream_most);
}

TEST_CASE(
    "streaming gateway: clients that do not read take a window each, however short the writes") {
  served x{shared_streaming_engine()};
  const auto events =
      request_head("GET", fmt::format("/gateway/{}/request/events?ms=0&count=1000000", x.probe));
  std::deque<raw_client> readers;
  std::vector<std::function<bool()>> all;
  for (int i = 0; i < 20; ++i) {
    auto& reader = readers.emplace_back(x.engine.port(), 4096);
    all.emplace_back([&] {
      if (!reader.send(events) || !reader.await("data: 0\n")) return false;
      // Meanwhile all that there is room for on the way is written.
      for (int n = 0; n < 50; ++n)
        if (x.client.get(x.probe, "/request/info").status != 200) return false;
      return true;
    });
  }
  CHECK(x.growth("not read", all) <= 20 * stream_most);
}

TEST_CASE("streaming gateway: bodies of 20 MiB that a handler wants whole take their size") {
  served x{shared_streaming_engine()};
  const auto body = counting(body_size);
  CHECK(x.echoes(body.substr(0, mib)));
  const auto both = [&] { return x.echoes(body); };
  CHECK(x.growth("whole", {both, both}) <= 2 * 3 * body_size);
}

TEST_CASE("buffered gateway: bodies of 20 MiB take their size a few times") {
  served x{shared_engine()};
  const auto body = counting(body_size);
  CHECK(x.sinks(body.substr(0, mib)));
  CHECK(x.streams(mib));
  CHECK(x.echoes(body.substr(0, mib)));
  const auto up = [&] { return x.sinks(body); };
  const auto down = [&] { return x.streams(body_size); };
  const auto both = [&] { return x.echoes(body); };
  CHECK(x.growth("buffered", {up, up, down, down, both, both}) <= 6 * 3 * body_size);
}

TEST_CASE(
    "2.1: clients that flood a slow actor take what it may keep, and the memory is returned") {
  engine_under_test engine{{.apart = true}};
  const auto pool = new_pool();
  const pool_client client{engine, pool};
  test_host host{{.endpoint = engine.endpoint(), .pool = pool}};  // in this process
  REQUIRE(host.await_ready());
  const auto slow = client.create_running("sluggard");
  // The real engine takes its time with each.
  const bool dev = kind_under_test() == engine_kind::dev;
  const std::size_t many = dev ? 250 : 30;
  const std::size_t each = dev ? 2 * mib : 4 * mib;
  std::string said;
  while (said.size() < each) said += client_frame(0x82, std::string(16384, 'f'));
  std::vector<raw_client> clients;
  clients.reserve(many);
  for (std::size_t i = 0; i < many; ++i) {
    auto& x = clients.emplace_back(engine.port());
    REQUIRE(x.send(upgrade_head(fmt::format("/gateway/{}/websocket", slow))));
    REQUIRE(x.await("\r\n\r\n"));
  }
  REQUIRE(reset_peak(::getpid()));
  const auto before = resident_of(::getpid());
  std::vector<std::thread> threads;
  threads.reserve(many);
  for (auto& x : clients) threads.emplace_back([&] { x.send(said, 10s); });
  for (auto& x : threads) x.join();
  CHECK(await([&] { return host.stats().ingress.sockets_flooded != 0; }));
  clients.clear();
  CHECK(await([&] { return host.stats().ingress.socket_bytes_waiting == 0; }, 60s));
  const auto most = peak_of(::getpid());
  std::size_t after = 0;
  CHECK(await([&] { return (after = resident_of(::getpid())) < before + 32 * mib; }, 60s));
  MESSAGE(
      many,
      " clients: ",
      before / mib,
      " MiB resident before, ",
      most / mib,
      " MiB at the peak, ",
      after / mib,
      " MiB after");
  // What waits, twice with what malloc has around it, and frames that are read and not dealt with.
  CHECK(most - before <= (2 * 64 + 64) * mib);
  host.abort();
}

TEST_SUITE_END();

}  // namespace nuncio::e2e
