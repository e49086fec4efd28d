// The queue of due entries of many owners.
#include <doctest/doctest.h>

#include <nuncio/instances/due_times.hpp>
#include <string>
#include <vector>

namespace due_times_test {

using namespace nuncio;
using namespace std::chrono_literals;

namespace {

enum class kind : std::uint8_t { tea, cake };

struct guest {
  char name;
  due_times<guest, kind>::own times{};
};

struct fixture {
  due_times<guest, kind> all;
  guest a{'a'}, b{'b'};
  time_point now{1h};

  void add(guest& of, kind what, duration after) { all.add(of, of.times, what, now + after); }

  std::string due() {
    std::string out;
    while (const auto next = all.poll(
               now, [](guest & of) -> auto& { return of.times; }))
      out += std::string{next->first->name} + (next->second == kind::tea ? "t " : "c ");
    return out;
  }
};

}  // namespace

TEST_CASE_FIXTURE(fixture, "due entries come in order of time, once, whichever owner they have") {
  add(a, kind::tea, 3s);
  add(b, kind::cake, 1s);
  add(b, kind::tea, 2s);
  CHECK(all.poll_timeout() == now + 1s);
  CHECK(due().empty());
  now += 2s;
  CHECK(due() == "bc bt ");
  CHECK(all.poll_timeout() == now + 1s);
  now += 1s;
  CHECK(due() == "at ");
  CHECK(due().empty());
  CHECK_FALSE(all.poll_timeout());
}

TEST_CASE_FIXTURE(
    fixture, "entries due at the same time come in the order in which they were added") {
  for (auto* of : {&b, &a, &b}) add(*of, kind::tea, 1s);
  now += 1s;
  CHECK(due() == "bt at bt ");
}

TEST_CASE_FIXTURE(fixture, "dropped entries never come: one of a kind, or all of an owner") {
  add(a, kind::tea, 1s);
  add(a, kind::cake, 1s);
  add(a, kind::tea, 2s);
  add(b, kind::tea, 1s);
  all.drop(a.times, kind::tea);
  all.drop(b.times, kind::cake);
  now += 1s;
  CHECK(due() == "ac bt ");
  add(b, kind::cake, 1s);
  all.drop_all(a.times);
  now += 1s;
  CHECK(due() == "bc ");
  CHECK_FALSE(all.poll_timeout());
}

}  // namespace due_times_test
