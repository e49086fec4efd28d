// Tells CAF 1.1 of nuncio's messages; see detail/message_types.hpp.
#include <nuncio/detail/message_types.hpp>

#if NUNCIO_CAF_1

#include <caf/init_global_meta_objects.hpp>
#include <nuncio/directory_actor.hpp>
#include <nuncio/engine_client.hpp>
#include <nuncio/error_category.hpp>
#include <nuncio/internal_messages.hpp>
#include <nuncio/persistent_actor.hpp>
#include <nuncio/private_message_types.hpp>
#include <nuncio/storage_messages.hpp>

namespace nuncio::internal {

bool register_messages() {
  caf::core::init_global_meta_objects();
  caf::init_global_meta_objects<caf::id_block::nuncio_messages>();
  caf::init_global_meta_objects<caf::id_block::nuncio_private_messages>();
  return true;
}

}  // namespace nuncio::internal

#endif
