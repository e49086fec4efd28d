// What a simulated run throws when something that must always hold does not.
#pragma once

#include <stdexcept>
#include <string>

namespace nuncio::simulation {

struct violated : std::runtime_error {
  violated(const char* check, const std::string& what)
      : std::runtime_error(std::string{check} + ": " + what) {}
};

/// @throws violated unless `holds`
inline void must(bool holds, const char* check, const char* what) {
  if (!holds) throw violated(check, what);
}

}  // namespace nuncio::simulation
