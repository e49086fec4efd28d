// Whether options of a host, and of what it serves, are within their ranges: an invalid_argument that names the first that is
// not, and its range.
#pragma once

#include <cstddef>
#include <nuncio/host_options.hpp>
#include <nuncio/outcome.hpp>
#include <nuncio/serve_options.hpp>
#include <string_view>

namespace nuncio {

/// More ingresses than that help no machine.
inline constexpr std::size_t links_max = 64;

outcome<void> check_numbers(const host_options& o);
/// An envoy key.
outcome<void> check_key(std::string_view key);
outcome<void> check(const serve_options& o);

}  // namespace nuncio
