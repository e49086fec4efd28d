// What the sinks write to standard error: a record is one line that controls no terminal, whoever wrote its texts.
#include <doctest/doctest.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <console_log.hpp>
#include <flag_names.hpp>
#include <nlohmann/json.hpp>
#include <nuncio/utf8.hpp>
#include <string>

namespace log_sinks_test {

using namespace nuncio;

namespace {

// Everything that `f` writes to standard error.
template <class F>
std::string written_by(F f) {
  std::FILE* const file = ::tmpfile();
  REQUIRE(file != nullptr);
  std::fflush(stderr);
  const int kept = ::dup(STDERR_FILENO);
  REQUIRE(::dup2(::fileno(file), STDERR_FILENO) != -1);
  f();
  std::fflush(stderr);
  REQUIRE(::dup2(kept, STDERR_FILENO) != -1);
  ::close(kept);
  std::string out(static_cast<std::size_t>(::lseek(::fileno(file), 0, SEEK_END)), '\0');
  REQUIRE(::pread(::fileno(file), out.data(), out.size(), 0) == static_cast<ssize_t>(out.size()));
  std::fclose(file);
  return out;
}

const std::string hostile =
    "a\nnuncio error: the engine is gone \x1b[2J\r \xE2\x80\xAE"
    "b \xff";

std::string line_of(const log_sink& sink) {
  return written_by([&] {
    log_to(sink, log_level::warning, "of " + hostile, {{"name", hostile}, {"actor", "x"}});
  });
}

// One line, and only what is shown as it is.
bool is_harmless(std::string_view x) {
  if (!x.ends_with('\n') || !is_utf8(x) || x.find("\xE2\x80\xAE") != x.npos) return false;
  x.remove_suffix(1);
  return std::none_of(x.begin(), x.end(), [](char c) { return c >= 0 && c < ' '; });
}

const std::string escaped = R"(a\nnuncio error: the engine is gone \u{1b}[2J\u{d} \u{202e}b \xff)";

}  // namespace

TEST_CASE("5.4: a program's own sink writes a record as one harmless line") {
  const auto line = line_of(stderr_log(log_level::debug));
  CHECK(is_harmless(line));
  CHECK(line == "nuncio warning: of " + escaped + " name=\"" + escaped + "\" actor=x\n");
  CHECK(line_of(stderr_log(log_level::error)).empty());
}

TEST_CASE("5.4: the command line's text sink does, too") {
  const auto line = line_of(console_log("text"));
  CHECK(is_harmless(line));
  CHECK(line.ends_with(" of " + escaped + " name=\"" + escaped + "\" actor=x\n"));
}

TEST_CASE("5.4: as JSON a record is one complete line of ASCII") {
  const auto line = line_of(console_log("json"));
  CHECK(is_harmless(line));
  CHECK(std::all_of(line.begin(), line.end(), [](char c) { return c > 0 && c < 0x7f; }));
  const auto read = nlohmann::json::parse(line);
  const auto said =
      hostile.substr(0, hostile.size() - 1) + "\xEF\xBF\xBD";  // what is no UTF-8 is replaced
  CHECK(read["message"] == "of " + said);
  CHECK(read["name"] == said);
  CHECK(read["actor"] == "x");
  CHECK(read["level"] == "warning");
}

TEST_CASE("5.4: no sink prints more than 4096 bytes of a value") {
  const std::string value(10'000'000, 'v');
  for (const auto* format : {"text", "json"}) {
    CAPTURE(format);
    const auto sink = console_log(format);
    const auto line = written_by([&] { log_to(sink, log_level::error, "m", {{"name", value}}); });
    CHECK(line.size() < 4096 + 500);
    CHECK(line.find("vvv... (9995904 bytes more)") != std::string::npos);
  }
}

TEST_CASE("a setting that the library names by its field is logged by its flag") {
  CHECK(
      with_flag_names(
          "check host_options::endpoint, host_options::namespace_name (any) and `token`") ==
      "check --endpoint, --namespace (any) and --token");
  for (const auto* same :
       {"", "`", "host_options::", "host_options::tls", "`endpoint", "endpoint", "a `b` c"})
    CHECK(with_flag_names(same) == same);
  std::string said;
  const auto sink = with_flag_names(
      [&](log_level level, std::string_view message, std::span<const log_field> fields) {
        CHECK(level == log_level::error);
        said = log_line(message, fields);
      });
  log_to(sink, log_level::error, "host_options::pool", {{"reason", "`pool`"}, {"pool", "p"}});
  CHECK(said == "--pool reason=--pool pool=p");
}

}  // namespace log_sinks_test
