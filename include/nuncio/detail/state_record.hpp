// The stored form of an actor's state: its serialized bytes in one or more parts, each small enough for one stored value. The
// first part begins with what is needed to read the rest. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nuncio/bytes.hpp>
#include <nuncio/outcome.hpp>
#include <vector>

namespace nuncio {

struct state_record {
  /// How the content was serialized.
  enum class form : std::uint8_t { json = 'j', caf = 'c' };

  form as = form::json;
  bytes content;

  friend bool operator==(const state_record&, const state_record&) = default;
};

/// Parts of at most `part_bytes_max` bytes, at least one.
/// @returns errc::too_large above `parts_max` parts, which is at most 255
outcome<std::vector<bytes>> split(
    const state_record& x, std::size_t part_bytes_max, std::size_t parts_max);

/// The number of parts in the record that begins with `first`.
/// @returns errc::malformed if it is not a record, or has an unknown version
outcome<std::size_t> parts_of(const bytes& first);

/// Joins the parts. Extra parts are left over from an earlier, larger record and are ignored.
/// @returns errc::malformed if they are not a record, or some are missing
outcome<state_record> join(const std::vector<bytes>& parts);

}  // namespace nuncio
