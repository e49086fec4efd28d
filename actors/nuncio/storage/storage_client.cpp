// See storage_client.hpp.
#include <caf/actor_cast.hpp>
#include <condition_variable>
#include <mutex>
#include <nuncio/actor/instance_context.hpp>
#include <nuncio/engine_actor.hpp>
#include <nuncio/storage/kv_limits.hpp>
#include <nuncio/storage/storage_client.hpp>
#include <nuncio/storage/storage_requests.hpp>

namespace nuncio::internal {
namespace {

// Well above storage_limits::timeout.
constexpr std::chrono::minutes wait_limit{5};

// A handler's `then` or `await`. Weak: a pending answer does not keep the actor alive.
class handler_waiter final : public storage_waiter {
public:
  handler_waiter(caf::actor_addr who, caf::message_id request)
      : who_(std::move(who)), request_(request) {}

  ~handler_waiter() override {
    if (!done_)
      tell(
          storage_failure{errc::cancelled, "the host is ending; a write may have happened", true},
          0);
  }

  void complete(storage_result with, std::size_t bytes) override { tell(std::move(with), bytes); }

private:
  void tell(storage_result content, std::size_t bytes) {
    done_ = true;
    const auto to = caf::actor_cast<caf::strong_actor_ptr>(who_);
    if (to)
      enqueue(
          *to->get(),
          nullptr,
          request_.response_id(),
          caf::make_message(storage_reply{std::move(content), bytes}));
  }

  caf::actor_addr who_;
  caf::message_id request_;
  bool done_ = false;
};

// A thread that waits. It stays there until it is notified, so both members may be shared.
struct blocked {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<storage_result> content;
  std::size_t bytes = 0;
};

class thread_waiter final : public storage_waiter {
public:
  explicit thread_waiter(std::shared_ptr<blocked> who) : who_(std::move(who)) {}

  ~thread_waiter() override {
    tell(
        storage_failure{errc::cancelled, "the host is ending; a write may have happened", true}, 0);
  }

  void complete(storage_result with, std::size_t bytes) override { tell(std::move(with), bytes); }

private:
  void tell(storage_result content, std::size_t bytes) {
    const std::lock_guard guard{who_->mutex};
    if (who_->content) return;
    who_->content = std::move(content);
    who_->bytes = bytes;
    who_->changed.notify_one();
  }

  std::shared_ptr<blocked> who_;
};

// Whether the engine itself would change the database.
bool is_sql(const storage_call& call) {
  return std::holds_alternative<protocol::sqlite_exec_request>(call) ||
         std::holds_alternative<protocol::sqlite_execute_request>(call) ||
         std::holds_alternative<protocol::sqlite_execute_batch_request>(call);
}

bool commits(const storage_call& call) {
  return std::holds_alternative<protocol::sqlite_commit_request>(call) ||
         std::holds_alternative<protocol::sqlite_commit_finalize_request>(call);
}

// Requests that wait are counted by their size, so they must not keep other memory alive: a value that shares memory, such as a
// part of a request's body, is copied. All are short (docs/protocol.md H).
template <class Slice>
void unshare(Slice& x) {
  if (x.owner().use_count() > 1) x = Slice::copy_of(x.span());
}

void unshare(std::optional<std::vector<protocol::sqlite_bind_param>>& params) {
  if (!params) return;
  for (auto& each : *params)
    std::visit(
        [](auto& x) {
          if constexpr (requires { x.value.owner(); }) unshare(x.value);
        },
        each);
}

void unshare(storage_call& call) {
  if (auto* kv = std::get_if<protocol::kv_request_data>(&call)) {
    if (auto* put = std::get_if<protocol::kv_put_request>(kv))
      for (auto& value : put->values) unshare(value);
  } else if (auto* one = std::get_if<protocol::sqlite_execute_request>(&call)) {
    unshare(one->params);
  } else if (auto* batch = std::get_if<protocol::sqlite_execute_batch_request>(&call)) {
    for (auto& statement : batch->statements) unshare(statement.params);
  }
}

storage_failure not_hosted() {
  return {errc::refused, "this actor was not spawned by a host: it has no storage", false, {}};
}

}  // namespace

storage_client::storage_client(engine_actor& self, std::shared_ptr<const instance_context> context)
    : self_(self), context_(std::move(context)) {}

caf::message_id storage_client::ask(storage_call call, write_mode mode) {
  if (!self_.hosted()) return fail(not_hosted());
  if (const auto* kv = std::get_if<protocol::kv_request_data>(&call)) {
    if (auto good = kv_limits::check(*kv); !good)
      return fail({good.error().code, good.error().message + "; it was not sent", false, {}});
    if (!std::exchange(preload_read_, true)) preload_ = kv_preload{context_->preloaded};
    if (const auto* get = std::get_if<protocol::kv_get_request>(kv)) {
      if (auto known = preload_.find(*get))
        return reply(storage_answer{protocol::kv_response_data{std::move(*known)}});
    } else if (!is_read(call)) {
      preload_.handle_write();
    }
  }
  if (is_sql(call) && !local_database_.expired())
    return fail(
        {errc::refused,
         "sql() while open_sqlite()'s database is open, which it would break; it was not sent",
         false,
         {}});
  // The engine's session reads from its own cache, and its first write is refused for good (docs/protocol.md M).
  if (is_sql(call) && sql_stale_)
    return fail(
        {errc::refused,
         "sql() after a commit of open_sqlite()'s database, which this instance's session at the "
         "engine does not see; the "
         "next start has a new one; it was not sent",
         false,
         {}});
  sql_used_ = sql_used_ || is_sql(call);
  unshare(call);
  const auto id = promise();
  turn_.add(std::move(call), asked_.size(), mode);
  asked_.push_back({id});
  return id;
}

void storage_client::handle_awaited(caf::message_id request) {
  for (auto& each : asked_)
    if (each.id == request) each.awaited = true;
}

caf::message_id storage_client::fail(storage_failure why) { return reply(std::move(why)); }

// An answer that is already known is also sent as a message, after this turn like any other.
caf::message_id storage_client::reply(storage_result content) {
  const auto id = promise();
  complete(id, std::move(content));
  return id;
}

caf::message_id storage_client::promise() {
  return self_.new_request_id(caf::message_priority::normal);
}

void storage_client::complete(caf::message_id promised, storage_result content) {
  handler_waiter{self_.address(), promised}.complete(std::move(content), 0);
}

storage_result storage_client::wait_for(storage_call call) {
  if (!self_.hosted()) return not_hosted();
  flush();
  sql_stale_ = sql_stale_ || (sql_used_ && commits(call));
  const auto waits = std::make_shared<blocked>();
  std::vector<storage_batch::item> items(1);
  items.front().call = std::move(call);
  items.front().awaited = true;
  items.front().waiters.push_back(std::make_shared<thread_waiter>(waits));
  hand_over(std::move(items));
  // Storage ends each request at its deadline, also one that it drops: this limit is for what can't happen.
  std::unique_lock guard{waits->mutex};
  if (!waits->changed.wait_for(guard, wait_limit, [&] { return waits->content.has_value(); }))
    return storage_failure{
        errc::timed_out, "storage did not answer; a write may have happened", true, {}};
  handle_consumed(waits->bytes);
  return std::move(*waits->content);
}

std::shared_ptr<void> storage_client::use_local_database() {
  if (!local_database_.expired()) return nullptr;
  auto out = std::make_shared<int>();
  local_database_ = out;
  return out;
}

void storage_client::flush() {
  // Consumed bytes are reported with the next request, or once they reach the limit.
  if (turn_.empty() && consumed_ <= answer_bytes_untold_max) return;
  std::vector<storage_batch::item> items;
  for (auto& joined : turn_.take()) {
    auto& item = items.emplace_back();
    item.call = std::move(joined.call);
    item.mode = joined.mode;
    for (const auto ticket : joined.tickets) {
      const auto& asked = asked_[ticket];
      item.awaited = item.awaited || asked.awaited;
      item.waiters.push_back(std::make_shared<handler_waiter>(self_.address(), asked.id));
    }
  }
  asked_.clear();
  hand_over(std::move(items));
}

void storage_client::hand_over(std::vector<storage_batch::item> items) {
  used_ = true;
  // Without a storage actor the items end here, and their waiters with them.
  if (const auto to = caf::actor_cast<caf::actor>(context_->storage))
    post(to, storage_batch{context_, std::move(items), std::exchange(consumed_, 0)});
}

void storage_client::end() {
  flush();
  if (!used_) return;
  if (const auto to = caf::actor_cast<caf::actor>(context_->storage))
    post(to, storage_end{context_});
}

}  // namespace nuncio::internal
