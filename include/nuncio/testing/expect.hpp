// The value of an outcome, or an exception that says why there is none: every test framework reports it as a failure.
//
//   using nuncio::testing::expect;
//   nuncio::host host{system, {.endpoint = expect(engine.start())}};
//   expect(host.start());
//
// Any thread.
#pragma once

#include <nuncio/outcome.hpp>
#include <stdexcept>
#include <utility>

namespace nuncio::testing {

/// @returns the value of `x`
/// @throws std::runtime_error with "code: message" of the failure
template <class T>
T expect(outcome<T> x) {
  if (!x) throw std::runtime_error{to_string(x.error())};
  return *std::move(x);
}

/// @throws std::runtime_error with "code: message" of the failure
inline void expect(const outcome<void>& x) {
  if (!x) throw std::runtime_error{to_string(x.error())};
}

}  // namespace nuncio::testing
