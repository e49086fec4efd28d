// What an instance knows about itself when it starts. Value; any thread may read.
//
//   const auto& me = self->start();
//   if (me.self.generation > 1) …  // it has lived before
#pragma once

#include <chrono>
#include <cstdint>
#include <nuncio/actor_id.hpp>
#include <nuncio/bytes.hpp>
#include <nuncio/ids.hpp>
#include <optional>

namespace nuncio {

struct start_info {
  actor_ref self;              ///< the engine's actor id, and the generation of this instance
  text name;                   ///< under which its factory was served
  std::optional<text> key;     ///< the creator's key, as the engine serializes it
  std::optional<bytes> input;  ///< the creator's input, the same for every generation
  std::chrono::system_clock::time_point created;  ///< when the engine allocated this generation
};

}  // namespace nuncio
