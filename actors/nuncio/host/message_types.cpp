// Registers nuncio's messages with CAF 1.1; see detail/message_types.hpp.
#include <nuncio/detail/message_types.hpp>

#if NUNCIO_CAF_1

#include <caf/detail/make_meta_object.hpp>
#include <caf/detail/meta_object.hpp>
#include <caf/init_global_meta_objects.hpp>
#include <nuncio/client/directory_actor.hpp>
#include <nuncio/client/error_category.hpp>
#include <nuncio/engine_client.hpp>
#include <nuncio/host/internal_messages.hpp>
#include <nuncio/host/private_message_types.hpp>
#include <nuncio/persistent_actor.hpp>
#include <nuncio/storage/storage_messages.hpp>

namespace nuncio::internal {
namespace {

// What CAF must know about a message type. For types without inspect, CAF 1.1 prints only the name; 0.17 needs a text.
template <class T>
caf::detail::meta_object described() {
  auto known = caf::detail::make_meta_object<T>(caf::type_name_v<T>);
  if constexpr (requires(const T& x) { to_string(x); })
    known.stringify = [](std::string& to, const void* x) {
      to += to_string(*static_cast<const T*>(x));
    };
  return known;
}

}  // namespace

bool register_messages() {
  caf::core::init_global_meta_objects();
#define NUNCIO_DESCRIBE(x) described<x>(),
  const caf::detail::meta_object messages[] = {NUNCIO_MESSAGES(NUNCIO_DESCRIBE)};
#undef NUNCIO_DESCRIBE
  caf::detail::set_global_meta_objects(
      caf::id_block::nuncio_messages::begin, caf::make_span(messages));
  caf::init_global_meta_objects<caf::id_block::nuncio_private_messages>();
  return true;
}

}  // namespace nuncio::internal

#endif
