// SQL values on the wire. Pure; any thread.
#pragma once

#include <cstddef>
#include <nuncio/messages_sqlite.hpp>
#include <nuncio/sql_value.hpp>

namespace nuncio {

namespace internal {

protocol::sqlite_bind_param to_wire(const sql_value& x);
/// @param among  as for slice::apart: the bytes of the whole answer
sql_value from_wire(const protocol::sqlite_column_value& x, std::size_t among);
/// The bytes that it takes in a message.
std::size_t size_of(const protocol::sqlite_column_value& x);

}  // namespace internal
}  // namespace nuncio
