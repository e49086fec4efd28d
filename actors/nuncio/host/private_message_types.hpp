// The list of the messages that the runtime's actors send each other; see nuncio/detail/message_types.hpp.
#pragma once

#include <nuncio/detail/message_types.hpp>

#define NUNCIO_PRIVATE_MESSAGES(X) \
  X(alarm_called)                  \
  X(alarm_tick)                    \
  X(attempt_cancelled)             \
  X(attempt_done)                  \
  X(call_ended)                    \
  X(destroy_called)                \
  X(drain)                         \
  X(drain_outbox)                  \
  X(drained)                       \
  X(exchange_input)                \
  X(flush)                         \
  X(idle_probe)                    \
  X(instance_active)               \
  X(instance_down)                 \
  X(instance_spawned)              \
  X(instance_started)              \
  X(launch)                        \
  X(lease_ended)                   \
  X(link_down)                     \
  X(link_fence)                    \
  X(link_final)                    \
  X(link_up)                       \
  X(link_written)                  \
  X(outbox_batch)                  \
  X(outputs_closed)                \
  X(processed)                     \
  X(response_begun)                \
  X(response_credited)             \
  X(response_waits)                \
  X(room_freed)                    \
  X(serve_directory)               \
  X(sleep_called)                  \
  X(socket_accepted)               \
  X(socket_failed)                 \
  X(socket_order)                  \
  X(socket_over)                   \
  X(socket_repeated)               \
  X(socket_tick)                   \
  X(sockets_listed)                \
  X(sockets_restored)              \
  X(state_tick)                    \
  X(storage_batch)                 \
  X(storage_done)                  \
  X(storage_end)                   \
  X(storage_inbound)               \
  X(storage_reply)                 \
  X(stream_over)                   \
  X(stream_quiet)                  \
  X(stream_turn)                   \
  X(tell_restored)                 \
  X(tick)                          \
  X(upload_over)                   \
  X(upload_untouched)

namespace nuncio {
struct inbound_batch;
#define NUNCIO_DECLARE(x) struct x;

namespace internal {
NUNCIO_PRIVATE_MESSAGES(NUNCIO_DECLARE)
}  // namespace internal
}  // namespace nuncio

#define NUNCIO_ALLOW(x) CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::x)
NUNCIO_PRIVATE_MESSAGES(NUNCIO_ALLOW)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::inbound_batch)

#if NUNCIO_CAF_1
namespace nuncio::internal {
enum class error_number : std::uint8_t;
}

#define NUNCIO_NUMBER(x) CAF_ADD_TYPE_ID(nuncio_private_messages, (nuncio::internal::x))
CAF_BEGIN_TYPE_ID_BLOCK(nuncio_private_messages, caf::id_block::nuncio_messages::end)
NUNCIO_PRIVATE_MESSAGES(NUNCIO_NUMBER)
CAF_ADD_TYPE_ID(nuncio_private_messages, (nuncio::inbound_batch))
CAF_ADD_TYPE_ID(nuncio_private_messages, (nuncio::internal::error_number))
CAF_END_TYPE_ID_BLOCK(nuncio_private_messages)
static_assert(caf::id_block::nuncio_private_messages::end <= 2200);  // as the documentation says
#undef NUNCIO_NUMBER
#endif

#undef NUNCIO_ALLOW
#undef NUNCIO_DECLARE
