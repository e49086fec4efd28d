// What decoding allocates: counted at the allocator, so that a hostile length that reserves memory is noticed.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "protocol/vectors.hpp"

namespace {

// Written by the allocation functions below; tests run on one thread.
std::atomic<std::size_t> allocated_bytes{0};
std::atomic<std::size_t> allocations{0};

void* count_and_allocate(std::size_t n) {
  allocated_bytes += n;
  ++allocations;
  if (void* p = std::malloc(n == 0 ? 1 : n)) return p;
  throw std::bad_alloc{};
}

}  // namespace

// Not inlined: g++ 12 takes one half inlined without the other for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t n) { return count_and_allocate(n); }

[[gnu::noinline]] void* operator new[](std::size_t n) { return count_and_allocate(n); }

[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }

[[gnu::noinline]] void operator delete[](void* p) noexcept { std::free(p); }

[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

[[gnu::noinline]] void operator delete[](void* p, std::size_t) noexcept { std::free(p); }

namespace nuncio::test {
namespace {

struct cost {
  std::size_t bytes;
  std::size_t count;
};

template <class F>
cost measure(F&& f) {
  const auto bytes_before = allocated_bytes.load();
  const auto count_before = allocations.load();
  f();
  return {allocated_bytes - bytes_before, allocations - count_before};
}

void check_rejected_cheaply(std::string_view hex, bool to_envoy) {
  CAPTURE(hex);
  const auto raw = frame(hex);
  bool accepted = true;
  const auto spent = measure([&] {
    accepted =
        to_envoy ? protocol::decode_to_envoy(raw, 8).ok() : protocol::decode_to_rivet(raw, 8).ok();
  });
  CHECK_FALSE(accepted);
  CHECK(spent.bytes < 4096);
}

TEST_CASE("the counter counts") {
  // Called by name: a pair of new and delete expressions may be optimized away.
  const auto spent = measure([] { ::operator delete(::operator new(100)); });
  CHECK(spent.count == 1);
  CHECK(spent.bytes == 100);
}

TEST_CASE("a hostile count or length reserves nothing") {
  for (const auto* n :
       {"ffffffffffffffff7f", "80808080808080808001", "ffffffff0f", "ffffff7f", "ff7f"}) {
    const std::string count = n;
    check_rejected_cheaply("01" + count, false);                            // events
    check_rejected_cheaply("02" + count, false);                            // checkpoints
    check_rejected_cheaply("0001" + count, false);                          // actor names
    check_rejected_cheaply("060000000000000000000000c800" + count, false);  // headers
    check_rejected_cheaply("0500000000000000" + count, false);              // KV keys
    check_rejected_cheaply("01" + count, true);                             // commands
    check_rejected_cheaply(
        "03000000000"
        "0" +
            count,
        true);  // error text
    check_rejected_cheaply(
        "0b00000000"
        "0000" +
            count,
        true);  // rows
    check_rejected_cheaply(
        "0b00000000"
        "0001" +
            count,
        true);                                                         // columns of a row
    check_rejected_cheaply("040000000000000000000000" + count, true);  // actor id
  }
}

TEST_CASE("every negative vector is rejected with little memory") {
  for (const auto& c : load_vectors("negative.json")) {
    CAPTURE(c.name);
    check_rejected_cheaply(c.hex, c.to_envoy);
  }
}

TEST_CASE("a frame full of tiny elements allocates a fixed multiple of its size") {
  // KvGetRequest with 100,000 empty keys, then a byte too many.
  std::vector<std::uint8_t> raw = from_hex(
      "05"
      "00"
      "00000000"
      "00"
      "a08d06");
  raw.resize(raw.size() + 100'000 + 1);
  const bytes whole{raw};
  bool accepted = true;
  const auto spent = measure([&] { accepted = protocol::decode_to_rivet(whole, 8).ok(); });
  CHECK_FALSE(accepted);
  CHECK(spent.bytes < 100'000 * sizeof(bytes) * 4);
}

TEST_CASE("a frame of tiny elements is given up once they take too much memory") {
  constexpr std::size_t most = 1UL << 20U;
  const auto spent_on = [&](const protocol::to_envoy& x) {
    const auto raw = protocol::encode(x, 8);
    REQUIRE(raw.ok());
    const bytes whole{*raw};
    CHECK(protocol::decode_to_envoy_within(whole, 8, 1UL << 30U).ok());
    return measure([&] {
      const auto decoded = protocol::decode_to_envoy_within(whole, 8, most);
      REQUIRE_FALSE(decoded);
      CHECK(decoded.error().code == errc::too_large);
    });
  };
  protocol::kv_list_response keys;
  keys.keys.resize(200'000);
  CHECK(spent_on(protocol::to_envoy_kv_response{1, keys}).bytes < 3 * most);
  protocol::sqlite_execute_result rows;
  rows.rows.resize(200'000, {{}});
  CHECK(
      spent_on(protocol::to_envoy_sqlite_execute_response{1, protocol::sqlite_execute_ok{rows}})
          .bytes < 3 * most);
  protocol::to_envoy_web_socket_open open;
  for (int i = 0; i < 50'000; ++i) open.headers.entries.emplace_back(std::to_string(i), "");
  CHECK(spent_on(protocol::to_envoy_tunnel_message{{}, open}).bytes < 3 * most);
}

TEST_CASE("a request's Start is decoded with one allocation, that of its headers") {
  protocol::to_envoy_request_start start{
      actor_id{"1kr6kjey3m3fxg8md7108gvl5pbl00"}, 1, "GET", "/request/count", {}, {}, false, false};
  for (int i = 0; i < 12; ++i)
    start.headers.entries.emplace_back("x-header-" + std::to_string(i), "some value");
  start.body = bytes{std::vector<std::uint8_t>(1000)};
  const auto raw = protocol::encode(tunnel_to_envoy(start), 8);
  REQUIRE(raw.ok());
  const bytes whole{*raw};
  const auto spent = measure([&] { CHECK(protocol::decode_to_envoy(whole, 8).ok()); });
  CHECK(spent.count == 1);
  CHECK(spent.bytes == 12 * 2 * sizeof(text));
}

TEST_CASE("a response is encoded with one allocation when small, two when large") {
  protocol::to_rivet_response_start response{200, {{{"content-type", "text/plain"}}}, {}, false};
  const auto small = tunnel_to_rivet(response);
  CHECK(measure([&] { CHECK(protocol::encode(small, 8, 16).ok()); }).count == 1);
  response.body = bytes{std::vector<std::uint8_t>(1'000'000)};
  const auto large = tunnel_to_rivet(response);
  const auto spent = measure([&] { CHECK(protocol::encode(large, 8, 16).ok()); });
  CHECK(spent.count == 2);
  CHECK(spent.bytes < 1'002'000);
}

TEST_CASE("actor ids of up to 31 bytes allocate nothing, longer ones their length") {
  const std::string inline_text(31, 'x');
  const std::string heap_text(32, 'x');
  CHECK(measure([&] {
          const actor_id x{inline_text};
          CHECK(x.view().size() == 31);
        }).count == 0);
  CHECK(measure([&] {
          const actor_id x{heap_text};
          CHECK(x.view().size() == 32);
        }).bytes == 32);
}

}  // namespace
}  // namespace nuncio::test
