// The main function of e2e_tests. Besides running cases it writes a line for each to the file NUNCIO_E2E_RESULTS, and
// `e2e_tests table FOLDER` prints the results of all runs: cases × engine. `e2e_tests host ENDPOINT POOL` is a host to be
// killed, `signalled-host` one that gets its signals early.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "bystanders.hpp"
#include "engine_under_test.hpp"
#include "fixture.hpp"

namespace {

namespace fs = std::filesystem;

// One line a case: suite, name, verdict, seconds, reason; tabs between them.
struct recorder : doctest::IReporter {
  explicit recorder(const doctest::ContextOptions&) {
    const char* file = std::getenv("NUNCIO_E2E_RESULTS");
    if (file == nullptr) return;
    fs::create_directories(fs::path{file}.parent_path());
    out.open(file, std::ios::trunc);
  }

  void report_query(const doctest::QueryData&) override {}

  void test_run_start() override {}

  void test_run_end(const doctest::TestRunStats&) override {}

  void test_case_start(const doctest::TestCaseData& x) override {
    current = &x;
    nuncio::e2e::take_skip();
    nuncio::e2e::take_logs();
    fmt::print(stderr, "[{}] {}\n", x.m_test_suite, x.m_name);
  }

  void test_case_reenter(const doctest::TestCaseData&) override {}

  void test_case_end(const doctest::CurrentTestCaseStats& x) override {
    const auto skip = nuncio::e2e::take_skip();
    const bool bad = x.failure_flags != 0;
    if (bad) fmt::print(stderr, "{}", nuncio::e2e::take_logs());
    const auto line = fmt::format(
        "{}\t{}\t{}\t{:.1f}\t{}",
        current->m_test_suite,
        current->m_name,
        bad            ? "FAILED"
        : skip.empty() ? "ok"
                       : "skipped",
        x.seconds,
        skip);
    fmt::print(stderr, "{}\n", line);
    if (out) out << line << std::endl;
  }

  void test_case_exception(const doctest::TestCaseException&) override {}

  void subcase_start(const doctest::SubcaseSignature&) override {}

  void subcase_end() override {}

  void log_assert(const doctest::AssertData&) override {}

  void log_message(const doctest::MessageData&) override {}

  void test_case_skipped(const doctest::TestCaseData&) override {}

  const doctest::TestCaseData* current = nullptr;
  std::ofstream out;
};

REGISTER_LISTENER("recorder", 1, recorder);

struct cell {
  std::string verdict = "missing", seconds, reason;
};

int print_table(const fs::path& folder) {
  std::map<std::pair<std::string, std::string>, std::map<std::string, cell>> rows;
  for (const auto& file : fs::directory_iterator{folder}) {
    if (file.path().extension() != ".tsv") continue;
    const auto stem = file.path().stem().string();
    const auto engine = stem.substr(0, stem.find('-'));
    std::ifstream in{file.path()};
    for (std::string line; std::getline(in, line);) {
      auto parts = nuncio::e2e::tab_separated(line);
      parts.resize(5);
      rows[{parts[0], parts[1]}][engine] = {parts[2], parts[3], parts[4]};
    }
  }
  bool good = !rows.empty();
  fmt::print("{:<14}{:<92}{:>14}{:>14}\n", "suite", "case", "dev", "rivet");
  for (auto& [name, cells] : rows) {
    const auto shown = [&](const std::string& engine) {
      const auto& c = cells[engine];
      good = good && (c.verdict == "ok" || c.verdict == "skipped");
      return c.seconds.empty() ? c.verdict : fmt::format("{} {}s", c.verdict, c.seconds);
    };
    const auto dev = shown("dev"), rivet = shown("rivet");
    fmt::print("{:<14}{:<92}{:>14}{:>14}\n", name.first, name.second, dev, rivet);
    for (const auto& [engine, c] : cells)
      if (!c.reason.empty()) fmt::print("{:<14}  skipped on {}: {}\n", "", engine, c.reason);
  }
  fmt::print("{} cases\n", rows.size());
  nuncio::e2e::print_acts(folder);
  return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view{argv[1]} == "table") return print_table(argv[2]);
  if (argc == 4 && std::string_view{argv[1]} == "host")
    return nuncio::e2e::run_host(argv[2], argv[3]);
  if (argc == 4 && std::string_view{argv[1]} == "signalled-host")
    return nuncio::e2e::run_signalled_host(argv[2], argv[3]);
  std::signal(SIGPIPE, SIG_IGN);
  nuncio::e2e::kind_under_test();
  doctest::Context context{argc, argv};
  const int status = context.run();
  nuncio::e2e::end_bystanders();
  nuncio::e2e::end_shared_engines();
  return status;
}
