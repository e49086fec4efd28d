// `nuncio engine` as a program: its flags, its ends, and what a kill must not lose.
#include <doctest/doctest.h>
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <thread>
#include <tuple>

#include "hand_envoy.hpp"
#include "process.hpp"

namespace engine_program_test {

using namespace nuncio;
using namespace nuncio::test;
using namespace std::chrono_literals;
using json = nlohmann::json;

namespace {

class temporary_folder {
public:
  temporary_folder() {
    path_ = (std::filesystem::temp_directory_path() / "nuncio-engine-XXXXXX").string();
    REQUIRE(::mkdtemp(path_.data()) != nullptr);
  }

  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;

  ~temporary_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::string& path() const { return path_; }

private:
  std::string path_;
};

std::vector<std::string> engine_command(const std::vector<std::string>& flags) {
  std::vector<std::string> out{NUNCIO_PROGRAM, "engine"};
  out.insert(out.end(), flags.begin(), flags.end());
  return out;
}

std::vector<std::string> limited(std::vector<std::string> command, int files_max) {
  std::vector<std::string> out{
      "/bin/sh", "-c", "ulimit -n " + std::to_string(files_max) + "; exec \"$0\" \"$@\""};
  out.insert(out.end(), command.begin(), command.end());
  return out;
}

std::chrono::nanoseconds cpu_time(pid_t of) {
  clockid_t clock{};
  timespec t{};
  REQUIRE(clock_getcpuclockid(of, &clock) == 0);
  REQUIRE(clock_gettime(clock, &t) == 0);
  return std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec};
}

/// Runs until the end of its scope, on the port that it says.
struct engine_program {
  nuncio::process process;
  std::string endpoint;
  std::uint16_t port = 0;

  explicit engine_program(const std::vector<std::string>& flags, int files_max = 0)
      : process(
            files_max == 0 ? engine_command(flags) : limited(engine_command(flags), files_max)) {
    const std::string before = "ready: endpoint=";
    const bool ready = process.await_line(before);
    INFO(process.log());
    REQUIRE(ready);
    endpoint = process.line().substr(before.size());
    port = static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1)));
  }

  [[nodiscard]] std::uint64_t stat(const char* name) const {
    return json::parse(http(port, "GET", "/dev/stats").body).at(name);
  }

  [[nodiscard]] bool await_stat(const char* name, std::uint64_t wanted) const {
    for (int tries = 0; tries < 500; ++tries) {
      if (stat(name) == wanted) return true;
      std::this_thread::sleep_for(20ms);
    }
    return false;
  }

  void kill() {
    process.signal(SIGKILL);
    REQUIRE(process.await_exit() == 128 + SIGKILL);
  }
};

void put_pool(std::uint16_t port) {
  const auto made = http(
      port,
      "PUT",
      "/runner-configs/p?namespace=default",
      R"({"datacenters":{"default":{"normal":{}}}})");
  REQUIRE(made.status == 200);
}

/// The next command, which must come alone.
protocol::command_wrapper next_command(hand_envoy& envoy) {
  auto commands = envoy.expect<protocol::to_envoy_commands>().commands;
  REQUIRE(commands.size() == 1);
  return std::move(commands.front());
}

/// Takes a Start and reports Running, until the engine says that it has taken that in.
protocol::actor_checkpoint await_running(hand_envoy& envoy) {
  auto at = envoy.start();
  const auto acked = envoy.expect<protocol::to_envoy_ack_events>().last_event_checkpoints;
  REQUIRE(acked.size() == 1);
  CHECK(acked[0].generation == at.generation);
  CHECK(acked[0].index == envoy.next_event - 251);
  return at;
}

using place = std::tuple<std::string, std::uint32_t, std::int64_t>;

place place_of(const protocol::actor_checkpoint& at) {
  return {std::string{at.actor_id.view()}, at.generation, at.index};
}

/// Whether a TCP connection to the port is accepted at `address`, given in host byte order.
bool listens_at(std::uint32_t address, std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(address);
  const bool accepted = ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  ::close(fd);
  return accepted;
}

}  // namespace

TEST_CASE("nuncio engine: a SIGKILL loses no actor, generation, unacked command or event index") {
  const temporary_folder data;
  auto engine = std::make_unique<engine_program>(
      std::vector<std::string>{"--port", "0", "--data", data.path(), "--fault", "lose-acks"});
  const auto port = engine->port;
  put_pool(port);
  std::vector<place> issued;
  std::string keyed, asleep;
  protocol::actor_checkpoint live;
  std::int64_t last_event = 0;
  {
    hand_envoy envoy{port};
    envoy.expect<protocol::to_envoy_init>();
    // One that runs in its second generation.
    keyed = id_of(create(port, "POST", "\"k\""));
    const auto first = await_running(envoy);
    CHECK(
        http(port, "POST", "/actors/" + keyed + "/reschedule?namespace=default", "{}").status ==
        200);
    const auto stop = next_command(envoy);
    REQUIRE(std::holds_alternative<protocol::command_stop_actor>(stop.inner));
    envoy.stopped(first, protocol::stop_code::ok);
    live = await_running(envoy);
    CHECK(live.generation == 2);
    last_event = envoy.next_event - 251;
    // And one that sleeps.
    asleep = id_of(create(port));
    const auto other = await_running(envoy);
    CHECK(http(port, "POST", "/actors/" + asleep + "/sleep?namespace=default", "{}").status == 200);
    const auto to_sleep = next_command(envoy);
    envoy.stopped(other, protocol::stop_code::ok);
    REQUIRE(engine->await_stat("actors_sleeping", 1));
    for (const auto& at : {first, stop.checkpoint, live, other, to_sleep.checkpoint})
      issued.push_back(place_of(at));
    // Acked, which --fault has the engine ignore.
    envoy.send(protocol::to_rivet_ack_commands{{stop.checkpoint, live, to_sleep.checkpoint}});
    REQUIRE(engine->await_stat("acks_lost", 1));
    CHECK(engine->stat("commands_left") == issued.size());
    engine->kill();
  }
  std::sort(issued.begin(), issued.end());

  const std::vector<std::string> again{"--port", std::to_string(port), "--data", data.path()};
  engine = std::make_unique<engine_program>(again);
  CHECK(engine->port == port);
  CHECK(engine->stat("actors") == 2);
  CHECK(engine->stat("actors_running") == 1);
  CHECK(engine->stat("actors_sleeping") == 1);
  {
    hand_envoy envoy{port};
    envoy.expect<protocol::to_envoy_init>();
    const auto replay = envoy.expect<protocol::to_envoy_commands>().commands;
    std::vector<place> replayed;
    protocol::to_rivet_ack_commands acks;
    for (const auto& c : replay) {
      replayed.push_back(place_of(c.checkpoint));
      acks.last_command_checkpoints.push_back(c.checkpoint);
    }
    std::sort(replayed.begin(), replayed.end());
    CHECK(replayed == issued);
    CHECK(id_of(create(port, "PUT", "\"k\"")) == keyed);
    // An event that is not above the last one does nothing; the next one counts.
    envoy.next_event = last_event;
    envoy.stopped(live, protocol::stop_code::ok);
    REQUIRE(engine->await_stat("events_ignored", 1));
    CHECK(engine->stat("actors_running") == 1);
    envoy.event(live, protocol::event_actor_set_alarm{});
    const auto acked = envoy.expect<protocol::to_envoy_ack_events>().last_event_checkpoints;
    REQUIRE(acked.size() == 1);
    CHECK(acked[0].generation == 2);
    CHECK(acked[0].index == last_event + 251);
    envoy.send(acks);
    REQUIRE(engine->await_stat("commands_left", 0));
    engine->kill();
  }

  // What was acked stays acked, and the sleeper wakes in the generation after its last.
  engine = std::make_unique<engine_program>(again);
  hand_envoy envoy{port};
  envoy.expect<protocol::to_envoy_init>();
  auto answer = std::async(
      std::launch::async, [&] { return http(port, "GET", "/gateway/" + asleep + "/hello"); });
  const auto woken = envoy.start();
  CHECK(woken.actor_id.view() == asleep);
  CHECK(woken.generation == 2);
  const auto [message, request] = envoy.expect_tunnel<protocol::to_envoy_request_start>();
  CHECK(request.path == "/hello");
  protocol::to_rivet_response_start reply;
  reply.status = 204;
  envoy.reply(message, 0, reply);
  CHECK(answer.get().status == 204);
  CHECK(engine->stat("replays") == 0);
  CHECK(engine->stat("actors_running") == 2);
}

TEST_CASE(
    "nuncio engine: without --data a new one has no state, and envoys are told that it ends") {
  std::uint16_t port = 0;
  {
    engine_program engine{{"--port", "0"}};
    port = engine.port;
    put_pool(port);
    hand_envoy envoy{port};
    envoy.expect<protocol::to_envoy_init>();
    create(port);
    engine.process.signal(SIGTERM);
    ws_message end;
    while (!end.closed) end = envoy.socket.receive();
    CHECK(end.code == 1011);
    CHECK(end.data.starts_with("ws.going_away#"));
    CHECK(engine.process.await_exit() == 0);
  }
  engine_program engine{{"--port", std::to_string(port)}};
  CHECK(engine.port == port);
  CHECK(engine.stat("actors") == 0);
  engine.process.signal(SIGINT);
  CHECK(engine.process.await_exit() == 0);
}

TEST_CASE("nuncio engine: it listens on loopback only, unless told otherwise") {
  // All of 127/8 is this machine, so that 127.0.0.2 tells an address from all of them.
  const std::uint32_t other = INADDR_LOOPBACK + 1;
  {
    const engine_program engine{{"--port", "0"}};
    CHECK(engine.endpoint == "http://127.0.0.1:" + std::to_string(engine.port));
    CHECK(listens_at(INADDR_LOOPBACK, engine.port));
    CHECK_FALSE(listens_at(other, engine.port));
  }
  const engine_program open{{"--port", "0", "--address", "0.0.0.0"}};
  CHECK(listens_at(other, open.port));
}

TEST_CASE("nuncio engine: at its limit of files it waits for one instead of spinning") {
  const engine_program engine{{"--port", "0"}, 64};
  std::vector<std::unique_ptr<raw_socket>> crowd;
  for (int i = 0; i < 100; ++i) {
    crowd.push_back(std::make_unique<raw_socket>(engine.port));
    REQUIRE(crowd.back()->good());
  }
  std::this_thread::sleep_for(500ms);  // those that it can take are taken
  const auto before = cpu_time(engine.process.pid());
  std::this_thread::sleep_for(1s);
  CHECK(cpu_time(engine.process.pid()) - before < 500ms);
  crowd.clear();
  CHECK(engine.stat("actors") == 0);
}

TEST_CASE("nuncio engine: it reports what it can't do, with an exit status") {
  nuncio::process bad{engine_command({"--port", "0", "--fault", "drop", "--fault", "nonsense"})};
  CHECK(bad.await_exit() == 2);
  CHECK(bad.log().find("--fault nonsense") != std::string::npos);
  nuncio::process nowhere{engine_command({"--port", "0", "--address", "nowhere"})};
  CHECK(nowhere.await_exit() == 2);
  const engine_program first{{"--port", "0"}};
  nuncio::process second{engine_command({"--port", std::to_string(first.port)})};
  CHECK(second.await_exit() == 1);
  CHECK(second.log().find(std::to_string(first.port)) != std::string::npos);
}

TEST_CASE("an unknown command is named, with those that exist") {
  const auto said = [](std::vector<std::string> command) {
    command.insert(command.begin(), NUNCIO_PROGRAM);
    nuncio::process program{command};
    CHECK(program.await_exit(20s) == 2);
    return program.log();
  };
  const std::string all = "' is not a command; there are serve, engine, codec and demo\n";
  CHECK(said({"foo"}) == "nuncio: 'foo" + all);
  CHECK(said({"--foo", "bar"}) == "nuncio: '--foo" + all);
  CHECK(said({}).find("A subcommand is required") != std::string::npos);
  CHECK(said({"codec", "foo"}).find("foo") != std::string::npos);
}

TEST_CASE("nuncio serve: a wrong connection setting is named by its flag") {
  // Nobody listens at port 1.
  nuncio::process serve{
      {NUNCIO_PROGRAM, "serve", "--endpoint", "http://127.0.0.1:1", "--drain-timeout", "0"}};
  for (int tries = 0; tries < 500 && serve.log().find("trying again") == std::string::npos; ++tries)
    std::this_thread::sleep_for(20ms);
  CHECK(serve.log().find("--endpoint") != std::string::npos);
  CHECK(serve.log().find("`endpoint`") == std::string::npos);
  serve.signal(SIGTERM);
  CHECK(serve.await_exit(20s) == 0);
}

TEST_CASE("every number on the command line is checked, and an invalid one is named") {
  struct flag {
    std::vector<std::string> command;
    std::string name;
  };

  const std::string nowhere = "http://127.0.0.1:1";
  const flag flags[] = {
      {{"serve", "--endpoint", nowhere}, "--drain-timeout"},
      {{"serve", "--endpoint", nowhere}, "--links"},
      {{"serve", "--endpoint", nowhere}, "--actors-version"},
      {{"serve", "--endpoint", nowhere}, "--protocol-version"},
      {{"engine"}, "--port"},
      {{"codec", "decode", "--type", "to-rivet"}, "--version"},
      {{"demo"}, "--actors"},
      {{"demo"}, "--cuts"},
      {{"demo"}, "--seed"},
  };
  for (const auto& each : flags)
    for (const auto* value :
         {"nan",
          "NaN",
          "inf",
          "-inf",
          "infinity",
          "-1",
          "1e30",
          "1e400",
          "",
          "5x",
          "x",
          "--",
          "99999999999999999999",
          "18446744073709551616"}) {
      auto command = each.command;
      command.insert(command.begin(), NUNCIO_PROGRAM);
      command.push_back(each.name + "=" + value);
      CAPTURE(each.name);
      CAPTURE(value);
      nuncio::process program{command};
      CHECK(program.await_exit(20s) == 2);
      CHECK(program.log().find(each.name) != std::string::npos);
    }
  for (const auto* value : {"nan", "-1", "1e30", "5x", "4294967296"}) {
    CAPTURE(value);
    ::setenv("RIVET_ENVOY_VERSION", value, 1);
    nuncio::process program{{NUNCIO_PROGRAM, "serve", "--endpoint", nowhere}};
    ::unsetenv("RIVET_ENVOY_VERSION");
    CHECK(program.await_exit(20s) == 2);
    CHECK(program.log().find(value) != std::string::npos);
  }
  for (const auto* fault : {"drop:count=nan", "drop:count=-1", "stall:ms=1e30", "stall:ms="}) {
    CAPTURE(fault);
    nuncio::process program{{NUNCIO_PROGRAM, "engine", "--port", "0", "--fault", fault}};
    CHECK(program.await_exit(20s) == 2);
    CHECK(program.log().find("--fault") != std::string::npos);
  }
}

}  // namespace engine_program_test
