// Settings that can't work end with an error that names them; a host that is replaced ends at once.
#include "fixture.hpp"
#include "process.hpp"

namespace nuncio::e2e {

TEST_SUITE_BEGIN("refusal");

TEST_CASE(
    "1.3: a missing namespace is waited for: the log names it, and the host is ready once it "
    "exists") {
  auto& engine = shared_engine();
  const auto pool = new_pool();
  const auto name = "later-" + pool;
  test_host host{{.endpoint = engine.endpoint(), .pool = pool, .namespace_name = name}};
  REQUIRE(await([&] { return host.log().find(name) != std::string::npos; }));
  const pool_client client{engine, pool, name};
  must(client.create_namespace(name));
  REQUIRE(host.await_ready());
  CHECK(client.get(client.create_running("counter"), "/request/count").body == "0");
  host.abort();
}

TEST_CASE("1.3: `nuncio serve` waits for a missing namespace, and says so") {
  process serve{
      serve_command(shared_engine().endpoint(), new_pool(), {"--namespace", "no-such-namespace"})};
  REQUIRE(await([&] { return serve.log().find("no-such-namespace") != std::string::npos; }));
  CHECK_FALSE(serve.await_exit(500ms).has_value());
}

TEST_CASE("`nuncio serve` with a bad envoy key ends with exit status 2") {
  process serve{
      serve_command(shared_engine().endpoint(), new_pool(), {"--envoy-key", "not a key"})};
  CHECK(serve.await_exit() == 2);
  CHECK(serve.log().find("envoy") != std::string::npos);
}

TEST_CASE(
    "a second host with the same envoy key: the first ends at once and says so, no reconnect war") {
  hosted_pool x{{.pool = new_pool()}};
  const auto id = x.client.create_running("counter");
  test_host second{
      {.endpoint = x.engine.endpoint(), .pool = x.pool, .envoy_key = x.host->envoy_key()}};
  REQUIRE(second.await_ready());
  const auto why = x.host->await_end(5s);
  REQUIRE(why.has_value());
  CHECK(why->code == errc::evicted);
  CHECK(why->message.find(x.host->envoy_key()) != std::string::npos);
  const auto connections = x.proxy->records().size();
  CHECK_FALSE(second.await_end(1s).has_value());
  CHECK(x.proxy->records().size() == connections);
  CHECK(second.stats().link.connections == 1);
  CHECK(x.client.get(x.client.create_running("counter"), "/request/count").status == 200);
  second.abort();
}

TEST_CASE("`nuncio serve` that is evicted ends with a failure that names the key") {
  auto& engine = shared_engine();
  const auto pool = new_pool();
  const auto key = "key-" + pool;
  process first{serve_command(engine.endpoint(), pool, {"--envoy-key", key})};
  REQUIRE(first.await_line("ready"));
  process second{serve_command(engine.endpoint(), pool, {"--envoy-key", key})};
  REQUIRE(second.await_line("ready"));
  CHECK(first.await_exit(5s) == 3);
  CHECK(first.log().find(key) != std::string::npos);
  CHECK_FALSE(second.await_exit(500ms).has_value());
}

TEST_CASE("1.3: a namespace other than the default works") {
  auto& engine = shared_engine();
  const auto pool = new_pool();
  const auto name = "ns-" + pool;
  const pool_client client{engine, pool, name};
  must(client.create_namespace(name));
  test_host host{{.endpoint = engine.endpoint(), .pool = pool, .namespace_name = name}};
  REQUIRE(host.await_ready());
  CHECK(client.get(client.create_running("counter"), "/request/count").body == "0");
  host.abort();
}

TEST_SUITE_END();

}  // namespace nuncio::e2e
