// A local database over any store of pages; engine_actor::open_sqlite opens one over the engine's.
#pragma once

#include <caf/expected.hpp>
#include <functional>
#include <nuncio/sqlite.hpp>
#include <nuncio/storage/storage_call.hpp>

namespace nuncio::internal {

struct sqlite_over {
  /// Sends a request to the store and waits for its answer.
  using store = std::function<storage_result(storage_call)>;

  static caf::expected<sqlite> open(store pages, const sqlite_options& options = {});
};

}  // namespace nuncio::internal
