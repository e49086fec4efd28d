// The path and headers with which a client opened its WebSocket, in their own memory: slices would keep the whole frame alive
// as long as the WebSocket. Value; any thread may read.
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

  /// Its size in bytes.
  [[nodiscard]] std::size_t size() const;

  /// The first header with that name.
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const;
  /// All headers, in order; they point into this, which must outlive them.
  [[nodiscard]] http_headers headers() const;

private:
  template <class F>
  void for_each(F f) const;

  std::unique_ptr<const char[]>
      all_;  ///< the path; then the name and the value of each header, each after its size
  std::uint32_t path_size_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace nuncio::internal
