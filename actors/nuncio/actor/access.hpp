// How nuncio's own code, and its tests, reach what the public types keep to themselves.
#pragma once

#include <memory>
#include <nuncio/engine_actor.hpp>
#include <nuncio/kv.hpp>
#include <nuncio/socket.hpp>
#include <utility>

namespace nuncio::internal {

struct access {
  static const instance_context& context(const engine_actor& x) { return *x.context_; }

  static const std::shared_ptr<const instance_context>& shared_context(const engine_actor& x) {
    return x.context_;
  }

  /// Null if it has none.
  static instance_sockets* sockets_of(const engine_actor& x) { return x.sockets_.get(); }

  static connection connection_of(std::shared_ptr<socket> x) { return connection{std::move(x)}; }

  static const std::shared_ptr<socket>& socket_of(const connection& x) { return x.socket_; }

  /// The user's keys: under the first byte 4 in the engine's store, where other runtimes keep them too
  /// (docs/client_protocol.md f.1).
  static kv_store user_keys(storage_client& through) { return {through, "\x04", write_mode::once}; }

  /// Keys as they are in the engine's store: nuncio's own records, whose writes may safely be repeated.
  static kv_store own_keys(storage_client& through, write_mode mode = write_mode::repeated) {
    return {through, {}, mode};
  }
};

}  // namespace nuncio::internal
