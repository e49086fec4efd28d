// The messages that users' actors exchange with nuncio. A type becomes a CAF message by being listed here: values that do not
// leave the process. In CAF 1.1 each also has a type id from 2,000 up; nuncio takes none above 2,199. They are registered with
// CAF before main() begins.
#pragma once

#include <caf/allowed_unsafe_message_type.hpp>
#include <nuncio/detail/caf.hpp>
#if NUNCIO_CAF_1
#include <caf/type_id.hpp>
#endif

#define NUNCIO_MESSAGES(X) \
  X(actor_info)            \
  X(actor_page)            \
  X(alarm_due)             \
  X(call_actor)            \
  X(create_actor)          \
  X(destroy_actor)         \
  X(engine_failure)        \
  X(failure)               \
  X(find)                  \
  X(find_id)               \
  X(get_actor)             \
  X(get_actor_by_id)       \
  X(get_or_create_actor)   \
  X(http_error)            \
  X(http_request)          \
  X(http_response)         \
  X(list_actors)           \
  X(socket_closed)         \
  X(socket_message)        \
  X(socket_opened)         \
  X(socket_restored)       \
  X(state_not_saved)       \
  X(stop_command)          \
  X(storage_failure)

#define NUNCIO_DECLARE(x) struct x;

namespace nuncio {
NUNCIO_MESSAGES(NUNCIO_DECLARE)
}  // namespace nuncio

#define NUNCIO_ALLOW(x) CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::x)
NUNCIO_MESSAGES(NUNCIO_ALLOW)

#if NUNCIO_CAF_1
#define NUNCIO_NUMBER(x) CAF_ADD_TYPE_ID(nuncio_messages, (nuncio::x))
CAF_BEGIN_TYPE_ID_BLOCK(nuncio_messages, 2000)
NUNCIO_MESSAGES(NUNCIO_NUMBER)
CAF_END_TYPE_ID_BLOCK(nuncio_messages)
#undef NUNCIO_NUMBER

namespace nuncio::internal {

/// Registers CAF's own messages and all of nuncio's with CAF; repeated calls do no harm.
bool register_messages();

inline const bool messages_registered = register_messages();

}  // namespace nuncio::internal
#endif

#undef NUNCIO_ALLOW
#undef NUNCIO_DECLARE
