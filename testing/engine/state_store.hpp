// Keeps the engine's state in a SQLite file, so that a kill -9 loses nothing that was sent to anyone. Engine thread.
#pragma once

#include <memory>
#include <nuncio/outcome.hpp>
#include <string>

#include "engine_core.hpp"
#include "stored_data.hpp"

struct sqlite3;

namespace nuncio::testing::engine {

class state_store {
public:
  /// Opens or creates the file in `folder`.
  static outcome<std::unique_ptr<state_store>> open(const std::string& folder);

  state_store(const state_store&) = delete;
  state_store& operator=(const state_store&) = delete;
  ~state_store();

  [[nodiscard]] outcome<engine_state> load();

  [[nodiscard]] outcome<void> load_storage(storage& into);

  /// Writes the changes, in one transaction. Must be called before any of them is sent.
  outcome<void> save(
      const engine_state& state,
      const state_changes& changes,
      const storage& stored,
      const storage_changes& stored_changes);

private:
  outcome<void> save_storage(const storage& stored, const storage_changes& changes);

  explicit state_store(sqlite3* db) : db_(db) {}

  sqlite3* db_;
};

}  // namespace nuncio::testing::engine
