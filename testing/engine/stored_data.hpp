// Data that actors have stored: keys and values, and the pages of their databases. Plain values with a journal of changes, for
// the store. Engine thread; limited only by what actors put in.
#pragma once

#include <map>
#include <nuncio/ids.hpp>
#include <nuncio/messages.hpp>
#include <nuncio/testing/engine_limits.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace nuncio::testing::engine {

inline constexpr std::size_t page_bytes = 4096;

struct kv_entry {
  bytes value;
  millis update_ts = 0;
};

/// A staged commit: by the first page number of its segments.
struct staged_commit {
  std::uint64_t txid = 0;
  std::map<std::uint32_t, std::map<std::uint32_t, bytes>> segments;
};

struct database {
  std::uint64_t head = 0;  ///< 0: never committed, so it does not exist
  std::uint32_t size_pages = 0;
  std::map<std::uint32_t, bytes> pages;
  std::optional<staged_commit> stage;  ///< not stored: it does not outlive the process
};

struct actor_storage {
  std::map<std::string, kv_entry> kv;
  database db;
};

/// The changes since the last take_changes(). A wipe comes first.
struct storage_changes {
  std::set<actor_id> wiped;
  std::set<std::pair<actor_id, std::string>> kv;
  std::set<std::pair<actor_id, std::uint32_t>> pages;
  std::set<actor_id> heads;

  [[nodiscard]] bool empty() const {
    return wiped.empty() && kv.empty() && pages.empty() && heads.empty();
  }
};

class storage {
public:
  /// Empty for an actor that has stored nothing.
  [[nodiscard]] const actor_storage& of(const actor_id& actor) const;

  void put(const actor_id& actor, std::string key, bytes value, millis now);
  void erase(const actor_id& actor, const std::string& key);
  void wipe(const actor_id& actor);

  /// Writes pages, drops those above the new size, advances the head. @returns the new head
  std::uint64_t commit(
      const actor_id& actor, const std::map<std::uint32_t, bytes>& pages, std::uint32_t size_pages);

  std::optional<staged_commit>& stage_of(const actor_id& actor) { return actors_[actor].db.stage; }

  /// For data from a store: not journalled.
  std::map<actor_id, actor_storage>& restore() { return actors_; }

  storage_changes take_changes() { return std::exchange(changes_, {}); }

private:
  std::map<actor_id, actor_storage> actors_;
  storage_changes changes_;
};

}  // namespace nuncio::testing::engine
