// SQL that the engine executes in the actor's own SQLite database: nothing to open, nothing that blocks, one round trip for
// each call. For many small reads in a row see sqlite.hpp; docs/storage.md says when to use which.
//
//   self->sql()
//       .execute("insert into log values (?, ?)", 7, "text")
//       .then([](const nuncio::sql_result& r) { … });
//
// On the actor's own thread only. Needs protocol version 4 or newer (batch: 6), else errc::not_in_version. Errors carry
// SQLite's text. A statement that begins with SELECT, VALUES or EXPLAIN is sent again if the connection is lost; for any other,
// the error says whether it may have happened. Bind parameters: 128 KiB in one call (docs/protocol.md H.2).
#pragma once

#include <nuncio/sql_value.hpp>
#include <nuncio/storage_response.hpp>
#include <string>
#include <vector>

namespace nuncio {

struct storage_call;

/// A view of the actor's database; cheap, meant to be used at once.
class sql_client {
public:
  static constexpr std::size_t param_bytes_max = std::size_t{128} * 1024;

  explicit sql_client(internal::storage_client& through, write_mode mode = write_mode::once)
      : through_(&through), mode_(mode) {}

  /// Runs a script of any number of statements, without a transaction of its own.
  /// @returns the rows of the last statement
  storage_response<sql_result> exec(std::string script);

  /// Runs one statement with a value for each '?'.
  template <class... Params>
  storage_response<sql_result> execute(std::string sql, Params&&... params) {
    return run({std::move(sql), {sql_value{std::forward<Params>(params)}...}});
  }

  storage_response<sql_result> run(sql_statement statement);

  /// Runs all statements in one transaction, or none.
  storage_response<std::vector<sql_result>> batch(std::vector<sql_statement> statements);

private:
  template <class T>
  storage_response<T> ask(
      storage_call call, std::size_t param_bytes, typename storage_response<T>::reader read);

  internal::storage_client* through_;
  write_mode mode_;
};

}  // namespace nuncio
