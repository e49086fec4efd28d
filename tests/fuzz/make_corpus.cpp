// Writes the fuzzer's first corpus: each test vector as a file of its bytes. usage: make_corpus
// FOLDER FILE.json...
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::filesystem::path folder{argv[1]};
  std::filesystem::create_directories(folder);
  int count = 0;
  for (int i = 2; i < argc; ++i) {
    std::ifstream in{argv[i]};
    const auto vectors = nlohmann::json::parse(in, nullptr, false);
    if (!vectors.is_array()) {
      std::fprintf(stderr, "no vectors in %s\n", argv[i]);
      return 1;
    }
    for (const auto& x : vectors) {
      const std::string hex = x.at("hex");
      std::ofstream out{folder / std::to_string(count++), std::ios::binary};
      for (std::size_t k = 0; k < hex.size(); k += 2)
        out.put(static_cast<char>(std::stoi(hex.substr(k, 2), nullptr, 16)));
    }
  }
  std::printf("%d files\n", count);
  return 0;
}
