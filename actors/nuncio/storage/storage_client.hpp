// An instance's end of storage: gathers what one turn asks for, hands it to the storage actor in
// one message, and waits where an actor may wait. Owned by an engine_actor, used on its thread
// only.
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

  /// Asks with the rest of this turn. The answer is a storage_reply under the id returned, at any
  /// time after this turn.
  caf::message_id ask(storage_call call, write_mode mode = write_mode::once);
  /// As ask, with a failure that is known already.
  caf::message_id fail(storage_failure why);
  /// As ask, of what is answered by complete().
  [[nodiscard]] caf::message_id promise();
  /// The instance deals with nothing else before the answer to `request`, which this turn has asked for.
  void handle_awaited(caf::message_id request);

  /// The instance has dealt with an answer of so many bytes.
  void handle_consumed(std::size_t bytes) { consumed_ += bytes; }

  void complete(caf::message_id promised, storage_result content);
  /// Sends now, behind what this turn has asked for, and waits: in detached actors only. Limited by
  /// storage's deadline.
  storage_result wait_for(storage_call call);
  /// While what it returns lives, the database is open here and SQL of the engine's is refused.
  /// Null if it was open.
  [[nodiscard]] std::shared_ptr<void> use_local_database();
  /// Hands over what the turn has gathered: when the turn ends.
  void flush();

  /// Whether storage has been, or will be, asked for anything.
  [[nodiscard]] bool used() const { return used_ || !turn_.empty(); }

  /// The instance is down: if it was used(), storage tells ingress by storage_done when its last
  /// write is answered.
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
  bool used_ = false;  ///< storage has heard of this instance
  std::weak_ptr<void> local_database_;
  bool sql_used_ = false;   ///< the engine has a session for this instance
  bool sql_stale_ = false;  ///< a commit that this session does not see
  storage_turn turn_;
  std::vector<asked> asked_;  ///< by ticket, of this turn
  std::size_t consumed_ = 0;  ///< bytes of answers, not told to storage yet
};

}  // namespace internal
}  // namespace nuncio
