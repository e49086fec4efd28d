// Reads the vectors and converts hex; here the JSON library parses files, never the values under test.
#include "protocol/vectors.hpp"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

namespace nuncio::test {
namespace {

unsigned nibble(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  return static_cast<unsigned>(c - 'a' + 10);
}

}  // namespace

std::vector<vector_case> load_vectors(const std::string& file) {
  std::ifstream in{std::string{NUNCIO_TEST_DATA} + "/" + file};
  const auto tree = nlohmann::ordered_json::parse(in, nullptr, false);
  if (!tree.is_array() || tree.empty()) {
    std::fprintf(stderr, "no vectors in %s\n", file.c_str());
    std::abort();
  }
  std::vector<vector_case> out;
  for (const auto& x : tree)
    out.push_back(
        {x.at("name"),
         x.at("direction") == "ToEnvoy",
         x.contains("json") ? x["json"].dump() : "",
         x.at("hex"),
         x.value("why", "")});
  return out;
}

std::vector<vector_case> all_vectors() {
  auto out = load_vectors("torivet.json");
  for (auto& x : load_vectors("toenvoy.json")) out.push_back(std::move(x));
  return out;
}

std::vector<std::uint8_t> from_hex(std::string_view hex) {
  std::vector<std::uint8_t> out(hex.size() / 2);
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<std::uint8_t>(nibble(hex[2 * i]) << 4U | nibble(hex[2 * i + 1]));
  return out;
}

std::string to_hex(const std::vector<std::uint8_t>& xs) {
  std::string out;
  for (const auto x : xs) {
    out += "0123456789abcdef"[x >> 4U];
    out += "0123456789abcdef"[x & 15U];
  }
  return out;
}

}  // namespace nuncio::test
