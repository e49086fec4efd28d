// The head of a request as the real engine's HTTP library reads it, where Beast has other rules: how lines end, how many headers
// there may be, and which of them says where the body ends. What it lets through is for Beast to read. Pure; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "web.hpp"

namespace nuncio::testing::engine {

class request_head {
public:
  /// Takes what belongs to the head from the begin of `come`, and nothing once it is over. @returns how many bytes
  std::size_t take(std::string_view come);

  /// What Beast is to read next: whole lines, and in the last of them how long the body is.
  std::string text();

  /// It has come to its end, or is refused.
  [[nodiscard]] bool over() const { return over_; }

  /// The status of the answer to one that is refused, 0 if it is not.
  [[nodiscard]] unsigned refused() const { return refused_; }

  /// Whether a body comes in chunks; once it is over.
  [[nodiscard]] bool chunked() const { return chunked_; }

  /// The client's headers about the length of its body: an actor sees them, Beast does not.
  [[nodiscard]] const std::vector<http_header>& framing() const { return framing_; }

private:
  void take_line();
  void take_header(std::string_view line);
  void take_length(std::string_view value);
  void end();
  void refuse(unsigned status);
  /// For a mistake that counts when the head has come to its end; the first one does.
  void fault(unsigned status);
  void show(std::string_view name, std::string_view value);

  std::string line_;  ///< as far as it has come
  std::string text_;
  std::vector<http_header> framing_;
  std::optional<std::uint64_t> length_;
  std::size_t size_ = 0;
  std::size_t headers_ = 0;
  unsigned refused_ = 0;
  unsigned fault_ = 0;
  bool begun_ = false;  ///< the request line has come
  bool http_11_ = false;
  bool encoded_ = false;  ///< there is a transfer-encoding
  bool chunked_ = false;  ///< and by its last word the body comes in chunks
  bool over_ = false;
};

}  // namespace nuncio::testing::engine
