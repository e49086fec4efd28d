// The engine's store of commands as docs/protocol.md D.2 and D.3 describe it, for all tests that need one: what is stored until it
// is acked, and sent again on each connection. Shares no code with the dev engine.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <nuncio/ids.hpp>
#include <nuncio/messages.hpp>
#include <utility>
#include <vector>

namespace nuncio::test {

class command_store {
public:
  using by_index = std::map<std::int64_t, protocol::command>;

  struct generation {
    actor_ref who;
    by_index commands;
  };

  /// Also one that was acked.
  void store(const protocol::actor_checkpoint& at, protocol::command what) {
    ever_[ref_of(at)][at.index] = what;
    auto place = locate(ref_of(at));
    if (place == unacked_.end()) place = unacked_.insert(place, {ref_of(at), {}});
    place->commands.insert_or_assign(at.index, std::move(what));
  }

  /// Clears that command and all before it.
  void acknowledge(const protocol::actor_checkpoint& at) {
    const auto place = locate(ref_of(at));
    if (place == unacked_.end()) return;
    auto& all = place->commands;
    all.erase(all.begin(), all.upper_bound(at.index));
    if (all.empty()) unacked_.erase(place);
  }

  void acknowledge(const protocol::to_rivet_ack_commands& frame) {
    for (const auto& at : frame.last_command_checkpoints) acknowledge(at);
  }

  /// What is not acked, by generations: the first stored comes first.
  [[nodiscard]] const std::vector<generation>& unacked() const { return unacked_; }

  /// The command if it is not acked, else null.
  [[nodiscard]] const protocol::command* find(const protocol::actor_checkpoint& at) {
    const auto place = locate(ref_of(at));
    if (place == unacked_.end()) return nullptr;
    const auto found = place->commands.find(at.index);
    return found == place->commands.end() ? nullptr : &found->second;
  }

  /// All that was ever stored.
  [[nodiscard]] const std::map<actor_ref, by_index>& ever() const { return ever_; }

  [[nodiscard]] bool was_stored(const protocol::actor_checkpoint& at) const {
    const auto place = ever_.find(ref_of(at));
    return place != ever_.end() && place->second.contains(at.index);
  }

  /// What comes first on a connection. The engine promises no order between generations.
  /// @param arrange  puts generations in the order in which they are sent
  template <class F>
  [[nodiscard]] std::vector<protocol::command_wrapper> replay(F arrange) const {
    auto all = unacked_;
    arrange(all);
    std::vector<protocol::command_wrapper> out;
    for (auto& [who, commands] : all)
      for (auto& [index, what] : commands)
        out.push_back({{who.actor, who.generation, index}, std::move(what)});
    return out;
  }

  [[nodiscard]] std::vector<protocol::command_wrapper> replay() const {
    return replay([](const auto&) {});
  }

private:
  static actor_ref ref_of(const protocol::actor_checkpoint& at) {
    return {at.actor_id, at.generation};
  }

  std::vector<generation>::iterator locate(const actor_ref& who) {
    return std::find_if(
        unacked_.begin(), unacked_.end(), [&](const auto& x) { return x.who == who; });
  }

  std::vector<generation> unacked_;
  std::map<actor_ref, by_index> ever_;
};

}  // namespace nuncio::test
