// See ack_aggregator.hpp.
#include <algorithm>
#include <nuncio/commands/ack_aggregator.hpp>

namespace nuncio {
namespace {

// In a frame, besides the id: its length, the generation and the index.
constexpr std::size_t checkpoint_bytes = 4 + sizeof(std::uint32_t) + sizeof(std::int64_t);

std::size_t bytes_of_entry(const actor_ref& who) {
  return ack_aggregator::entry_bytes + who.actor.heap_bytes();
}

}  // namespace

void ack_aggregator::handle_link_up(epoch connection) {
  if (connection < connection_) return;
  // Ingress may have processed commands of this connection before the notice that it is up.
  if (connection != connection_) clear();
  connection_ = connection;
  up_ = true;
  in_flight_ = false;
}

void ack_aggregator::handle_link_down() {
  clear();
  up_ = false;
  in_flight_ = false;
}

void ack_aggregator::handle_processed(
    epoch connection, std::span<const protocol::actor_checkpoint> checkpoints) {
  if (connection < connection_ || (connection == connection_ && !up_)) return;
  if (connection > connection_) {
    handle_link_down();
    connection_ = connection;
  }
  for (const auto& at : checkpoints) {
    const auto [it, added] = pending_.try_emplace({at.actor_id, at.generation}, at.index);
    if (added) pending_bytes_ += bytes_of_entry(it->first);
    it->second = std::max(it->second, at.index);
    if (pending_bytes_ > options_.pending_bytes_max) erase(it);
  }
}

ack_aggregator::pending_map::iterator ack_aggregator::erase(pending_map::iterator at) {
  pending_bytes_ -= bytes_of_entry(at->first);
  return pending_.erase(at);
}

void ack_aggregator::clear() {
  pending_ = {};
  pending_bytes_ = 0;
}

void ack_aggregator::handle_written(epoch connection) {
  if (connection == connection_) in_flight_ = false;
}

std::optional<protocol::to_rivet_ack_commands> ack_aggregator::poll_transmit() {
  if (!up_ || in_flight_ || pending_.empty()) return std::nullopt;
  protocol::to_rivet_ack_commands frame;
  frame.last_command_checkpoints.reserve(std::min(pending_.size(), options_.checkpoints_max));
  auto left = options_.frame_bytes_max;
  for (auto it = pending_.begin();
       it != pending_.end() && frame.last_command_checkpoints.size() < options_.checkpoints_max;) {
    const auto bytes = checkpoint_bytes + it->first.actor.view().size();
    if (bytes > left && !frame.last_command_checkpoints.empty()) break;
    left -= std::min(left, bytes);
    frame.last_command_checkpoints.push_back({it->first.actor, it->first.generation, it->second});
    it = erase(it);
  }
  // After a burst the buckets are freed.
  if (pending_.empty() && pending_.bucket_count() > options_.checkpoints_max) pending_ = {};
  in_flight_ = true;
  return frame;
}

}  // namespace nuncio
