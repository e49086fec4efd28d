// Plays sessions of session.fuzz.cpp at the speed of an ordinary build, without a fuzzer's feedback: changes those that it
// is given, over and over, and joins halves of two. For numbers that an instrumented and sanitized build does not reach.
//
//   session_storm SESSIONS SEED FOLDER...   folders of sessions, as make_sessions and session_fuzz write them, or single ones
//   session_storm 0 SEED FOLDER...          plays each once, as it is
//
// The same arguments play the same sessions. One that breaks an invariant ends the program with the judge's word, and is in
// storm-SEED.session.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "session/step.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" std::size_t LLVMFuzzerCustomMutator(
    std::uint8_t* data, std::size_t size, std::size_t size_max, unsigned seed);

namespace nuncio::fuzz::session_storm {
namespace {

using session = std::vector<std::uint8_t>;

constexpr std::size_t head = sizeof(session_head);
constexpr std::size_t size_max = head + steps_max * sizeof(step);
constexpr std::size_t changes_max = 5;  // of one session; more leave little of what it was

std::mt19937 bytes_random;

// What is being played, for the signal handler.
session playing;
std::array<char, 64> kept_in{};

void keep_and_die(int signal) {
  const int file = ::open(kept_in.data(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file >= 0 && ::write(file, playing.data(), playing.size()) < 0) ::_exit(1);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

std::vector<session> read_all(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  if (std::filesystem::is_regular_file(folder))
    paths.emplace_back(folder);
  else
    for (const auto& x : std::filesystem::directory_iterator{folder})
      if (x.is_regular_file()) paths.push_back(x.path());
  std::sort(paths.begin(), paths.end());
  std::vector<session> out;
  for (const auto& path : paths) {
    std::ifstream in{path, std::ios::binary};
    session x{std::istreambuf_iterator<char>{in}, {}};
    if (x.size() < head + sizeof(step)) continue;
    x.resize(std::min(x.size(), size_max));
    out.push_back(std::move(x));
  }
  return out;
}

// The first steps of one and the last of another.
session joined(const session& a, const session& b, std::mt19937& random) {
  const auto cut = [&](const session& x) {
    return head + sizeof(step) * (random() % ((x.size() - head) / sizeof(step) + 1));
  };
  session out{a.begin(), a.begin() + static_cast<std::ptrdiff_t>(cut(a))};
  out.insert(out.end(), b.begin() + static_cast<std::ptrdiff_t>(cut(b)), b.end());
  out.resize(std::min(out.size(), size_max));
  return out;
}

void change(session& x, std::mt19937& random) {
  const auto size = x.size();
  x.resize(size_max);
  x.resize(LLVMFuzzerCustomMutator(x.data(), size, size_max, static_cast<unsigned>(random())));
}

int run(int argc, char** argv) {
  if (argc < 4) {
    fmt::print(stderr, "usage: session_storm SESSIONS SEED FOLDER...\n");
    return 2;
  }
  const auto count = std::strtoull(argv[1], nullptr, 10);
  const auto seed = std::strtoul(argv[2], nullptr, 10);
  std::vector<session> all;
  for (int i = 3; i < argc; ++i) {
    auto more = read_all(argv[i]);
    std::move(more.begin(), more.end(), std::back_inserter(all));
  }
  if (all.empty()) {
    fmt::print(stderr, "session_storm: no sessions in the folders given\n");
    return 2;
  }
  fmt::format_to_n(kept_in.data(), kept_in.size() - 1, "storm-{}.session", seed);
  for (const int x : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(x, keep_and_die);
  std::mt19937 random{static_cast<std::mt19937::result_type>(seed)};
  bytes_random.seed(random());
  using clock = std::chrono::steady_clock;
  const auto began = clock::now();
  const auto rate = [&](std::uint64_t n) {
    return static_cast<double>(n) / std::chrono::duration<double>(clock::now() - began).count();
  };
  if (count == 0)
    for (const auto& x : all) {
      playing = x;
      LLVMFuzzerTestOneInput(playing.data(), playing.size());
    }
  for (std::uint64_t n = 1; n <= count; ++n) {
    const auto& from = all[random() % all.size()];
    playing = random() % 4 == 0 ? joined(from, all[random() % all.size()], random) : from;
    for (auto changes = 1 + random() % changes_max; changes != 0; --changes)
      change(playing, random);
    LLVMFuzzerTestOneInput(playing.data(), playing.size());
    if (n % 100'000 == 0) fmt::print("{} sessions, {:.0f} a second\n", n, rate(n));
    if (n % 100'000 == 0) std::fflush(stdout);
  }
  fmt::print(
      "{} sessions from {}, {:.0f} a second: no invariant broken\n",
      count == 0 ? all.size() : count,
      all.size(),
      rate(count == 0 ? all.size() : count));
  return 0;
}

}  // namespace
}  // namespace nuncio::fuzz::session_storm

// The fuzzer's part of a change: some bytes.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t) {
  auto& random = nuncio::fuzz::session_storm::bytes_random;
  for (auto n = 1 + random() % 4; n != 0 && size != 0; --n)
    data[random() % size] = static_cast<std::uint8_t>(random());
  return size;
}

int main(int argc, char** argv) { return nuncio::fuzz::session_storm::run(argc, argv); }
