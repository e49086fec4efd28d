// What becomes of the numbers that actors store (stored_number.hpp), and of their pages: a record of every write, of what its
// sender was told and of what the engine did, over all generations, cuts and restarts. Knows nothing of the host's machines;
// both layers of the simulation use it. Throws `violated`.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <nuncio/ids.hpp>
#include <nuncio/storage/storage_call.hpp>
#include <optional>
#include <set>
#include <vector>

#include "simulation/storage_coverage.hpp"
#include "simulation/storage_model.hpp"
#include "simulation/stored_number.hpp"
#include "simulation/violated.hpp"

namespace nuncio::simulation {

class storage_watch {
public:
  // -- the instances

  /// @returns the number of the write
  std::uint64_t handle_write(
      const actor_ref& who, stored_place at, bool erases, write_mode mode, moment when);
  void handle_told(std::uint64_t number, const storage_failure* why);
  /// @param asked_after  the newest write when it was asked
  void handle_read(
      const actor_ref& who, stored_place at, std::uint64_t found, std::uint64_t asked_after);
  /// No other instance of this actor is asked anything, or answered, from here on.
  void handle_factory(const actor_ref& who) const;
  void handle_stopped(const actor_ref& who, bool ok) const;

  /// Its last required write may not be stored: it can't have ended well.
  void handle_unsaved(const actor_ref& who) { unsaved_.insert(who); }

  /// Whether writes of these generations of an actor are open; a host that knows says so.
  std::function<bool(const actor_id& actor, std::uint32_t from, std::uint32_t to)> open;

  // -- the engine

  void handle_done(const actor_id& actor, const protocol::to_rivet& what);

  // -- the end

  /// What is stored is what was answered, or a later write in doubt.
  void check_quiet() const;

  [[nodiscard]] std::uint64_t newest() const { return writes_.size(); }

  // -- pages: what an actor's database may hold

  struct pages_of_actor {
    database committed;             ///< as an instance was told
    std::optional<database> maybe;  ///< a commit whose outcome nobody was told
    actor_ref by{};                 ///< who began to commit last
  };

  pages_of_actor& pages(const actor_id& of) { return pages_[of]; }

  /// No two versions of a page are equal.
  std::uint32_t next_version() { return ++version_; }

  storage_coverage seen;
  storage_model* store = nullptr;  ///< the engine's, to compare with

private:
  enum class fate : std::uint8_t { unknown, stored, not_stored, in_doubt };

  struct write {
    actor_ref who;
    stored_place at{};
    bool erases = false;
    write_mode mode{};
    moment when{};
    fate now = fate::unknown;
    unsigned done = 0;
  };

  using places =
      std::array<std::vector<std::uint64_t>, static_cast<std::size_t>(stored_place::places)>;

  /// Whether `found` may be there when all up to `until` were asked before.
  void must_hold(
      const actor_id& actor, stored_place at, std::uint64_t found, std::uint64_t until) const;

  std::vector<write> writes_;            ///< by number less one
  std::map<actor_id, places> by_place_;  ///< numbers
  std::map<actor_id, std::uint32_t> newest_done_;
  std::set<actor_ref> unsaved_;
  std::map<actor_id, pages_of_actor> pages_;
  std::uint32_t version_ = 0;
};

}  // namespace nuncio::simulation
