// sqlite_pages against a model of the engine's page store, which can lose answers, refuse and be
// changed by others.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <functional>
#include <nuncio/storage/sqlite_pages.hpp>

#include "support/page_store.hpp"

namespace nuncio::sqlite_pages_test {
namespace {

using namespace protocol;
using test::store;

constexpr auto page_bytes = sqlite_pages::page_bytes;

// @param db_pages  the size that a page 1 states; 0: none
std::vector<std::uint8_t> page_of(std::uint8_t fill, std::uint32_t db_pages = 0) {
  std::vector<std::uint8_t> out(page_bytes, fill);
  for (unsigned i = 0; i < 4; ++i)
    out[28 + i] = static_cast<std::uint8_t>(db_pages >> (24 - 8 * i));
  return out;
}

// The shell's part: asks until nothing is wanted. A fault may replace what the store answers.
struct fixture {
  using fault = std::function<std::optional<storage_result>(const storage_call&, store&)>;

  explicit fixture(sqlite_pages_options options = {}) : pages(options) {}

  outcome<void> run() {
    while (auto call = pages.poll_transmit()) {
      asked.push_back(std::string{name_of(*call)}.substr(6));
      last = *call;
      std::optional<storage_result> with;
      if (!faults.empty()) {
        auto next = std::move(faults.front());
        faults.erase(faults.begin());
        if (next) with = next(*call, engine);
      }
      pages.handle_result(with ? *with : engine(*call));
      CHECK(asked.size() < 10'000);
    }
    return pages.take_outcome();
  }

  outcome<void> open() {
    pages.begin_open();
    return run();
  }

  outcome<void> fetch(std::uint32_t pgno) {
    pages.begin_fetch(pgno);
    return run();
  }

  outcome<void> commit() {
    pages.begin_commit(7);
    return run();
  }

  void write(std::uint32_t pgno, std::uint8_t fill) {
    REQUIRE(pages.write(pgno, page_of(fill)).ok());
  }

  [[nodiscard]] std::vector<std::string> take_asked() { return std::exchange(asked, {}); }

  store engine;
  sqlite_pages pages;
  std::vector<fault> faults;
  std::vector<std::string> asked;
  storage_call last;
};

// The answer is lost; the engine has, or has not, done what was asked.
std::optional<storage_result> lost_after(const storage_call& call, store& engine) {
  static_cast<void>(engine(call));
  return storage_failure{errc::link_lost, "cut", true, {}};
}

std::optional<storage_result> lost_before(const storage_call&, store&) {
  return storage_failure{errc::link_lost, "cut", true, {}};
}

std::optional<storage_result> not_sent(const storage_call&, store&) {
  return storage_failure{errc::queue_full, "full", false, {}};
}

using strings = std::vector<std::string>;

TEST_CASE("a new database: no pages, and the first commit creates it") {
  fixture x;
  REQUIRE(x.open().ok());
  CHECK(x.pages.size() == 0);
  CHECK_FALSE(x.pages.head().has_value());
  CHECK_FALSE(x.pages.dirty());
  x.write(1, 1);
  x.write(2, 2);
  CHECK(x.pages.dirty());
  CHECK(x.pages.size() == 2);
  REQUIRE(x.commit().ok());
  CHECK(x.engine.head == 1);
  CHECK(x.engine.size == 2);
  CHECK(x.pages.head() == 1);
  CHECK(x.take_asked() == strings{"GetPages", "Commit"});
  CHECK(std::get<sqlite_commit_request>(x.last).now_ms == 7);
  // Nothing changed, nothing sent; what was written is still here.
  REQUIRE(x.commit().ok());
  CHECK(x.asked.empty());
  REQUIRE(x.pages.find(2));
  CHECK(x.pages.find(2)->at(0) == 2);
}

TEST_CASE("opening takes head, size and first pages in one request") {
  fixture x;
  x.engine.pages[1] = page_of(9, 40);
  for (std::uint32_t i = 2; i <= 40; ++i) x.engine.pages[i] = page_of(static_cast<std::uint8_t>(i));
  x.engine.head = 5;
  REQUIRE(x.open().ok());
  CHECK(x.pages.size() == 40);
  CHECK(x.pages.head() == 5);
  CHECK(x.pages.find(16));
  CHECK_FALSE(x.pages.find(17));
  CHECK(x.asked.size() == 1);
}

TEST_CASE(
    "sequential reads, up or down, fetch more and more at once; a jump fetches a few; cached pages "
    "are not requested") {
  fixture x;
  x.engine.pages[1] = page_of(9, 1000);
  for (std::uint32_t i = 2; i <= 1000; ++i)
    x.engine.pages[i] = page_of(static_cast<std::uint8_t>(i));
  x.engine.head = 1;
  REQUIRE(x.open().ok());
  std::vector<std::size_t> sizes;
  for (std::uint32_t i = 17; i <= 400; ++i) {
    if (x.pages.find(i)) continue;
    REQUIRE(x.fetch(i).ok());
    sizes.push_back(std::get<sqlite_get_pages_request>(x.last).pgnos.size());
    REQUIRE(x.pages.find(i));
    CHECK(x.pages.find(i)->at(0) == static_cast<std::uint8_t>(i));
  }
  REQUIRE(sizes.size() >= 6);
  CHECK(
      std::vector<std::size_t>(sizes.begin(), sizes.begin() + 6) ==
      std::vector<std::size_t>{4, 8, 16, 32, 64, 64});
  REQUIRE(x.fetch(900).ok());
  CHECK(
      std::get<sqlite_get_pages_request>(x.last).pgnos ==
      std::vector<std::uint32_t>{900, 901, 902, 903});
  // Downwards as well.
  REQUIRE(x.fetch(899).ok());
  CHECK(
      std::get<sqlite_get_pages_request>(x.last).pgnos ==
      std::vector<std::uint32_t>{899, 898, 897, 896, 895, 894, 893, 892});
  REQUIRE(x.fetch(891).ok());
  CHECK(std::get<sqlite_get_pages_request>(x.last).pgnos.size() == 16);
  REQUIRE(x.fetch(875).ok());
  CHECK(std::get<sqlite_get_pages_request>(x.last).pgnos.back() == 875 - 31);
  REQUIRE(x.fetch(905).ok());
  CHECK(
      std::get<sqlite_get_pages_request>(x.last).pgnos ==
      std::vector<std::uint32_t>{905, 906, 907, 908});
  REQUIRE(x.fetch(1000).ok());
  CHECK(std::get<sqlite_get_pages_request>(x.last).pgnos == std::vector<std::uint32_t>{1000});
  CHECK(std::get<sqlite_get_pages_request>(x.last).expected_head_txid == 1);
}

TEST_CASE("a page that the store leaves out is zero") {
  fixture x;
  x.engine.pages[1] = page_of(9, 30);
  x.engine.head = 1;
  REQUIRE(x.open().ok());
  REQUIRE(x.fetch(30).ok());
  REQUIRE(x.pages.find(30));
  CHECK(*x.pages.find(30) == std::vector<std::uint8_t>(page_bytes));
}

TEST_CASE("I13 backpressure: clean pages and the changes of a transaction have a bound") {
  fixture x{
      {.clean_bytes_max = 8 * page_bytes, .dirty_bytes_max = 3 * page_bytes, .open_pages = 4}};
  x.engine.pages[1] = page_of(9, 100);
  for (std::uint32_t i = 2; i <= 100; ++i)
    x.engine.pages[i] = page_of(static_cast<std::uint8_t>(i));
  x.engine.head = 1;
  REQUIRE(x.open().ok());
  for (std::uint32_t i = 5; i <= 100; ++i)
    if (!x.pages.find(i)) {
      REQUIRE(x.fetch(i).ok());
      REQUIRE(x.pages.find(i));
    }
  std::size_t here = 0;
  for (std::uint32_t i = 1; i <= 100; ++i) here += x.pages.find(i) ? 1U : 0U;
  CHECK(here == 8);
  for (std::uint32_t i = 1; i <= 3; ++i) x.write(i, 1);
  x.write(3, 2);
  const auto over = x.pages.write(4, page_of(1));
  REQUIRE_FALSE(over.ok());
  CHECK(over.error().code == errc::too_large);
}

TEST_CASE("320 changed pages are one commit, 321 go in segments that begin at shards") {
  fixture x;
  REQUIRE(x.open().ok());
  for (std::uint32_t i = 1; i <= 320; ++i) x.write(i, 1);
  REQUIRE(x.commit().ok());
  CHECK(x.take_asked() == strings{"GetPages", "Commit"});
  for (std::uint32_t i = 1; i <= 321; ++i) x.write(i, 2);
  REQUIRE(x.commit().ok());
  CHECK(
      x.take_asked() ==
      strings{"CommitStageBegin", "CommitStageSegment", "CommitStageSegment", "CommitFinalize"});
  CHECK(x.engine.head == 2);
  CHECK(x.engine.size == 321);
  CHECK(x.engine.pages[321].at(0) == 2);
  // Far apart: a segment for each neighbourhood.
  for (std::uint32_t i = 0; i < 330; ++i) x.write(1000 + i * 100, 3);
  REQUIRE(x.commit().ok());
  const auto& firsts = std::get<sqlite_commit_finalize_request>(x.last).segment_first_pgnos;
  CHECK(firsts.front() == 960);
  for (std::size_t i = 0; i < firsts.size(); ++i) {
    CHECK(firsts[i] % 64 == 0);
    if (i != 0) CHECK(firsts[i] >= firsts[i - 1] + 320);
  }
  CHECK(x.pages.head() == 3);
  CHECK(x.pages.stats().staged == 2);
  CHECK(x.pages.stats().committed_pages == 320 + 321 + 330);
}

TEST_CASE(
    "a commit whose answer was lost: the head tells whether it happened, and it happens once") {
  for (const auto staged : {false, true}) {
    for (const auto after : {false, true}) {
      CAPTURE(staged);
      CAPTURE(after);
      const auto pages = staged ? 700U : 3U;
      const auto steps = staged ? 5U : 1U;  // begin, three segments, finalize
      for (std::size_t at = 0; at < steps; ++at) {
        CAPTURE(at);
        fixture x;
        REQUIRE(x.open().ok());
        x.write(1, 1);
        REQUIRE(x.commit().ok());
        for (std::uint32_t i = 1; i <= pages; ++i) x.write(i, 2);
        x.faults.resize(at + 1);
        x.faults[at] = after ? lost_after : lost_before;
        REQUIRE(x.commit().ok());
        CHECK(x.engine.head == 2);
        CHECK(x.pages.head() == 2);
        CHECK(x.engine.pages.size() == pages);
        CHECK(x.engine.pages[pages].at(0) == 2);
        CHECK_FALSE(x.pages.broken().has_value());
        CHECK(x.pages.stats().probes == (at + 1 == steps ? 1 : 0));
        CHECK_FALSE(x.pages.dirty());
      }
    }
  }
}

TEST_CASE("a first commit whose answer was lost") {
  for (const auto after : {false, true}) {
    fixture x;
    REQUIRE(x.open().ok());
    x.write(1, 1);
    x.faults = {after ? lost_after : lost_before};
    REQUIRE(x.commit().ok());
    CHECK(x.engine.head == 1);
    CHECK(x.pages.head() == 1);
  }
}

TEST_CASE(
    "an attempt that arrives late, after the head was asked for: the second one is refused, and it "
    "is done") {
  fixture x;
  REQUIRE(x.open().ok());
  x.write(1, 1);
  storage_call first;
  x.faults = {
      [&](const storage_call& call, store& engine) {
        first = call;
        return lost_before(call, engine);
      },
      nullptr,
      [&](const storage_call&, store& engine) -> std::optional<storage_result> {
        static_cast<void>(engine(first));  // now it lands
        return std::nullopt;
      }};
  REQUIRE(x.commit().ok());
  CHECK(x.asked == strings{"GetPages", "Commit", "GetPages", "Commit", "GetPages"});
  CHECK(x.engine.head == 1);
  CHECK_FALSE(x.pages.broken().has_value());
}

TEST_CASE("a request that did not leave this process is not committed, and can be retried") {
  fixture x;
  REQUIRE(x.open().ok());
  x.write(1, 1);
  x.faults = {not_sent};
  const auto got = x.commit();
  REQUIRE_FALSE(got.ok());
  CHECK(got.error().code == errc::queue_full);
  CHECK(got.error().message.ends_with("; the transaction is not committed"));
  CHECK(x.pages.dirty());
  REQUIRE(x.commit().ok());
  CHECK(x.engine.head == 1);
}

TEST_CASE("another writer's commit breaks the database for good: on commit, on fetch, on a probe") {
  const auto meddle = [](const storage_call&, store& engine) -> std::optional<storage_result> {
    engine.head = engine.head.value_or(0) + 5;
    return std::nullopt;
  };
  fixture x;
  x.engine.pages[1] = page_of(9, 100);
  x.engine.head = 1;
  REQUIRE(x.open().ok());
  x.faults = {meddle};
  SUBCASE("commit") {
    x.write(1, 1);
    CHECK_FALSE(x.commit().ok());
  }
  SUBCASE("fetch") { CHECK_FALSE(x.fetch(50).ok()); }
  SUBCASE("probe") {
    x.write(1, 1);
    x.faults = {lost_before, meddle};
    CHECK_FALSE(x.commit().ok());
  }
  REQUIRE(x.pages.broken().has_value());
  CHECK(
      x.pages.broken()->message.find("someone else has changed this database") !=
      std::string::npos);
  x.asked.clear();
  CHECK_FALSE(x.fetch(60).ok());
  CHECK_FALSE(x.commit().ok());
  CHECK_FALSE(x.pages.write(1, page_of(1)).ok());
  CHECK(x.asked.empty());
}

TEST_CASE("if it is unknown whether a commit happened, the database is broken") {
  fixture x;
  REQUIRE(x.open().ok());
  x.write(1, 1);
  const auto cancelled = [](const storage_call&, store&) -> std::optional<storage_result> {
    return storage_failure{errc::cancelled, "this instance was ended", false, {}};
  };
  x.faults = {lost_before, cancelled};
  const auto got = x.commit();
  REQUIRE_FALSE(got.ok());
  CHECK(
      got.error().message ==
      "it is unknown whether the last commit happened: this instance was ended");
  CHECK(x.pages.broken().has_value());
}

TEST_CASE("a commit whose answers are lost for ever ends, at attempts_max") {
  fixture x;
  REQUIRE(x.open().ok());
  x.write(1, 1);
  for (int i = 0; i < 20; ++i) {
    x.faults.emplace_back(lost_before);
    x.faults.emplace_back(nullptr);
  }
  CHECK_FALSE(x.commit().ok());
  CHECK(x.pages.broken().has_value());
  CHECK(x.asked.size() == 1 + 9 + 8);
}

TEST_CASE(
    "a commit that the engine answers with an error each time is not committed, and breaks "
    "nothing") {
  const auto error = [](const storage_call&, store&) -> std::optional<storage_result> {
    return test::refused("core/internal_error");
  };
  const auto pass = fixture::fault{};
  fixture x;
  REQUIRE(x.open().ok());
  x.write(1, 1);
  REQUIRE(x.commit().ok());
  // What a database of one page asks for in turn, and of each what becomes of it.
  const auto fails = [&](unsigned pages, const std::vector<fixture::fault>& round) {
    for (unsigned i = 2; i <= pages; ++i) x.write(i, 2);
    x.faults.clear();
    for (int i = 0; i < 9; ++i) x.faults.insert(x.faults.end(), round.begin(), round.end());
    const auto got = x.commit();
    REQUIRE_FALSE(got.ok());
    CHECK(got.error().message == "no; the transaction is not committed");
    CHECK_FALSE(x.pages.broken().has_value());
    CHECK(x.faults.empty());
    CHECK(x.engine.head == 1);
    x.pages.truncate(1);
  };
  fails(2, {error, pass});  // the commit, and the head is asked for
  fails(400, {error});
  fails(400, {pass, error});
  // One answer that was lost for good, and nobody can tell.
  x.write(2, 2);
  x.faults = {lost_before, pass};
  for (int i = 0; i < 8; ++i) x.faults.insert(x.faults.end(), {error, pass});
  CHECK_FALSE(x.commit().ok());
  CHECK(x.pages.broken().has_value());
}

TEST_CASE("a last attempt that was answered with an error but happened is a commit") {
  fixture x;
  REQUIRE(x.open().ok());
  x.write(1, 1);
  const auto error = [](const storage_call&, store&) -> std::optional<storage_result> {
    return test::refused("core/internal_error");
  };
  const auto done = [](const storage_call& call, store& engine) -> std::optional<storage_result> {
    static_cast<void>(engine(call));
    return test::refused("core/internal_error");
  };
  for (int i = 0; i < 8; ++i) x.faults.insert(x.faults.end(), {error, fixture::fault{}});
  x.faults.emplace_back(done);
  CHECK(x.commit().ok());
  CHECK(x.engine.head == 1);
  CHECK(x.pages.head() == 1);
}

TEST_CASE("a fetch that fails breaks nothing, and can be tried again") {
  fixture x;
  x.engine.pages[1] = page_of(9, 100);
  x.engine.head = 1;
  REQUIRE(x.open().ok());
  x.faults = {[](const storage_call&, store&) -> std::optional<storage_result> {
    return storage_failure{errc::timed_out, "no answer in time", false, {}};
  }};
  const auto got = x.fetch(50);
  REQUIRE_FALSE(got.ok());
  CHECK(got.error().code == errc::timed_out);
  CHECK(x.fetch(50).ok());
  CHECK(x.take_asked().size() == 3);
  // A page that is no page ends it.
  x.faults = {[](const storage_call&, store&) -> std::optional<storage_result> {
    return storage_answer{sqlite_get_pages_ok{{{90, bytes{std::string_view{"short"}}}}, 1}};
  }};
  CHECK_FALSE(x.fetch(90).ok());
  CHECK(x.pages.broken()->code == errc::malformed);
}

TEST_CASE("unchanged pages are not committed, and truncated ones are forgotten") {
  fixture x;
  REQUIRE(x.open().ok());
  for (std::uint32_t i = 1; i <= 5; ++i) x.write(i, 1);
  REQUIRE(x.commit().ok());
  x.asked.clear();
  x.write(3, 2);
  x.write(3, 1);
  CHECK(x.commit().ok());
  CHECK(x.asked.empty());
  x.pages.truncate(3);
  CHECK(x.pages.dirty());
  REQUIRE(x.commit().ok());
  CHECK(x.asked == strings{"Commit"});
  CHECK(x.engine.size == 3);
  CHECK_FALSE(x.pages.find(4));
  // Grown again, it is written even with what it once was.
  x.write(4, 1);
  REQUIRE(x.commit().ok());
  CHECK(x.engine.size == 4);
  CHECK(x.asked == strings{"Commit", "Commit"});
}

TEST_CASE("an engine without a head fences by the generation only") {
  fixture x;
  const auto headless = [](const storage_call& call,
                           store& engine) -> std::optional<storage_result> {
    auto out = engine(call);
    if (auto* answer = std::get_if<storage_answer>(&out)) {
      if (auto* pages = std::get_if<sqlite_get_pages_ok>(answer)) pages->head_txid.reset();
      if (auto* commit = std::get_if<sqlite_commit_ok>(answer)) commit->head_txid.reset();
    }
    return out;
  };
  x.engine.pages[1] = page_of(9, 1);
  x.engine.head = 3;
  x.faults = {headless};
  REQUIRE(x.open().ok());
  x.write(1, 1);
  x.faults = {[&](const storage_call& call, store&) -> std::optional<storage_result> {
    CHECK_FALSE(std::get<sqlite_commit_request>(call).expected_head_txid.has_value());
    return storage_answer{sqlite_commit_ok{}};
  }};
  CHECK(x.commit().ok());
  CHECK_FALSE(x.pages.head().has_value());
}

}  // namespace
}  // namespace nuncio::sqlite_pages_test
