// The head of a request as the real engine's HTTP library reads it, where Beast has other rules: line ends, the number of
// headers, and which of them determine the end of the body. Beast reads what passes here. Pure; one thread.
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
  /// Takes the bytes that belong to the head from the beginning of `come`, and nothing once it is over. @returns how many
  std::size_t take(std::string_view come);

  /// The next text for Beast: whole lines, the last of them with the length of the body.
  std::string text();

  /// The head is complete, or refused.
  [[nodiscard]] bool over() const { return over_; }

  /// The status of the response to a refused head, 0 if it is not refused.
  [[nodiscard]] unsigned refused() const { return refused_; }

  /// Whether the body is chunked; valid once over().
  [[nodiscard]] bool chunked() const { return chunked_; }

  /// The client's headers about the length of its body: an actor sees them, Beast does not.
  [[nodiscard]] const std::vector<http_header>& framing() const { return framing_; }

private:
  void take_line();
  void take_header(std::string_view line);
  void take_length(std::string_view value);
  void end();
  void refuse(unsigned status);
  /// For an error that counts once the head is complete; the first one wins.
  void fault(unsigned status);
  void show(std::string_view name, std::string_view value);

  std::string line_;  ///< as far as it has arrived
  std::string text_;
  std::vector<http_header> framing_;
  std::optional<std::uint64_t> length_;
  std::size_t size_ = 0;
  std::size_t headers_ = 0;
  unsigned refused_ = 0;
  unsigned fault_ = 0;
  bool begun_ = false;  ///< the request line has arrived
  bool http_11_ = false;
  bool encoded_ = false;  ///< there is a transfer-encoding
  bool chunked_ = false;  ///< and its last encoding is chunked
  bool over_ = false;
};

}  // namespace nuncio::testing::engine
