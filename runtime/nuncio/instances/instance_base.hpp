// What an instance and its host share: made by host_machine, read by the instance's handlers. Pure.
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

/// The base of instance_context, which adds the handles.
struct instance_base {
  explicit instance_base(std::uint64_t term) : gate(term) {}

  start_info start;
  std::shared_ptr<const serve_options>
      serving;       ///< the options of its name; never null in a hosted instance
  output_gate gate;  ///< host_machine closes it
  protocol::preloaded_kv preloaded;
  std::size_t response_bytes_max = 20'971'520;  ///< the engine's maxResponsePayloadSize
  /// For streaming responses: the limit for what waits for clients, and for what is kept until it is complete, each; for this
  /// instance as a whole, and within its host.
  std::size_t written_bytes_max = 64UL << 20U;
  std::shared_ptr<waiting_pool> written;
  /// The limit for messages to clients while the link has no room, of this instance and within its host.
  std::size_t outgoing_bytes_max = 64UL << 20U;
  std::shared_ptr<waiting_pool> outgoing;
};

}  // namespace nuncio
