// See storage_watch.hpp.
#include "simulation/storage_watch.hpp"

#include <fmt/format.h>

namespace nuncio::simulation {
namespace {

constexpr const char* check = "storage";
constexpr const char* single_writer = "I14 single writer";

std::string text_of(const actor_ref& x) {
  return fmt::format("{}:{}", x.actor.str(), x.generation);
}

}  // namespace

std::uint64_t storage_watch::handle_write(
    const actor_ref& who, stored_place at, bool erases, write_mode mode, moment when) {
  writes_.push_back({who, at, erases, mode, when});
  by_place_[who.actor][static_cast<std::size_t>(at)].push_back(writes_.size());
  return writes_.size();
}

void storage_watch::handle_told(std::uint64_t number, const storage_failure* why) {
  auto& x = writes_.at(number - 1);
  const auto fail = [&](const char* what) {
    throw violated(check, fmt::format("{}, write {}: {}", text_of(x.who), number, what));
  };
  if (x.now != fate::unknown) fail("its sender was told twice what became of it");
  x.now = why == nullptr           ? fate::stored
          : why->may_have_happened ? fate::in_doubt
                                   : fate::not_stored;
  seen.moments.count(
      x.when,
      why == nullptr           ? told::done
      : why->may_have_happened ? told::in_doubt
                               : told::not_done);
  if (x.now == fate::stored && x.done == 0) fail("answered, and the engine has not done it");
  if (x.now == fate::not_stored && x.done != 0)
    fail("said to be undone, and the engine has done it");
}

void storage_watch::handle_done(const actor_id& actor, const protocol::to_rivet& what) {
  const auto number = number_written(what);
  if (!number) return;
  if (number->number == 0 || number->number > writes_.size())
    throw violated(check, fmt::format("the engine was sent a write {} of nobody", number->number));
  auto& x = writes_[number->number - 1];
  const auto fail = [&](const char* invariant, const char* why) {
    throw violated(invariant, fmt::format("{}, write {}: {}", text_of(x.who), number->number, why));
  };
  if (x.who.actor != actor || x.at != number->at) fail(check, "done for another actor");
  if (x.now == fate::not_stored) fail(check, "done though its sender was told that it was not");
  if (x.now == fate::stored) fail(check, "done again after it was answered");
  if (++x.done > 1 && x.mode == write_mode::once) fail(check, "done twice");
  auto& newest = newest_done_[actor];
  if (x.who.generation < newest) fail(single_writer, "done after a write of a later generation");
  newest = x.who.generation;
}

void storage_watch::must_hold(
    const actor_id& actor, stored_place at, std::uint64_t found, std::uint64_t until) const {
  const auto all = by_place_.find(actor);
  const auto fail = [&](const char* what, std::uint64_t number) {
    throw violated(
        check,
        fmt::format(
            "{}, place {}: {} is stored, {} {}",
            actor.str(),
            static_cast<unsigned>(at),
            found,
            what,
            number));
  };
  if (found != 0 && (found > writes_.size() || writes_[found - 1].who.actor != actor))
    fail("which is another actor's:", found);
  if (all == by_place_.end()) return;
  // What was answered, last, of the writes that were asked before; nothing older may be there.
  const auto& numbers = all->second[static_cast<std::size_t>(at)];
  bool erased = false;
  for (auto n = numbers.rbegin(); n != numbers.rend(); ++n) {
    const auto& x = writes_[*n - 1];
    if (*n == found) {
      if (x.now == fate::not_stored) fail("and was said not to be: write", *n);
      if (x.erases) fail("though this erases: write", *n);
      return;
    }
    erased = erased || (x.erases && x.now != fate::not_stored);
    if (x.now == fate::stored && *n <= until) {
      if (found == 0 && erased) return;
      fail("and not what was answered: write", *n);
    }
  }
  if (found != 0) fail("which nobody has written there:", found);
}

void storage_watch::handle_read(
    const actor_ref& who, stored_place at, std::uint64_t found, std::uint64_t asked_after) {
  must_hold(who.actor, at, found, asked_after);
}

void storage_watch::handle_factory(const actor_ref& who) const {
  if (!open || who.generation == 1) return;
  if (open(who.actor, 0, who.generation - 1))
    throw violated(single_writer, text_of(who) + " begins beside writes of an earlier generation");
}

void storage_watch::handle_stopped(const actor_ref& who, bool ok) const {
  if (ok && unsaved_.contains(who))
    throw violated(check, text_of(who) + " has ended well, and its state is not saved");
  if (open && open(who.actor, who.generation, who.generation))
    throw violated(single_writer, text_of(who) + " is said to be over before its writes are");
}

void storage_watch::check_quiet() const {
  for (const auto& [actor, places] : by_place_)
    for (std::size_t n = 0; n < places.size(); ++n) {
      const auto at = static_cast<stored_place>(n);
      std::uint64_t found = 0;
      if (at == stored_place::row)
        found = store->row(actor);
      else if (const auto* value = store->value(actor, key_of(at)))
        found = number_in(*value);
      must_hold(actor, at, found, writes_.size());
    }
  for (const auto& [actor, x] : pages_) {
    const auto& now = store->pages(actor).now;
    if (now != x.committed && (!x.maybe || now != *x.maybe))
      throw violated("pages", actor.str() + " has other pages than were committed");
  }
}

}  // namespace nuncio::simulation
