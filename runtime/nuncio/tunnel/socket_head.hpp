// What a client opened its WebSocket with, path and headers, in one piece of memory of its own: cut from the frame that they
// came in they would keep all of it for as long as the WebSocket lives. Value; any thread may read.
#pragma once

#include <cstdint>
#include <memory>
#include <nuncio/http.hpp>
#include <optional>
#include <string_view>

namespace nuncio::internal {

class socket_head {
public:
  socket_head() = default;
  socket_head(std::string_view path, const http_headers& headers);

  [[nodiscard]] std::string_view path() const { return {all_.get(), path_size_}; }

  /// What it takes, in bytes.
  [[nodiscard]] std::size_t size() const;

  /// The first of that name.
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const;
  /// All, in their order; they point into this, which must outlive them.
  [[nodiscard]] http_headers headers() const;

private:
  template <class F>
  void for_each(F f) const;

  std::unique_ptr<const char[]>
      all_;  ///< the path; then the name and the value of each header, each behind its size
  std::uint32_t path_size_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace nuncio::internal
