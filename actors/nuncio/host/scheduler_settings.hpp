// CAF's scheduler settings, whose names differ between CAF 0.17 and CAF 1.1.
#pragma once

#include <caf/actor_system_config.hpp>
#include <cstddef>
#include <nuncio/detail/caf.hpp>
#include <string>
#if !NUNCIO_CAF_1
#include <caf/atom.hpp>
#endif

namespace nuncio::internal {

inline void set_scheduler(
    caf::actor_system_config& to, const std::string& name, std::size_t value) {
#if NUNCIO_CAF_1
  to.set("caf.scheduler." + name, value);
#else
  to.set("scheduler." + name, value);
#endif
}

inline void set_scheduler_policy(caf::actor_system_config& to, const std::string& name) {
#if NUNCIO_CAF_1
  to.set("caf.scheduler.policy", name);
#else
  to.set("scheduler.policy", caf::atom_from_string(name));
#endif
}

}  // namespace nuncio::internal
