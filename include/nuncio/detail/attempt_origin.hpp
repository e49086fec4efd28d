// Where a request comes from: what nuncio must know to answer it. A part of http_request that handlers only pass on.
#pragma once

#include <cstdint>
#include <memory>
#include <nuncio/ids.hpp>

namespace nuncio {

class answer_claim;
class upload_on_way;

/// The position of an exchange once its request is complete: everything that is needed to answer it.
struct exchange_position {
  exchange_id exchange;
  std::uint16_t next_index = 0;  ///< of the next message to the engine
  bool streams = false;          ///< the gateway takes chunks and counts credits
  bool uploading = false;        ///< the body comes in parts; all received ones were handed out
  std::uint16_t inbound = 0;     ///< index of the engine's next message
  std::uint64_t received = 0;    ///< bytes of an upload received so far
  bool to_head = false;          ///< the request is a HEAD: its response has no body
};

namespace internal {

struct attempt_origin {
  exchange_position position{};
  std::shared_ptr<answer_claim> claim{};    ///< whoever takes it answers
  std::shared_ptr<upload_on_way> on_way{};  ///< of a body that comes in parts
};

}  // namespace internal
}  // namespace nuncio
