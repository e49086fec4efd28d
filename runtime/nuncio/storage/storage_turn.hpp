// An actor's storage requests within one turn (the handling of one message), joined into as few requests as the limits allow:
// consecutive KV writes share a request, in which the last value of a key counts. The order relative to everything else is
// kept. Pure; owned by one instance.
#pragma once

#include <cstdint>
#include <nuncio/storage/storage_call.hpp>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace nuncio {

class storage_turn {
public:
  /// One request, and the tickets of all calls that it carries.
  struct joined {
    storage_call call;
    std::vector<std::uint64_t> tickets;
    write_mode mode = write_mode::once;
  };

  /// @param call  within kv_limits, if it is for KV; joined only with writes of the same mode
  void add(storage_call call, std::uint64_t ticket, write_mode mode = write_mode::once);

  /// The requests added since the last take, in order.
  [[nodiscard]] std::vector<joined> take();

  [[nodiscard]] bool empty() const { return requests_.empty(); }

private:
  bool join_put(const protocol::kv_put_request& more);
  bool join_delete(const protocol::kv_delete_request& more);

  std::vector<joined> requests_;
  // For the last request, while it is a put: each key's position, and the request's size against the limit.
  std::unordered_map<std::string_view, std::size_t> places_;
  std::size_t put_bytes_ = 0;
};

}  // namespace nuncio
