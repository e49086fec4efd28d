// The smallest user program: the main header compiles and its libraries link.
#include <nuncio/actor_id.hpp>
#include <nuncio/host.hpp>

#if __has_include( \
    <nuncio/messages.hpp>) || __has_include(<nuncio/connection/link.hpp>) || __has_include(<nuncio/host/ingress.hpp>)
#error a private header of nuncio can be included
#endif

int main() {
  caf::actor_system_config config;
  nuncio::recommended(config);
  const caf::actor_system system{config};
  return nuncio::actor_id{"an id"}.str() == "an id" ? 0 : 1;
}
