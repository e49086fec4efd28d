// What is served under a name: a factory of instances, and the options for them. Used by ingress only, on its own thread, which
// a slow or throwing user constructor must never block.
#pragma once

#include <concepts>
#include <map>
#include <memory>
#include <nuncio/detail/factory.hpp>
#include <nuncio/serve_options.hpp>
#include <string>
#include <utility>

namespace nuncio::internal {

/// What is served under a name.
struct served {
  served() = default;

  template <std::convertible_to<factory> F>
  served(F from, serve_options how = {})  // NOLINT: a factory alone gets the default options
      : make(std::move(from)), options(std::make_shared<const serve_options>(std::move(how))) {}

  factory make;
  std::shared_ptr<const serve_options> options;
};

using factories = std::map<std::string, served, std::less<>>;

}  // namespace nuncio::internal
