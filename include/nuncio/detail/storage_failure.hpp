// What can become of a storage request that was not answered as it should be. Values; any thread.
#pragma once

#include <cstdint>
#include <nuncio/outcome.hpp>
#include <string>

namespace nuncio {

/// Why a storage request came to nothing, or may have.
struct storage_failure {
  errc code = errc::internal;      ///< refused: the engine's own answer was an error
  std::string message;             ///< for a person; says whether a write may have happened
  bool may_have_happened = false;  ///< false: nothing was written, and nothing of it will be
  std::string engine_code{};       ///< "group/code" of the engine's error, if it gave one

  bool operator==(const storage_failure&) const = default;
};

/// "code: message".
std::string to_string(const storage_failure& x);

/// What becomes of a write that a cut has left without an answer.
enum class write_mode : std::uint8_t {
  once,      ///< it fails: whether to repeat it is for its caller to judge
  repeated,  ///< it goes again, in its place: it does no harm twice
  required,  ///< repeated; and an instance that ends while the last of these is not there has failed
};

}  // namespace nuncio
