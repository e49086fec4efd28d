// See bystanders.hpp.
#include "bystanders.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace nuncio::e2e {
namespace {

constexpr unsigned bystander_count = 20;
// Without an act, and after the last run of one: what it has left behind must not cost anything either.
constexpr auto alone_for = 2000ms;
constexpr auto aftermath = 500ms;
// How often the longest silence without an act may be had with one.
constexpr int alone_ratio = 4;
// How often an act is run again whose silence was above its bound: what it costs, it costs each time; another process
// that takes the processors does not.
constexpr int again_max = 3;

// The real engine takes some milliseconds for each request, and two cores are to be enough for all.
std::chrono::milliseconds pace_of(engine_kind engine) {
  return engine == engine_kind::dev ? 50ms : 200ms;
}

std::vector<std::string>& acts_seen() {
  static std::vector<std::string> it;
  return it;
}

// An engine, and who is on it.
struct stage {
  std::unique_ptr<engine_under_test> engine;
  std::unique_ptr<bystanders> all;
};

stage& stage_of(bool is_streaming) {
  static stage them[2];
  return them[is_streaming ? 1 : 0];
}

engine_under_test& engine_of(bool is_streaming) {
  auto& x = stage_of(is_streaming);
  if (!x.engine)
    x.engine =
        std::make_unique<engine_under_test>(engine_setup{.streaming = is_streaming, .apart = true});
  return *x.engine;
}

bystanders& bystanders_on(bool is_streaming) {
  auto& engine = engine_of(is_streaming);
  auto& x = stage_of(is_streaming);
  if (x.all && x.all->spoiled()) x.all.reset();
  if (!x.all)
    x.all = std::make_unique<bystanders>(engine, is_streaming ? streaming::name : buffered::name);
  return *x.all;
}

host_setup setup_on(const engine_under_test& engine, std::string pool, host_setup setup) {
  if (setup.endpoint.empty()) setup.endpoint = engine.endpoint();
  setup.pool = std::move(pool);
  if (setup.storage_timeout < 2min)
    setup.storage_timeout = 2min;  // acts move hundreds of megabytes, on machines of any speed
  return setup;
}

// Beside the results of the cases.
std::optional<std::filesystem::path> file_of_acts() {
  const char* results = std::getenv("NUNCIO_E2E_RESULTS");
  if (results == nullptr) return std::nullopt;
  return std::filesystem::path{results}.replace_extension(".acts");
}

void print_row(std::string_view line) {
  auto cells = tab_separated(line);
  cells.resize(8);  // a run of an older build may have left fewer
  fmt::print(
      "{:<62} {:<6} {:<9} {:>8} {:>5} {:>11} {:>11} {:>9}\n",
      cells[0],
      cells[1],
      cells[2],
      cells[3],
      cells[4],
      cells[5],
      cells[6],
      cells[7]);
}

void print_rows(const std::vector<std::string>& acts) {
  print_row("act\tengine\tgateway\trequests\tlost\tsilence ms\twithout\tbound ms");
  for (const auto& x : acts) print_row(x);
}

std::string harm_in_words(const traffic_tally& x) {
  return fmt::format(
      "{} failed, {} closed, {} lost, {} repeated\n{}",
      x.failed,
      x.closed,
      x.lost,
      x.repeated,
      fmt::join(x.notes, "\n"));
}

}  // namespace

bystanders::bystanders(engine_under_test& on, std::string_view gateway, host_setup setup)
    : engine(on),
      pool(setup.pool.empty() ? new_pool() : setup.pool),
      client(on, pool),
      host(setup_on(on, pool, std::move(setup))),
      gateway_(gateway) {
  if (!host.await_ready()) FAIL("the host did not become ready:\n" << host.log());
  for (unsigned i = 0; i < bystander_count; ++i)
    clients_.emplace_back(
        on.port(), client.create_running("bystander"), i, pace_of(kind_under_test()));
  // Everybody's first time is slow: connections, WebSockets, the first write.
  static_cast<void>(watch([] {}, 1s));
  measure_alone();
}

bystanders::~bystanders() {
  keep_log(pool, host, engine);
  host.abort();
}

traffic_tally bystanders::watch(
    const std::function<void()>& once, std::chrono::milliseconds lasts) {
  std::atomic<bool> over = false;
  std::vector<traffic_tally> seen(clients_.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < clients_.size(); ++i)
    threads.emplace_back([&, i] { seen[i] = clients_[i].run(over); });
  const auto end = std::chrono::steady_clock::now() + lasts;
  const auto finish = [&] {
    over = true;
    for (auto& x : threads) x.join();
  };
  try {
    do once();
    while (std::chrono::steady_clock::now() < end);
  } catch (...) {  // of a REQUIRE
    finish();
    throw;
  }
  std::this_thread::sleep_for(aftermath);
  finish();
  traffic_tally out;
  for (const auto& x : seen) out.add(x);
  return out;
}

void bystanders::measure_alone() {
  const auto seen = watch([] { std::this_thread::sleep_for(20ms); }, alone_for);
  if (seen.harm() != 0) FAIL("without an act: " << harm_in_words(seen));
  alone_ = std::max(alone_, seen.silence);
  keep("(none)", seen, "");
}

void bystanders::during(
    const std::string& act, const std::function<void()>& once, const act_limits& limits) {
  const auto connections = host.stats().link.connections;
  const auto bound = [&] { return std::max(limits.silence, alone_ratio * alone_); };
  // Until it has been quiet, what an act does with its end counts as harm.
  spoiled_ = true;
  auto seen = watch(once, limits.lasts);
  for (int again = 0; again < again_max && seen.harm() == 0 && seen.silence > bound(); ++again) {
    measure_alone();
    seen = watch(once, limits.lasts);
  }
  keep(act, seen, std::to_string(limits.silence.count()));
  INFO(act << ": " << harm_in_words(seen));
  INFO("longest silence: at " << seen.silent_at);
  CHECK(seen.harm() == 0);
  CHECK(seen.silence.count() <= bound().count());
  const auto now = host.stats().link.connections;
  if (!limits.reconnects) CHECK(now == connections);
  spoiled_ = seen.harm() != 0 || (!limits.reconnects && now != connections);
}

void bystanders::keep(
    const std::string& act, const traffic_tally& seen, const std::string& bound) const {
  auto line = fmt::format(
      "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
      act,
      kind_under_test() == engine_kind::dev ? "dev" : "rivet",
      gateway_,
      seen.requests,
      seen.harm(),
      seen.silence.count(),
      alone_.count(),
      bound);
  if (const auto file = file_of_acts())
    std::ofstream{*file, acts_seen().empty() ? std::ios::trunc : std::ios::app} << line << '\n';
  acts_seen().push_back(std::move(line));
}

engine_under_test& buffered::engine() { return engine_of(false); }

engine_under_test& streaming::engine() { return engine_of(true); }

bystanders& buffered::of_run() { return bystanders_on(false); }

bystanders& streaming::of_run() { return bystanders_on(true); }

void put_to_sleep(const bystanders& b, const std::string& id) {
  CHECK(b.client.post(id, "/request/sleep").status == 200);
  CHECK(b.client.await_sleeping(id).sleeping);
}

bool await_none_open(const bystanders& b, const std::string& id) {
  return await(
      [&] {
        if (nlohmann::json::parse(b.client.get(id, "/request/info").body)["sockets"] == 0)
          return true;
        put_to_sleep(b, id);
        return false;
      },
      30s);
}

void end_bystanders() {
  for (const bool is_streaming : {false, true}) {
    auto& x = stage_of(is_streaming);
    x.all.reset();
    x.engine.reset();
  }
  if (!acts_seen().empty()) print_rows(acts_seen());
}

void print_acts(const std::filesystem::path& folder) {
  std::vector<std::string> lines;
  for (const auto& file : std::filesystem::directory_iterator{folder}) {
    if (file.path().extension() != ".acts") continue;
    std::ifstream in{file.path()};
    for (std::string line; std::getline(in, line);) lines.push_back(line);
  }
  if (lines.empty()) return;
  std::sort(lines.begin(), lines.end());
  print_rows(lines);
}

}  // namespace nuncio::e2e
