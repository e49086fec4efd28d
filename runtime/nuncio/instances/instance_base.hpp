// What an instance and its host share of it: made by host_machine, read by the instance's handlers. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nuncio/connection/link_port.hpp>
#include <nuncio/messages.hpp>
#include <nuncio/serve_options.hpp>
#include <nuncio/start_info.hpp>
#include <nuncio/tunnel/waiting_room.hpp>

namespace nuncio {

/// The base of instance_context, which has the handles besides.
struct instance_base {
  explicit instance_base(std::uint64_t term) : gate(term) {}

  start_info start;
  std::shared_ptr<const serve_options>
      serving;       ///< how its name is served; never null in a hosted instance
  output_gate gate;  ///< host_machine closes it
  protocol::preloaded_kv preloaded;
  std::size_t response_bytes_max = 20'971'520;  ///< the engine's maxResponsePayloadSize
  /// Of responses that are written bit by bit: what waits for its clients, and what is kept until it is whole, each; of all of
  /// this instance together, and in its host.
  std::size_t written_bytes_max = 64UL << 20U;
  std::shared_ptr<waiting_pool> written;
  /// Of what is said to clients while the link has no room, of this instance and in all of its host.
  std::size_t outgoing_bytes_max = 64UL << 20U;
  std::shared_ptr<waiting_pool> outgoing;
};

}  // namespace nuncio
