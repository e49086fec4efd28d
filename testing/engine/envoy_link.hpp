// One envoy's connection with its faults: frames wait here while they are delayed, stalled or overtaken. Engine thread.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "engine_state.hpp"
#include "fault_plan.hpp"
#include "web.hpp"

namespace nuncio::testing::engine {

struct connect_request;

struct envoy_link {
  struct pending {
    millis due = 0;
    bytes frame;
    cut_kind cut = cut_kind::none;  ///< after this frame
  };

  connection_id id = 0;
  std::string envoy;
  std::uint16_t version = 0;
  std::shared_ptr<web_socket> socket;
  std::deque<pending> queue;
  std::optional<pending> overtaken;  ///< goes after the next frame
  bool deaf = false;                 ///< a cut was decided: nothing that arrives counts any more

  void push(pending p) {
    if (overtaken) {
      queue.push_back(std::move(p));
      queue.push_back(*std::exchange(overtaken, std::nullopt));
    } else {
      queue.push_back(std::move(p));
    }
  }

  /// Writes frames that are due. @returns the cut to make, if one was reached
  cut_kind flush(millis now) {
    while (!queue.empty() && queue.front().due <= now) {
      auto next = std::move(queue.front());
      queue.pop_front();
      socket->send(std::move(next.frame), true);
      if (next.cut != cut_kind::none) return next.cut;
    }
    return cut_kind::none;
  }
};

/// Parses the URL of /envoys/connect. @returns "" or the reason of the refusal (docs/protocol.md C.1)
std::string parse_connect(std::string_view target, connect_request& into);

}  // namespace nuncio::testing::engine
