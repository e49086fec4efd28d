// See stored_data.hpp.
#include "stored_data.hpp"

namespace nuncio::testing::engine {

const actor_storage& storage::of(const actor_id& actor) const {
  static const actor_storage nothing;
  const auto at = actors_.find(actor);
  return at == actors_.end() ? nothing : at->second;
}

void storage::put(const actor_id& actor, std::string key, bytes value, millis now) {
  changes_.kv.insert({actor, key});
  // A copy: a slice would keep its whole frame alive.
  actors_[actor].kv[std::move(key)] = {bytes::copy_of(value.span()), now};
}

void storage::erase(const actor_id& actor, const std::string& key) {
  if (actors_[actor].kv.erase(key) > 0) changes_.kv.insert({actor, key});
}

void storage::wipe(const actor_id& actor) {
  if (actors_.erase(actor) == 0) return;
  std::erase_if(changes_.kv, [&](const auto& x) { return x.first == actor; });
  std::erase_if(changes_.pages, [&](const auto& x) { return x.first == actor; });
  changes_.heads.erase(actor);
  changes_.wiped.insert(actor);
}

std::uint64_t storage::commit(
    const actor_id& actor, const std::map<std::uint32_t, bytes>& pages, std::uint32_t size_pages) {
  auto& db = actors_[actor].db;
  for (const auto& [pgno, page] : pages) {
    if (pgno > size_pages) continue;
    db.pages[pgno] = bytes::copy_of(page.span());
    changes_.pages.insert({actor, pgno});
  }
  for (auto at = db.pages.upper_bound(size_pages); at != db.pages.end();) {
    changes_.pages.insert({actor, at->first});
    at = db.pages.erase(at);
  }
  db.size_pages = size_pages;
  changes_.heads.insert(actor);
  return ++db.head;
}

}  // namespace nuncio::testing::engine
