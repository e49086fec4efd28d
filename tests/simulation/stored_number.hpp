// What the actors of a run store: numbers, no two of which are equal, at a few places that each actor has. So whoever sees a
// write, or reads what is stored, knows which write it was. How they are put into requests and found in these.
#pragma once

#include <cstdint>
#include <nuncio/messages.hpp>
#include <nuncio/storage/storage_call.hpp>
#include <optional>

namespace nuncio::simulation {

/// Three keys, and what statements of SQL change.
enum class stored_place : std::uint8_t { key_0, key_1, key_2, row, places };

/// A write: of its number, or of nothing.
struct stored_number {
  stored_place at{};
  std::uint64_t number = 0;  ///< of the write
  bool erases = false;
};

/// @param form  which of several requests that do the same
storage_call make_write(const stored_number& what, std::uint64_t form);
/// @param form  the same; an SQL write that fails may have happened only as a script (docs/protocol.md H.2)
storage_call make_read(stored_place at, std::uint64_t form);

/// The write that a request of the engine's protocol asks for, if it is one of these.
std::optional<stored_number> number_written(const protocol::to_rivet& request);
/// What a read has found: 0, if nothing is there; none, if it is no answer to such a read.
std::optional<std::uint64_t> number_read(const storage_answer& answer);

/// The key of a place, and a value.
std::string key_of(stored_place at);
std::string value_of(std::uint64_t number);
std::uint64_t number_in(std::string_view text);

}  // namespace nuncio::simulation
