// A visitor made of lambdas, for std::visit. Pure.
#pragma once

namespace nuncio {

template <class... F>
struct overloaded : F... {
  using F::operator()...;
};

}  // namespace nuncio
