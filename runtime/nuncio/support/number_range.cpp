// See number_range.hpp.
#include <fmt/format.h>

#include <nuncio/support/number_range.hpp>

namespace nuncio {

outcome<void> check_ranges(std::initializer_list<number_range> all, std::string_view of) {
  for (const auto& x : all)
    if (!(x.value >= x.low && x.value <= x.high))
      return failure{
          errc::invalid_argument,
          fmt::format("{}{} {}: must be {} to {}{}", of, x.name, x.value, x.low, x.high, x.unit)};
  return {};
}

}  // namespace nuncio
