// SQL values as they go over the wire. Pure; any thread.
#pragma once

#include <cstddef>
#include <nuncio/messages_sqlite.hpp>
#include <nuncio/sql_value.hpp>

namespace nuncio {

namespace internal {

protocol::sqlite_bind_param to_wire(const sql_value& x);
/// @param among  as of slice::apart: all that came with it
sql_value from_wire(const protocol::sqlite_column_value& x, std::size_t among);
/// What it takes of a message.
std::size_t size_of(const protocol::sqlite_column_value& x);

}  // namespace internal
}  // namespace nuncio
