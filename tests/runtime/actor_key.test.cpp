// The text of keys: the form that clients write, and that no text is misread.
#include <doctest/doctest.h>

#include <nuncio/actor_key.hpp>
#include <random>

namespace actor_key_test {

using namespace nuncio;

TEST_CASE("keys are written as clients write them") {
  CHECK(to_text({}) == "/");
  CHECK(to_text({"lobby"}) == "lobby");
  CHECK(to_text({"eu", "lobby"}) == "eu/lobby");
  CHECK(to_text({"a/b\\c"}) == R"(a\/b\\c)");
  CHECK(to_text({""}) == R"(\0)");
  CHECK(to_text({"", "", "x"}) == R"(\0/\0/x)");
  CHECK(to_text({"0"}) == "0");
  CHECK(to_text({"\\0"}) == R"(\\0)");
  CHECK(to_text({"caf\xC3\xA9"}) == "caf\xC3\xA9");
}

TEST_CASE("texts that no client writes are read nevertheless") {
  CHECK(key_from_text("").empty());
  CHECK(key_from_text("/").empty());
  CHECK(key_from_text("a/") == actor_key{"a", ""});
  CHECK(key_from_text("//") == actor_key{"", "", ""});
  CHECK(key_from_text("a\\") == actor_key{"a\\"});
  CHECK(key_from_text("a\\/b") == actor_key{"a/b"});
  CHECK(key_from_text("\\x") == actor_key{"x"});
  CHECK(key_from_text("\\0/b") == actor_key{"", "b"});
}

TEST_CASE("every key comes back from its text, and different keys have different texts") {
  std::mt19937 random{20'240'817};
  const std::string alphabet = "/\\0ab";
  const auto pick = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>{0, n - 1}(random);
  };
  for (int i = 0; i < 20'000; ++i) {
    actor_key key(pick(4));
    for (auto& element : key)
      for (auto n = pick(5); n > 0; --n) element += alphabet[pick(alphabet.size())];
    const auto text = to_text(key);
    CAPTURE(text);
    CHECK(key_from_text(text) == key);
  }
  for (int i = 0; i < 20'000; ++i) {  // any text at all: its key is stable
    std::string text;
    for (auto n = pick(10); n > 0; --n)
      text += pick(3) == 0 ? static_cast<char>(pick(256)) : alphabet[pick(5)];
    const auto key = key_from_text(text);
    CAPTURE(text);
    CHECK(key_from_text(to_text(key)) == key);
  }
}

TEST_CASE("keys over the limits are refused") {
  CHECK(check(actor_key{std::string(128, 'x')}));
  CHECK(!check(actor_key{std::string(129, 'x')}));
  CHECK(check(actor_key(8, std::string(127, 'x'))));
  CHECK(!check(actor_key(8, std::string(128, 'x'))));
  CHECK(!check(actor_key(8, std::string(127, '/'))));
}

}  // namespace actor_key_test
