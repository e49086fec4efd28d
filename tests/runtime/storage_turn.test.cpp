// What an instance does before anything is sent: limits, joining the calls of a turn, values that came with a Start.
#include <doctest/doctest.h>

#include <nuncio/storage/kv_limits.hpp>
#include <nuncio/storage/kv_preload.hpp>
#include <nuncio/storage/storage_turn.hpp>
#include <string>

namespace nuncio::storage_turn_test {
namespace {

using namespace protocol;

bytes of(std::string x) { return bytes{std::move(x)}; }

storage_call put(std::string key, std::string value) {
  return kv_request_data{kv_put_request{{of(std::move(key))}, {of(std::move(value))}}};
}

storage_call erase(std::string key) {
  return kv_request_data{kv_delete_request{{of(std::move(key))}}};
}

storage_call get(std::string key) { return kv_request_data{kv_get_request{{of(std::move(key))}}}; }

const kv_put_request& as_put(const storage_turn::joined& x) {
  return std::get<kv_put_request>(std::get<kv_request_data>(x.call));
}

using tickets = std::vector<std::uint64_t>;

TEST_CASE("puts of a turn share a request; the last value of a key counts") {
  storage_turn turn;
  CHECK(turn.empty());
  turn.add(put("a", "1"), 0);
  turn.add(put("b", "2"), 1);
  turn.add(put("a", "3"), 2);
  CHECK_FALSE(turn.empty());
  const auto out = turn.take();
  CHECK(turn.empty());
  REQUIRE(out.size() == 1);
  CHECK(out[0].tickets == tickets{0, 1, 2});
  CHECK(as_put(out[0]).keys == std::vector<bytes>{of("a"), of("b")});
  CHECK(as_put(out[0]).values == std::vector<bytes>{of("3"), of("2")});
}

TEST_CASE("puts with different write modes share no request") {
  storage_turn turn;
  turn.add(put("a", "1"), 0);
  turn.add(put("b", "2"), 1, write_mode::required);
  turn.add(put("a", "3"), 2, write_mode::required);
  turn.add(put("b", "4"), 3);
  const auto out = turn.take();
  REQUIRE(out.size() == 3);
  CHECK(as_put(out[0]).values == std::vector<bytes>{of("1")});
  CHECK(as_put(out[1]).values == std::vector<bytes>{of("2"), of("3")});
  CHECK(out[1].mode == write_mode::required);
  CHECK(as_put(out[2]).values == std::vector<bytes>{of("4")});
}

TEST_CASE("a put that names a key twice carries it once") {
  storage_turn turn;
  turn.add(
      kv_request_data{kv_put_request{{of("a"), of("b"), of("a")}, {of("1"), of("2"), of("3")}}}, 0);
  const auto out = turn.take();
  REQUIRE(out.size() == 1);
  CHECK(as_put(out[0]).keys == std::vector<bytes>{of("a"), of("b")});
  CHECK(as_put(out[0]).values == std::vector<bytes>{of("3"), of("2")});
}

TEST_CASE("reads and deletes keep their place between puts") {
  storage_turn turn;
  turn.add(put("a", "1"), 0);
  turn.add(get("a"), 1);
  turn.add(put("a", "2"), 2);
  turn.add(erase("a"), 3);
  turn.add(erase("b"), 4);
  turn.add(put("a", "3"), 5);
  turn.add(sqlite_exec_request{}, 6);
  turn.add(put("a", "4"), 7);
  const auto out = turn.take();
  REQUIRE(out.size() == 7);
  CHECK(out[0].tickets == tickets{0});
  CHECK(out[1].tickets == tickets{1});
  CHECK(as_put(out[2]).values.front() == of("2"));
  CHECK(out[3].tickets == tickets{3, 4});
  CHECK(as_put(out[4]).values.front() == of("3"));
  CHECK(out[5].tickets == tickets{6});
  CHECK(as_put(out[6]).values.front() == of("4"));
}

TEST_CASE("a turn's puts begin a new request at 128 keys and at 976 KiB") {
  storage_turn turn;
  for (std::uint64_t i = 0; i < 300; ++i) turn.add(put("key " + std::to_string(i), "v"), i);
  const auto by_keys = turn.take();
  REQUIRE(by_keys.size() == 3);
  CHECK(as_put(by_keys[0]).keys.size() == 128);
  CHECK(as_put(by_keys[2]).keys.size() == 44);
  CHECK(by_keys[1].tickets.front() == 128);
  for (std::uint64_t i = 0; i < 10; ++i)
    turn.add(put("key " + std::to_string(i), std::string(131'072, 'x')), i);
  const auto by_size = turn.take();
  REQUIRE(by_size.size() == 2);
  CHECK(as_put(by_size[0]).keys.size() == 7);
  for (const auto& x : by_size) CHECK(kv_limits::check(std::get<kv_request_data>(x.call)).ok());
  for (std::uint64_t i = 0; i < 130; ++i) turn.add(erase(std::to_string(i)), i);
  CHECK(turn.take().size() == 2);
}

TEST_CASE("errors about keys, values and batches name what, its size and the limit") {
  using namespace kv_limits;
  const auto code = [](const kv_request_data& x) {
    const auto good = check(x);
    return good.ok() ? std::string{} : to_string(good.error());
  };
  CHECK(code(kv_get_request{{of(std::string(2046, 'k'))}}).empty());
  CHECK(
      code(kv_get_request{{of(std::string(2047, 'k'))}}) ==
      "too_large: a key of 2047 bytes: at most 2046");
  CHECK(code(kv_get_request{std::vector<bytes>(128)}).empty());
  CHECK(
      code(kv_get_request{std::vector<bytes>(129)}) ==
      "too_large: one request of 129 keys: at most 128");
  CHECK(code(kv_delete_request{std::vector<bytes>(129)}).starts_with("too_large"));
  CHECK(code(kv_put_request{{of("")}, {of(std::string(131'072, 'v'))}}).empty());
  CHECK(
      code(kv_put_request{{of("")}, {of(std::string(131'073, 'v'))}}) ==
      "too_large: a value of 131073 bytes: at most 131072");
  CHECK(code(kv_put_request{{of("k")}, {}}) == "invalid_argument: 1 keys with 0 values");
  CHECK(code(kv_put_request{}).empty());
  const auto batch = [](std::size_t last) {
    kv_put_request x{std::vector<bytes>(8), std::vector<bytes>(7, of(std::string(131'072, 'v')))};
    x.values.push_back(of(std::string(last, 'v')));
    return x;
  };
  constexpr std::size_t last =
      976 * 1024 - 7 * 131'072 - 8 * 2;  // the engine counts 2 for each key
  CHECK(code(batch(last)).empty());
  CHECK(
      code(batch(last + 1)) ==
      "too_large: one put of 999425 bytes of keys and values: at most 999424");
  const auto long_key = of(std::string(2047, 'k'));
  CHECK(code(kv_delete_range_request{long_key, {}}).starts_with("too_large"));
  CHECK(code(kv_delete_range_request{{}, long_key}).starts_with("too_large"));
  CHECK(code(kv_list_request{kv_list_prefix_query{long_key}, {}, {}}).starts_with("too_large"));
  CHECK(code(kv_list_request{kv_list_range_query{{}, long_key, true}, {}, {}})
            .starts_with("too_large"));
  CHECK(code(kv_list_request{kv_list_all_query{}, {}, {}}).empty());
  CHECK(code(kv_drop_request{}).empty());
}

TEST_CASE("values that a Start brought answer gets until the first write") {
  preloaded_kv from;
  from.entries = {{of("a"), of("1"), {}}, {of("p/x"), of("2"), {}}};
  from.requested_get_keys = {of("a"), of("none")};
  from.requested_prefixes = {of("p/")};
  kv_preload known{from};
  const auto a = known.find({{of("a")}});
  REQUIRE(a.has_value());
  CHECK(a->values == std::vector<bytes>{of("1")});
  const auto both = known.find({{of("p/x"), of("a")}});
  REQUIRE(both.has_value());
  CHECK(both->keys == std::vector<bytes>{of("p/x"), of("a")});
  CHECK(both->values == std::vector<bytes>{of("2"), of("1")});
  // A key or a prefix may be named and not have fitted: what is not there is asked for.
  CHECK_FALSE(known.find({{of("none")}}).has_value());
  CHECK_FALSE(known.find({{of("a"), of("none")}}).has_value());
  CHECK_FALSE(known.find({{of("p/y")}}).has_value());
  CHECK_FALSE(known.find({{of("a"), of("other")}}).has_value());
  known.handle_write();
  CHECK_FALSE(known.find({{of("a")}}).has_value());
  CHECK_FALSE(kv_preload{}.find({{}}).has_value());
}

}  // namespace
}  // namespace nuncio::storage_turn_test
