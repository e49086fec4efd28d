// See fixture.hpp.
#include "fixture.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>

namespace nuncio::e2e {
namespace {

std::string& skip_reason() {
  static std::string it;
  return it;
}

std::string& logs() {
  static std::string it;
  return it;
}

}  // namespace

std::string new_pool() {
  static std::atomic<unsigned> n = 0;
  return fmt::format("pool-{}-{}", ::getpid(), ++n);
}

std::vector<std::string> serve_command(
    const std::string& endpoint, const std::string& pool, const std::vector<std::string>& more) {
  std::vector<std::string> out{NUNCIO_PROGRAM, "serve", "--endpoint", endpoint, "--pool", pool};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

std::string counting(std::size_t size) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i % 251);
  return out;
}

client_reply must(const outcome<client_reply>& x) {
  if (!x) FAIL(to_string(x.error()));
  return *x;
}

actor_view must(const outcome<actor_view>& x) {
  if (!x) FAIL(to_string(x.error()));
  return *x;
}

void must(const outcome<void>& x) {
  if (!x) FAIL(to_string(x.error()));
}

pool_client::pool_client(
    const engine_under_test& engine, std::string pool, std::string namespace_name)
    : testing::client(
          {.endpoint = engine.endpoint(),
           .namespace_name = std::move(namespace_name),
           .pool = std::move(pool),
           .timeout = 60s}) {}

std::string pool_client::create_running(const std::string& name, const std::string& key) const {
  must(await_pool_known(20s));
  const auto made = must(create({.name = name, .key = key}));
  must(wait_for(
      made.id, [](const actor_view& x) { return x.connectable; }, 30s));
  return made.id;
}

client_reply pool_client::get(const std::string& id, std::string_view path) const {
  return must(request(id, "GET", path));
}

client_reply pool_client::post(
    const std::string& id, std::string_view path, std::string body) const {
  return must(request(id, "POST", path, std::move(body)));
}

actor_view pool_client::await_sleeping(
    const std::string& id, std::chrono::milliseconds limit) const {
  return must(wait_for(
      id, [](const actor_view& x) { return x.sleeping || x.destroyed; }, limit));
}

hosted_pool::hosted_pool(const case_setup& setup) : hosted_pool(shared_engine(), setup) {}

hosted_pool::hosted_pool(engine_under_test& on, const case_setup& setup)
    : engine(on),
      pool(setup.pool.empty() ? new_pool() : setup.pool),
      client(on, pool),
      proxy(std::make_unique<wire_proxy>(on.port(), setup.protocol_version)),
      host(std::make_unique<test_host>(host_setup{
          .endpoint = proxy->endpoint(),
          .pool = pool,
          .protocol_version = setup.protocol_version,
          .requests_max = setup.requests_max,
          .stall_limit = setup.stall_limit,
          .stop_grace = setup.stop_grace,
          .forget_after = setup.forget_after,
          .storage_timeout = setup.storage_timeout,
          .ping_after = setup.ping_after,
          .hangup_after = setup.hangup_after,
          .message_bytes_max = setup.message_bytes_max})) {
  if (!host->await_ready()) FAIL("the host did not become ready:\n" << host->log());
  must(client.await_pool_known(20s));
}

hosted_pool::~hosted_pool() {
  if (host->factory_calls_repeated() != 0)
    ADD_FAIL_AT(__FILE__, __LINE__, "a factory was called twice for one actor and generation");
  keep_log(pool, *host, engine);
  // What the case has shown is shown: nobody waits for a drain.
  host->abort();
}

bool hosted_pool::backlog_drains() {
  for (int tries = 0; tries < 5; ++tries) {
    const auto last = proxy->cut_and_await();
    if (last.barrier && last.replayed == 0) return true;
    // Acks of the replay are on their way, and nothing tells when the engine has committed them.
    std::this_thread::sleep_for(300ms);
  }
  return false;
}

std::vector<std::string> tab_separated(std::string_view line) {
  std::vector<std::string> out{""};
  for (const char c : line)
    if (c == '\t')
      out.emplace_back();
    else
      out.back() += c;
  return out;
}

void note_skip(std::string reason) { skip_reason() = std::move(reason); }

std::string take_skip() { return std::exchange(skip_reason(), {}); }

std::string take_logs() { return std::exchange(logs(), {}); }

void keep_log(const std::string& pool, const test_host& host, const engine_under_test& engine) {
  logs() += fmt::format("host of {}:\n{}engine:\n{}\n", pool, host.log(), engine.log_tail());
}

}  // namespace nuncio::e2e
