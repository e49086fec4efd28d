// An actor's state in parts: what goes in comes out, and anything else is an error.
#include <doctest/doctest.h>

#include <nuncio/detail/state_record.hpp>
#include <string>

namespace nuncio::state_record_test {

namespace {

state_record of(std::size_t size, state_record::form as = state_record::form::json) {
  std::string content;
  for (std::size_t i = 0; i < size; ++i) content += static_cast<char>('a' + i % 26);
  return {as, bytes{std::move(content)}};
}

}  // namespace

TEST_CASE("a state of any size comes back from its parts") {
  for (const auto size : std::initializer_list<std::size_t>{0, 1, 6, 7, 8, 16, 17, 18, 97}) {
    CAPTURE(size);
    const auto x = of(size, size % 2 == 0 ? state_record::form::json : state_record::form::caf);
    const auto parts = split(x, 10, 10);
    REQUIRE(parts.ok());
    CHECK(parts->size() == (size + 3 + 9) / 10);
    for (const auto& part : *parts) CHECK(part.size() <= 10);
    CHECK(*parts_of(parts->front()) == parts->size());
    CHECK(*join(*parts) == x);
    auto more = *parts;
    more.emplace_back(std::string{"of a larger one before"});
    CHECK(*join(more) == x);
  }
}

TEST_CASE("a state that takes too many parts is refused with its size and the limit") {
  CHECK(split(of(97), 10, 10).ok());
  CHECK(to_string(split(of(98), 10, 10).error()) == "too_large: a state of 98 bytes: at most 97");
  CHECK(split(of(252), 1, 1000).ok());
  CHECK(!split(of(253), 1, 1000).ok());
}

TEST_CASE("an invalid or incomplete state is an error") {
  const auto parts = *split(of(30), 10, 10);
  for (std::size_t n = 0; n < parts.size(); ++n)
    CHECK(
        join({parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(n)}).error().code ==
        errc::malformed);
  const auto code = [](std::string x) { return join({bytes{std::move(x)}}).error().code; };
  CHECK(code("") == errc::malformed);
  CHECK(code("\x01j") == errc::malformed);
  CHECK(code(std::string{"\x02j\x01", 3}) == errc::malformed);  // a version of the future
  CHECK(code(std::string{"\x01k\x01", 3}) == errc::malformed);
  CHECK(code(std::string{"\x01j\0", 3}) == errc::malformed);
  CHECK(join({bytes{std::string{"\x01j\x01", 3}}}).ok());
}

}  // namespace nuncio::state_record_test
