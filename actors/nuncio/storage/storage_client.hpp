// An instance's side of storage: collects the requests of one turn, passes them to the storage actor in one message, and waits
// where an actor may wait. Owned by an engine_actor, used on its thread only.
#pragma once

#include <caf/message_id.hpp>
#include <memory>
#include <nuncio/storage/kv_preload.hpp>
#include <nuncio/storage/storage_messages.hpp>
#include <nuncio/storage/storage_turn.hpp>
#include <vector>

namespace nuncio {

class engine_actor;
struct instance_context;

namespace internal {

class storage_client {
public:
  storage_client(engine_actor& self, std::shared_ptr<const instance_context> context);

  /// Sends `call` with the other requests of this turn. The answer is a storage_reply under the returned id, at any time after
  /// this turn.
  caf::message_id ask(storage_call call, write_mode mode = write_mode::once);
  /// As ask, for a request that has already failed.
  caf::message_id fail(storage_failure why);
  /// As ask, for a request that complete() answers.
  [[nodiscard]] caf::message_id promise();
  /// The instance handles nothing else before the answer to `request`, which was made in this turn.
  void handle_awaited(caf::message_id request);

  /// The instance has handled an answer of this many bytes.
  void handle_consumed(std::size_t bytes) { consumed_ += bytes; }

  void complete(caf::message_id promised, storage_result content);
  /// Sends now, after this turn's earlier requests, and blocks: in detached actors only. Limited by storage's deadline.
  storage_result wait_for(storage_call call);
  /// As long as the result exists, the database is open here and the engine's SQL is refused. Null if it was open.
  [[nodiscard]] std::shared_ptr<void> use_local_database();
  /// Passes on the turn's requests: when the turn ends.
  void flush();

  /// Whether storage was, or will be, asked for anything.
  [[nodiscard]] bool used() const { return used_ || !turn_.empty(); }

  /// The instance is down: if it was used(), storage sends storage_done to ingress when the last write is answered.
  void end();

  [[nodiscard]] engine_actor& self() const { return self_; }

private:
  caf::message_id reply(storage_result content);
  void hand_over(std::vector<storage_batch::item> items);

  struct asked {
    caf::message_id id;
    bool awaited = false;
  };

  engine_actor& self_;
  std::shared_ptr<const instance_context> context_;
  kv_preload preload_;
  bool preload_read_ = false;
  bool used_ = false;  ///< storage knows this instance
  std::weak_ptr<void> local_database_;
  bool sql_used_ = false;   ///< the engine has a session for this instance
  bool sql_stale_ = false;  ///< a commit that this session does not see
  storage_turn turn_;
  std::vector<asked> asked_;  ///< by ticket, in this turn
  std::size_t consumed_ = 0;  ///< bytes of answers, not reported to storage yet
};

}  // namespace internal
}  // namespace nuncio
