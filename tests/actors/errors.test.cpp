// Errors of this library as CAF error values: each prints its name and text, and is equal only to its own kind.
#include <doctest/doctest.h>

#include <nuncio/errors.hpp>
#include <nuncio/host/driven_system.hpp>
#include <string>

namespace errors_test {

using namespace nuncio;

namespace {

struct sample {
  caf::error e;
  std::string sentence, whole;
};

const sample samples[] = {
    {make_error(storage_failure{errc::link_lost, "cut; it may have happened", true, "a/b"}),
     "cut; it may have happened",
     "link_lost: cut; it may have happened"},
    {make_error(
         engine_failure{.code = errc::refused, .message = "taken", .engine_code = "actor.key"}),
     "taken",
     "refused: taken (actor.key)"},
    {make_error(http_error{409, "the room is full"}),
     "the room is full",
     "http_error 409: the room is full"},
    {make_error(failure{errc::too_large, "17 bytes too many"}),
     "17 bytes too many",
     "too_large: 17 bytes too many"},
    {make_error(errc::queue_full), "queue_full", "queue_full"},
};

}  // namespace

TEST_CASE("an error of each kind prints its name and its message, wherever it is printed") {
  internal::driven_system sys;
  for (const auto& [e, sentence, whole] : samples) {
    CAPTURE(whole);
    CHECK(describe(*sys, e) == sentence);
    CHECK(internal::print(*sys, e) == whole);
    CHECK_MESSAGE(to_string(e).find(whole) != std::string::npos, to_string(e));
  }
  const caf::error other = caf::sec::invalid_argument;
  CHECK(describe(*sys, other) == internal::print(*sys, other));
}

TEST_CASE("an http_error is equal to an http_error, and to no error of another kind") {
  const auto e = make_error(http_error{404, "no such room"});
  CHECK(e == make_error(http_error{409, "the room is full"}));
  for (auto i = 0; i <= static_cast<int>(errc::internal); ++i) {
    CHECK_FALSE(e == make_error(static_cast<errc>(i)));
    CHECK(make_error(static_cast<errc>(i)));
  }
  CHECK_FALSE(storage_failure_of(e).has_value());
  CHECK_FALSE(engine_failure_of(e).has_value());
  REQUIRE(http_error_of(e).has_value());
  CHECK(http_error_of(e)->status == 404);
}

}  // namespace errors_test
