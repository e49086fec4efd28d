// A visitor made of lambdas, for std::visit. Pure.
#pragma once

namespace nuncio {

template <class... F>
struct overloaded : F... {
  using F::operator()...;
};

// For clang 14, which does not deduce aggregates.
template <class... F>
overloaded(F...) -> overloaded<F...>;

}  // namespace nuncio
