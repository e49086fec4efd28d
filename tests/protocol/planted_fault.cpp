// Faults that a sanitizer must report, so that a preset with an inactive sanitizer is noticed. Not a test of our code: ctest
// runs it under the sanitizer presets only and checks for the report.
#include <cstdint>
#include <cstdio>
#include <memory>
#include <nuncio/codec.hpp>
#include <string_view>
#include <thread>
#include <vector>

namespace {

// A frame that claims one byte more than its memory has: the decoder, trusting its caller, reads
// it.
int over_read() {
  const auto memory = std::make_shared<std::vector<std::uint8_t>>(
      std::vector<std::uint8_t>{4, 0, 0, 0, 0, 0, 0, 0});
  memory->shrink_to_fit();
  const nuncio::bytes frame{
      std::shared_ptr<const void>{memory}, {memory->data(), memory->size() + 1}};
  return nuncio::protocol::decode_to_rivet(frame, 8).ok() ? 0 : 1;
}

int overflow() {
  volatile int x = INT32_MAX;
  x = x + 1;
  return x == 0;
}

int data_race() {
  int shared = 0;
  std::thread other{[&] { ++shared; }};
  ++shared;
  other.join();
  return shared == 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc == 2 ? argv[1] : "";
  if (what == "over-read") return over_read();
  if (what == "overflow") return overflow();
  if (what == "data-race") return data_race();
  std::fputs("usage: planted_fault over-read|overflow|data-race\n", stderr);
  return 2;
}
