// Actors that make the storage calls that a request names, and answer with the results.
//
// `store`, on the scheduler's threads: POST /put?KEY with the value, GET /get?KEY, GET
// /list?PREFIX, POST /erase?KEY, POST /drop, POST /zeros?N (a key of N zero bytes), POST /largest?N
// (one put of N bytes), POST /many?N (puts of one turn), POST /put-quit?KEY, POST /sql and /exec
// with SQL, POST /batch with statements one a line, POST /bind?N (a parameter of N bytes), POST /spare (a parameter too
// many), GET /open. `sqlite`, on a thread of its own,
// its database open: POST /sql and /exec with SQL, GET /stats, GET /remote. `two doors`, likewise: POST /open, /close and
// /local for its own database, POST /sql for the engine's. Results are rows one a
// line, columns joined by '|'; errors are status 500 with code, "maybe" and text.
#pragma once

#include <atomic>
#include <nuncio/host.hpp>

namespace nuncio::e2e {

void serve_storage_actors(host& to);

/// Whether the state of "gauge" and "sql gauge" is read by a type that has changed.
inline std::atomic<bool> measured_is_unreadable = false;

}  // namespace nuncio::e2e
