// Values that come with a Start. Neither engine preloads any for our hosts, so true values are added on the way, as by an
// engine that had room for some.
#include <fmt/format.h>

#include <atomic>

#include "command_judges.hpp"
#include "fixture.hpp"

namespace nuncio::e2e {
namespace {

using namespace protocol;

// Actors' own keys are kept behind a byte 4.
bytes stored_key(std::string_view x) { return bytes{std::string{'\4'}.append(x)}; }

struct preload_case : hosted_pool {
  explicit preload_case(const case_setup& setup = {}) : hosted_pool(setup) {
    proxy->judge_to_engine([this](const to_rivet& m) {
      if (is_kind<to_rivet_kv_request>(m)) ++asked;
      return fate::pass;
    });
  }

  ~preload_case() {
    proxy->judge_to_engine({});
    proxy->rewrite_to_host({});
  }

  preload_case(const preload_case&) = delete;
  preload_case& operator=(const preload_case&) = delete;

  /// Has the actor start anew, and with that from now on.
  void restart_with(const std::string& id, const preloaded_kv& what) {
    proxy->rewrite_to_host([what](to_envoy& m) {
      auto* of = std::get_if<to_envoy_commands>(&m);
      if (of == nullptr) return false;
      bool changed = false;
      for (auto& x : of->commands)
        if (auto* start = std::get_if<command_start_actor>(&x.inner)) {
          start->preloaded_kv = what;
          changed = true;
        }
      return changed;
    });
    must(client.sleep(id));
    CHECK(client.await_sleeping(id).sleeping);
    CHECK(client.get(id, "/unknown").status == 404);  // wakes it
    asked = 0;
  }

  std::atomic<int> asked = 0;  ///< KV requests of the host
};

}  // namespace

TEST_SUITE_BEGIN("storage_preload");

TEST_CASE_FIXTURE(
    preload_case,
    "KV: values that a Start brought are read without asking, until the actor writes; what it left "
    "out is not taken for missing") {
  const auto id = client.create_running("store");
  for (const auto* key : {"a", "b", "p/1", "p/2"})
    CHECK(client.post(id, fmt::format("/put?{}", key), key).body == "done");
  preloaded_kv brought;
  for (const auto* key : {"a", "p/1"})
    brought.entries.push_back({stored_key(key), bytes{std::string{key}}, {}});
  // Named, as some engines do it, though there was no room for "b" and "p/2".
  brought.requested_get_keys = {stored_key("a"), stored_key("b"), stored_key("none")};
  brought.requested_prefixes = {stored_key("p/")};
  restart_with(id, brought);
  CHECK(client.get(id, "/get?a").body == "a");
  CHECK(client.get(id, "/get?p/1").body == "p/1");
  CHECK(asked == 0);
  CHECK(client.get(id, "/get?b").body == "b");
  CHECK(client.get(id, "/get?p/2").body == "p/2");
  CHECK(client.get(id, "/get?none").status == 404);
  CHECK(client.get(id, "/list?p/").body == "p/1=p/1\np/2=p/2\n");
  CHECK(asked == 4);
  CHECK(client.get(id, "/get?a").body == "a");
  CHECK(asked == 4);
  CHECK(client.post(id, "/put?p/1", "new").body == "done");
  CHECK(client.get(id, "/get?p/1").body == "new");
  CHECK(client.get(id, "/get?a").body == "a");
  CHECK(asked == 7);
}

TEST_SUITE_END();

}  // namespace nuncio::e2e
