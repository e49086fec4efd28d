// Which protocol version is used, and where a token comes from.
#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nuncio/connection/dial_terms.hpp>
#include <nuncio/token_source.hpp>

namespace dial_terms_test {

using namespace nuncio;

namespace {

struct token_file {
  std::string path = (std::filesystem::temp_directory_path() / "nuncio-token-XXXXXX").string();

  token_file() { ::close(::mkstemp(path.data())); }

  ~token_file() { std::filesystem::remove(path); }

  token_file(const token_file&) = delete;
  token_file& operator=(const token_file&) = delete;

  void write(std::string_view text) const { std::ofstream{path} << text; }
};

std::string said(const failure& x) { return x.message; }

}  // namespace

TEST_CASE("the version is the newest that both sides support, and never 7") {
  const auto chosen = [](int engine) { return *choose_protocol_version(engine); };
  CHECK(chosen(3) == 3);
  CHECK(chosen(4) == 4);
  CHECK(chosen(6) == 6);
  CHECK(chosen(7) == 6);
  CHECK(chosen(8) == 8);
  CHECK(chosen(9) == 8);
  CHECK(chosen(65535) == 8);
}

TEST_CASE("an engine without a common version is refused with an explanation") {
  for (const int engine : {-1, 1, 2}) {
    const auto none = choose_protocol_version(engine);
    REQUIRE(!none);
    CHECK(none.error().code == errc::unsupported_version);
    CHECK(
        said(none.error()) == "the engine speaks the envoy protocol up to version " +
                                  std::to_string(engine) +
                                  ", this host 3, 4, 5, 6 or 8; upgrade the engine");
  }
  const auto silent = choose_protocol_version(0);
  REQUIRE(!silent);
  CHECK(silent.error().code == errc::unsupported_version);
  CHECK(said(silent.error()).find("does not say") != std::string::npos);
}

TEST_CASE("versions that can be forced") {
  for (const int v : {3, 4, 5, 6, 8}) CHECK(speaks_protocol_version(v));
  for (const int v : {-1, 0, 2, 7, 9}) CHECK(!speaks_protocol_version(v));
  CHECK(spoken_protocol_versions() == "3, 4, 5, 6 or 8");
}

TEST_CASE("a token file is read each time, without the space around the token") {
  const token_file file;
  const auto source = token_from_file(file.path);
  file.write("  first-token\r\n");
  CHECK(*source() == "first-token");
  file.write("second-token");
  CHECK(*source() == "second-token");
}

TEST_CASE("a token file that holds none is refused, naming the file and not its content") {
  const token_file file;
  const auto source = token_from_file(file.path);
  for (const auto* text : {"", "\n", "two words", "a,b", "secret\x01\ttoken", "secret\xC3\xA9"}) {
    CAPTURE(text);
    file.write(text);
    const auto token = source();
    REQUIRE(!token);
    CHECK(token.error().code == errc::invalid_argument);
    CHECK(said(token.error()).find(file.path) != std::string::npos);
    CHECK(said(token.error()).find("secret") == std::string::npos);
  }
  file.write(std::string(4097, 'x'));
  CHECK(!source());
  file.write(std::string(4096, 'x'));
  CHECK(source());
  CHECK(!token_from_file("/nonexistent/token")());
}

TEST_CASE("the environment names a token or its file") {
  const token_file file;
  file.write("from-file");
  const auto source = token_from_environment();
  ::unsetenv("RIVET_TOKEN");
  ::unsetenv("RIVET_TOKEN_FILE");
  CHECK(source()->empty());
  ::setenv("RIVET_TOKEN_FILE", file.path.c_str(), 1);
  CHECK(*source() == "from-file");
  ::setenv("RIVET_TOKEN", "direct", 1);
  CHECK(*source() == "direct");
  ::setenv("RIVET_TOKEN", "", 1);
  CHECK(*source() == "from-file");
  ::unsetenv("RIVET_TOKEN");
  ::unsetenv("RIVET_TOKEN_FILE");
}

TEST_CASE(
    "whatever gives a token, it is checked before it is used, and not repeated when it is "
    "refused") {
  CHECK(*read_token({}, " fixed\n") == "fixed");
  CHECK(read_token({}, "")->empty());
  CHECK(*read_token([] { return outcome<std::string>{" given "}; }, "fixed") == "given");
  const failure why{errc::unreachable, "the vault is sealed"};
  CHECK(
      said(read_token([&] { return outcome<std::string>{why}; }, "fixed").error()) == why.message);
  for (const std::string bad :
       {"secret\r\nx-admin: yes", "secret word", "secret,word", "secret\x7F", "secret\xC3\xA9"}) {
    for (const auto& token : {read_token({}, bad), read_token([&] { return outcome{bad}; }, "")}) {
      REQUIRE(!token);
      CHECK(token.error().code == errc::invalid_argument);
      CHECK(said(token.error()).find("secret") == std::string::npos);
    }
  }
}

TEST_CASE("a token that an engine repeats is hidden, plain and URL-encoded") {
  CHECK(
      without_token("bad token to/ken-1, /gateway/a@to%2Fken-1/x; to/ken-1", "to/ken-1") ==
      "bad token ***, /gateway/a@***/x; ***");
  CHECK(without_token("said no", "to/ken-1") == "said no");
  CHECK(without_token("a word", "") == "a word");
}

}  // namespace dial_terms_test
