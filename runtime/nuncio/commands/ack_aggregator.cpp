// See ack_aggregator.hpp.
#include <algorithm>
#include <nuncio/commands/ack_aggregator.hpp>

namespace nuncio {

void ack_aggregator::handle_link_up(epoch connection) {
  if (connection < connection_) return;
  // Ingress may have processed commands of this connection before the notice that it is up.
  if (connection != connection_) pending_.clear();
  connection_ = connection;
  up_ = true;
  in_flight_ = false;
}

void ack_aggregator::handle_link_down() {
  pending_ = {};
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
    if (!added) it->second = std::max(it->second, at.index);
    if (pending_.size() * entry_bytes > options_.pending_bytes_max) pending_.erase(it);
  }
}

void ack_aggregator::handle_written(epoch connection) {
  if (connection == connection_) in_flight_ = false;
}

std::optional<protocol::to_rivet_ack_commands> ack_aggregator::poll_transmit() {
  if (!up_ || in_flight_ || pending_.empty()) return std::nullopt;
  protocol::to_rivet_ack_commands frame;
  frame.last_command_checkpoints.reserve(std::min(pending_.size(), options_.checkpoints_max));
  auto it = pending_.begin();
  while (it != pending_.end() && frame.last_command_checkpoints.size() < options_.checkpoints_max) {
    frame.last_command_checkpoints.push_back({it->first.actor, it->first.generation, it->second});
    it = pending_.erase(it);
  }
  // After a burst the buckets are freed.
  if (pending_.empty() && pending_.bucket_count() > options_.checkpoints_max) pending_ = {};
  in_flight_ = true;
  return frame;
}

}  // namespace nuncio
