// Checks that the options of a host and of its served actors are in range. The failure is invalid_argument and names the first
// option out of range, and its range.
#pragma once

#include <cstddef>
#include <nuncio/host_options.hpp>
#include <nuncio/outcome.hpp>
#include <nuncio/serve_options.hpp>
#include <string_view>

namespace nuncio {

/// More ingresses help no machine.
inline constexpr std::size_t links_max = 64;

outcome<void> check_numbers(const host_options& o);
/// Checks an envoy key.
outcome<void> check_key(std::string_view key);
outcome<void> check(const serve_options& o);

}  // namespace nuncio
