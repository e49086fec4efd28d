// Translates between CAF messages and the tunnel; see engine_actor.hpp.
#include <fmt/format.h>

#include <caf/actor_system.hpp>
#include <nuncio/actor/access.hpp>
#include <nuncio/actor/instance_context.hpp>
#include <nuncio/actor/instance_sockets.hpp>
#include <nuncio/actor/instance_streams.hpp>
#include <nuncio/detail/exception_text.hpp>
#include <nuncio/detail/factory.hpp>
#include <nuncio/engine_actor.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/host/counters.hpp>
#include <nuncio/host/internal_messages.hpp>
#include <nuncio/host/kill_now.hpp>
#include <nuncio/kv.hpp>
#include <nuncio/sql.hpp>
#include <nuncio/sqlite.hpp>
#include <nuncio/storage/sqlite_over.hpp>
#include <nuncio/storage/storage_client.hpp>
#include <nuncio/tunnel/shared_request.hpp>
#include <nuncio/tunnel/transmit.hpp>

namespace nuncio {
namespace {

// A user's class passes only its own arguments to the constructor, so the context reaches the base this way.
thread_local std::shared_ptr<const instance_context> under_construction;

thread_local engine_actor* handling = nullptr;

struct handling_scope {
  explicit handling_scope(engine_actor* x) { handling = x; }

  ~handling_scope() { handling = nullptr; }

  handling_scope(const handling_scope&) = delete;
  handling_scope& operator=(const handling_scope&) = delete;
};

// Stream writes and storage requests of a turn are sent when the turn ends.
struct turn_scope {
  turn_scope(internal::storage_client& x, std::unique_ptr<internal::instance_streams>& y)
      : storage(x), streams(y) {}

  ~turn_scope() {
    if (streams) streams->flush();
    storage.flush();
  }

  turn_scope(const turn_scope&) = delete;
  turn_scope& operator=(const turn_scope&) = delete;

  internal::storage_client& storage;
  std::unique_ptr<internal::instance_streams>& streams;
};

const std::shared_ptr<const instance_context>& unhosted() {
  static const auto none = std::make_shared<const instance_context>();
  return none;
}

http_response plain(std::uint16_t status, std::string body) {
  return {
      .status = status,
      .headers = {{"content-type", "text/plain; charset=utf-8"}},
      .body = std::move(body)};
}

std::uint64_t ticket_in(caf::message_id x) {
  return x.integer_value() & caf::message_id::request_id_mask;
}

// Whether `x` is the response to an HTTP request that the instance has sent to itself (see deliver).
bool answers_attempt(caf::message_id x) {
  return x.is_response() && ticket_in(x) >= internal::ticket_first;
}

}  // namespace

namespace internal {

construction_scope::construction_scope(std::shared_ptr<const instance_context> context) {
  under_construction = std::move(context);
}

construction_scope::~construction_scope() { under_construction.reset(); }

void tell_of_room(const room_waiter& who) {
  const auto context = std::static_pointer_cast<const instance_context>(who.instance.lock());
  if (!context) return;
  if (const auto to = caf::actor_cast<caf::actor>(context->self)) post(to, room_freed{});
}

void deliver(const caf::actor& instance, std::uint64_t ticket, caf::message what) {
  const auto id = caf::message_id{ticket}.with_normal_priority();
  auto* const target = caf::actor_cast<caf::abstract_actor*>(instance);
  enqueue(*target, caf::actor_cast<caf::strong_actor_ptr>(instance), id, std::move(what));
}

instance_sockets* sockets_of_this_thread(const instance_context* context) {
  if (handling == nullptr || &access::context(*handling) != context) return nullptr;
  return access::sockets_of(*handling);
}

bool on_instance_thread() { return handling != nullptr; }

std::string describe(const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const std::exception& x) {
    return x.what();
  } catch (...) {
    return "an exception that is not a std::exception";
  }
}

}  // namespace internal

engine_actor::engine_actor(caf::actor_config& cfg)
    // Moved, not shared: actors that the user's constructor spawns are not instances.
    : internal::mail_reader(cfg),
      context_(under_construction ? std::exchange(under_construction, nullptr) : unhosted()),
      storage_(std::make_unique<internal::storage_client>(*this, context_)) {
  internal::drop_unexpected(this);
  set_exception_handler([this](caf::scheduled_actor*, std::exception_ptr& e) -> caf::error {
    failure_ = internal::describe(e);
    return caf::sec::runtime_error;
  });
  if (hosted()) attach_functor([this](const caf::error& reason) { handle_down(reason); });
}

engine_actor::~engine_actor() = default;

const start_info& engine_actor::start() const { return context_->start; }

bool engine_actor::hosted() const { return context_->link != nullptr; }

void engine_actor::handle_awaited(caf::message_id request) { storage_->handle_awaited(request); }

template <class T>
void engine_actor::tell_ingress(T what) {
  internal::tell(*context_, std::move(what));
}

kv_store engine_actor::kv() { return internal::access::user_keys(*storage_); }

sql_client engine_actor::sql() { return sql_client{*storage_}; }

caf::expected<sqlite> engine_actor::open_sqlite() { return open_sqlite({}); }

caf::expected<sqlite> engine_actor::open_sqlite(const sqlite_options& options) {
  const auto refused = [](std::string_view why) {
    return make_error(
        storage_failure{errc::refused, fmt::format("open_sqlite: {}", why), false, {}});
  };
  if (!hosted()) return refused("this actor was not spawned by a host");
  if (!getf(is_detached_flag))
    return refused(
        "it waits for the engine, which an actor on the scheduler's shared threads must not; serve "
        "this one as detached");
  const auto in_use = storage_->use_local_database();
  if (!in_use) return refused("the database is already open");
  return internal::sqlite_over::open(
      [in_use, client = storage_.get()](storage_call call) {
        return client->wait_for(std::move(call));
      },
      options);
}

void engine_actor::initialize() {
  // Not in the constructor: a derived class's constructor may throw, and CAF frees such an actor even if its address is held.
  if (hosted()) context_->self = address();
  const turn_scope turn{*storage_, streams_};
  if (hosted() && prepare())
    setf(is_initialized_flag);
  else
    begin();
}

void engine_actor::begin() {
  event_based_actor::initialize();
  if (hosted() && !alive() && !getf(is_shutting_down_flag)) stand_in();
  if (hosted() && context_->start.self.generation > 1) recall_alarm();
  say_started();
}

// CAF would end the actor at once, which means sleep, and the engine would wake it for each request, again and again.
void engine_actor::stand_in() {
  internal::log_limited(
      *context_, log_level::error, "an actor has no behavior; its requests are answered with 404");
  become([](const internal::launch&) {});  // which consume() handles
}

void engine_actor::begin_with(caf::behavior answers) {
  become(std::move(answers));
  say_started();
}

void engine_actor::say_started() {
  initialized_ = true;
  if (!hosted()) return;
  const auto& self = context_->start.self;
  tell_ingress(internal::instance_started{self});
  if (sleep_early_) tell_ingress(internal::sleep_called{self});
  if (destroy_early_) tell_ingress(internal::destroy_called{self});
}

void engine_actor::sleep() {
  if (!hosted()) return quit();
  if (!initialized_) {
    sleep_early_ = true;
    return;
  }
  if (may_sleep()) tell_ingress(internal::sleep_called{context_->start.self});
}

void engine_actor::destroy() {
  if (!hosted()) return quit();
  if (!initialized_) {
    destroy_early_ = true;
    return;
  }
  tell_ingress(internal::destroy_called{context_->start.self});
}

void engine_actor::finish() {
  if (!std::exchange(finishing_, true) && sockets_) sockets_->handle_ending();
  finish_if_answered();
}

void engine_actor::finish_if_answered() {
  const auto says = sockets_ && sockets_->ends_later();
  if (finishing_ && begun_.empty() && !says && !getf(is_shutting_down_flag)) finish_now();
}

caf::invoke_message_result engine_actor::consume(caf::mailbox_element& x) {
  using caf::invoke_message_result;
  if (!hosted()) return event_based_actor::consume(x);
  const handling_scope scope{this};
  const turn_scope turn{*storage_, streams_};
  if (answers_attempt(x.mid)) {
    handle_response(x);
    return invoke_message_result::consumed;
  }
  auto& content = x.content();
  // CAF resumes what it skipped during an await only with the next message of the same priority, which may never come for this
  // one.
  if (internal::ends_now(x.mid, content)) {
    quit(content.get_as<caf::exit_msg>(0).reason);
    return invoke_message_result::consumed;
  }
  if (content.match_elements<internal::launch>()) return invoke_message_result::consumed;
  if (content.match_elements<internal::attempt_cancelled>()) {
    handle_cancelled(content.get_as<internal::attempt_cancelled>(0));
    return invoke_message_result::consumed;
  }
  if (content.match_elements<stop_command>()) {
    const auto reason = content.get_as<stop_command>(0).reason;
    destroyed_ = reason == protocol::stop_actor_reason::destroy ||
                 reason == protocol::stop_actor_reason::stop_intent;
    if (!has_behavior() || !current_behavior()(content)) finish();
    return invoke_message_result::consumed;
  }
  if (x.mid.is_request() && content.match_elements<http_request>()) {
    const auto& request = content.get_as<http_request>(0);
    const auto ticket = request.ticket;
    if (x.sender != ctrl() || ticket_in(x.mid) != ticket) return give_borrowed(x);
    newest_ticket_ = std::max(newest_ticket_, ticket);
    skipped_.erase(ticket);
    if (cancelled_.erase(ticket) != 0) {
      tell_ingress(internal::attempt_done{context_->start.self, request.exchange, ticket});
      return invoke_message_result::consumed;
    }
    const auto on_way = request.origin.on_way;
    const auto first_size = request.body.size();
    begun_[ticket] = {request.origin.position, request.origin.claim};
    if (request.streamed) {  // its parts follow
      if (!streams_) streams_ = std::make_unique<internal::instance_streams>(this);
      streams_->at(ticket, request.origin.position)->on_way = on_way;
    }
    auto result = invoke_message_result::consumed;
    try {
      result = give(x);
    } catch (const http_error& meant) {
      handle_thrown(ticket, meant);
    }
    if (result == invoke_message_result::skipped) {
      begun_.erase(ticket);
      skipped_.insert(ticket);
    } else if (on_way) {
      on_way->take(first_size);
    }
    return result;
  }
  if (const auto result = consume_socket(x)) return *result;
  if (const auto result = consume_stream(x)) return *result;
  if (const auto result = consume_lifecycle(x)) return *result;
  if (x.sender && x.sender != ctrl()) talked_ = context_->now();
  const auto answer_bytes = content.match_elements<internal::storage_reply>()
                                ? content.get_as<internal::storage_reply>(0).bytes
                                : 0;
  const auto result = give(x);
  if (result != invoke_message_result::skipped) storage_->handle_consumed(answer_bytes);
  return result;
}

// A request that another actor has forwarded: that actor answers its client with the result.
caf::invoke_message_result engine_actor::give_borrowed(caf::mailbox_element& x) {
  talked_ = context_->now();
  try {
    return give(x);
  } catch (const http_error& meant) {
    make_response_promise().deliver(make_error(meant));
    return caf::invoke_message_result::consumed;
  } catch (...) {  // CAF would leave it unanswered
    make_response_promise().deliver(
        caf::make_error(caf::sec::runtime_error, internal::describe(std::current_exception())));
    throw;
  }
}

void engine_actor::handle_thrown(std::uint64_t ticket, const http_error& meant) {
  if (begun_.contains(ticket)) return respond(ticket, plain(meant.status, meant.message + "\n"));
  // Its response has begun, or another actor has taken it over.
  if (const auto x = streams_ ? streams_->find(ticket) : nullptr; x && x->exchange.writing())
    body_writer{x}.fail(meant.message);
}

// Hands the message to its handler, unless it has to wait for the WebSockets.
caf::invoke_message_result engine_actor::give(caf::mailbox_element& x) {
  const auto waits = sockets_ && sockets_->restoring() && !x.mid.is_response() &&
                     !x.content().match_elements<caf::exit_msg>();
  if (waits) return caf::invoke_message_result::skipped;
  const auto result = event_based_actor::consume(x);
  arm_socket_tick();
  return result;
}

// A response that our own handler gives is sent at once: in the mailbox it would be lost if the next message ends the actor.
// After quit() a handler's response is not accepted: the actor has ended, and the request is answered with 500.
internal::enqueue_result engine_actor::enqueue(
    caf::mailbox_element_ptr what, internal::caf_host* host) {
  if (handling != this || !answers_attempt(what->mid) || getf(is_shutting_down_flag))
    return event_based_actor::enqueue(std::move(what), host);
  handle_response(*what);
  return internal::enqueued();
}

void engine_actor::handle_cancelled(const internal::attempt_cancelled& what) {
  const auto ticket = what.ticket;
  // First, so that a response of its handler to the cancellation goes nowhere.
  const auto begun = begun_.erase(ticket) != 0;
  const auto streamed = streams_ && streams_->handle_cancelled(what);
  if (begun || (streamed && !skipped_.contains(ticket))) {
    tell_ingress(internal::attempt_done{context_->start.self, {}, ticket});
    finish_if_answered();
  } else if (ticket > newest_ticket_ || skipped_.contains(ticket)) {
    cancelled_.insert(ticket);  // this message is urgent and has overtaken its request
  }
}

void engine_actor::handle_response(caf::mailbox_element& x) {
  const auto ticket = ticket_in(x.mid.request_id().with_normal_priority());
  auto& content = x.content();
  if (sockets_) {
    const auto* const error =
        content.match_elements<caf::error>() ? &content.get_as<caf::error>(0) : nullptr;
    if (sockets_->handle_answer(ticket, error)) return;
  }
  if (content.match_elements<http_response>()) {
    respond(ticket, content.get_mutable_as<http_response>(0));
  } else if (content.match_elements<caf::error>()) {
    const auto& error = content.get_as<caf::error>(0);
    if (error == caf::sec::unexpected_message) {
      respond(ticket, plain(404, "this actor has no handler for HTTP requests\n"));
    } else if (auto meant = http_error_of(error)) {
      respond(ticket, plain(meant->status, std::move(meant->message) + "\n"));
    } else {
      respond(ticket, plain(500, internal::hidden(*context_, describe(system(), error)) + "\n"));
    }
  } else {
    respond(ticket, plain(500, "the handler's answer is not an http_response\n"));
  }
}

void engine_actor::respond(std::uint64_t ticket, http_response response) {
  const auto at = begun_.find(ticket);
  if (at == begun_.end()) return;  // replaced, aborted, or answered twice
  const auto [to, claim] = std::move(at->second);
  begun_.erase(at);
  if (!claim->take() || respond_to(exchange_of(ticket, to), ticket, std::move(response)))
    tell_ingress(internal::attempt_done{context_->start.self, to.exchange, ticket});
  finish_if_answered();
}

http_exchange engine_actor::exchange_of(std::uint64_t ticket, const exchange_position& at) {
  if (streams_)
    if (const auto x = streams_->find(ticket)) return streams_->take(x);
  return http_exchange{at, {.response_bytes_max = context_->response_bytes_max}};
}

// @returns false if ingress sends the response as credit comes, and closes the attempt itself
bool engine_actor::respond_to(
    http_exchange exchange, std::uint64_t ticket, http_response response) {
  context_->counts->responses.fetch_add(1, std::memory_order_relaxed);
  protocol::to_rivet_response_start start;
  start.status = response.status;
  start.headers.entries = std::move(response.headers);
  if (!response.body.empty()) start.body = std::move(response.body);
  if (const auto good = exchange.respond(std::move(start)); !good)
    internal::log_limited(
        *context_,
        log_level::error,
        "a response can't be sent; the client gets 500",
        {{"reason", good.error().message}});
  if (!exchange.streaming()) {
    const auto sent = transmit(exchange, *context_->link, internal::source_of(context_));
    if (sent.refused)
      internal::log_limited(
          *context_,
          log_level::error,
          "a response can't be sent; the client gets 500",
          {{"reason", sent.refused->message}});
    if (exchange.done()) return true;
  }
  // A response that waits for its client, or for room, is counted by ingress.
  tell_ingress(internal::response_waits{context_->start.self, ticket, std::move(exchange)});
  return false;
}

void engine_actor::handle_down(const caf::error& reason) {
  internal::instance_down down{context_->start.self, {}, {}};
  // Quitting and becoming unreferenced mean sleep; anything else is a failure that is reported with its text.
  const auto quits =
      !reason || reason == caf::exit_reason::normal || reason == caf::exit_reason::unreachable;
  if (!failure_.empty())
    down.error = failure_;
  else if (!quits)
    down.error = describe(system(), reason);
  if (!down.error.empty()) down.error = internal::hidden(*context_, down.error);
  const auto why =
      down.error.empty() ? std::string_view{"the actor ended before it answered"} : down.error;
  for (const auto& [ticket, x] : begun_)
    if (!x.claim->take() ||
        respond_to(exchange_of(ticket, x.position), ticket, plain(500, fmt::format("{}\n", why))))
      down.answered.push_back({context_->start.self, x.position.exchange, ticket});
  begun_.clear();
  if (streams_) streams_->handle_down(why, down.answered);
  if (sockets_) sockets_->handle_down(destroyed_);
  if (down.error.empty() && !destroyed_)
    if (const auto unsaved = handle_end(); !unsaved.empty())
      down.error = internal::hidden(*context_, unsaved);
  down.storing = storage_->used();
  tell_ingress(std::move(down));
  storage_->end();
}

}  // namespace nuncio
