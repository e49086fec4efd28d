// libFuzzer target for a whole host behind its link: sessions of an engine that sends valid messages in any order, with any
// index, id, size and number (session/step.hpp), against ingress, ack, outbox, storage and engine actors. After each step
// session/judge.hpp checks the invariants.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "session/session_world.hpp"

namespace {

using namespace nuncio;
using namespace nuncio::fuzz;

// One for all sessions, which has no end: to make it takes longer than a session.
test::sim_system& actor_system() {
  static auto* const system = new test::sim_system;
  return *system;
}

constexpr std::size_t head_size = sizeof(session_head);

// What mutations of single bytes do not find: whole steps in another order.
void rearrange(std::vector<step>& steps, std::mt19937& random) {
  const auto any = [&] { return random() % steps.size(); };
  switch (random() % 5) {
    case 0:
      std::swap(steps[any()], steps[any()]);
      break;
    case 1:  // again, somewhere later
      if (const auto from = any(); steps.size() < steps_max)
        steps.insert(
            steps.begin() +
                static_cast<std::ptrdiff_t>(from + random() % (steps.size() - from + 1)),
            step{steps[from]});
      break;
    case 2:
      if (steps.size() > 1) steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(any()));
      break;
    case 3:  // the same to another actor, or of another kind
      if (const auto from = any(); steps.size() < steps_max) {
        auto copy = steps[from];
        (random() % 2 == 0 ? copy.kind : copy.actor) = static_cast<std::uint8_t>(random());
        steps.insert(steps.begin() + static_cast<std::ptrdiff_t>(any()), copy);
      }
      break;
    default:
      if (steps.size() < steps_max) {
        step fresh;
        std::array<std::uint8_t, sizeof(step)> raw{};
        for (auto& x : raw) x = static_cast<std::uint8_t>(random());
        std::memcpy(&fresh, raw.data(), sizeof fresh);
        fresh.generation %= 8;
        steps.insert(steps.begin() + static_cast<std::ptrdiff_t>(any()), fresh);
      }
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t size_max);

extern "C" std::size_t LLVMFuzzerCustomMutator(
    std::uint8_t* data, std::size_t size, std::size_t size_max, unsigned seed) {
  std::mt19937 random{seed};
  if (size < head_size + sizeof(step) || random() % 2 == 0)
    return LLVMFuzzerMutate(data, size, size_max);
  auto steps = steps_of({data + head_size, size - head_size});
  for (auto n = 1 + random() % 3; n != 0; --n) rearrange(steps, random);
  const auto kept = std::min(steps.size(), (size_max - head_size) / sizeof(step));
  std::memcpy(data + head_size, steps.data(), kept * sizeof(step));
  return head_size + kept * sizeof(step);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < head_size) return 0;
  auto& system = actor_system();
  system.reset_clock();
  const auto steps = steps_of({data + head_size, size - head_size});
  world{system, {data[0], data[1]}}.play(steps);
  // What was to be sent later holds actors that are over.
  system.pass(std::chrono::hours{24});
  system.run();
  return 0;
}
