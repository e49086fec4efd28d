// What an actor asks of storage within one turn (the handling of one message), joined into as few
// requests as the limits allow: writes to KV that follow each other share a request, in which the
// last value of a key counts. Order with everything else is kept. Pure; owned by one instance.
#pragma once

#include <cstdint>
#include <nuncio/storage/storage_call.hpp>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace nuncio {

class storage_turn {
public:
  /// One request, and who waits for it: the tickets of all calls that it carries.
  struct joined {
    storage_call call;
    std::vector<std::uint64_t> tickets;
    write_mode mode = write_mode::once;
  };

  /// @param call  within kv_limits, if it is one of KV; joined only with writes of its own mode
  void add(storage_call call, std::uint64_t ticket, write_mode mode = write_mode::once);

  /// What was added since the last take, in order.
  [[nodiscard]] std::vector<joined> take();

  [[nodiscard]] bool empty() const { return requests_.empty(); }

private:
  bool join_put(const protocol::kv_put_request& more);
  bool join_delete(const protocol::kv_delete_request& more);

  std::vector<joined> requests_;
  // Of the last request, while it is a put: where each key stands, and its size against the limit.
  std::unordered_map<std::string_view, std::size_t> places_;
  std::size_t put_bytes_ = 0;
};

}  // namespace nuncio
