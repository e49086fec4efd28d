// Translates between CAF messages and the tunnel; see engine_actor.hpp.
#include <fmt/format.h>

#include <caf/actor_system.hpp>
#include <caf/others.hpp>
#include <nuncio/counters.hpp>
#include <nuncio/engine_actor.hpp>

namespace nuncio {
namespace {

// The constructor of a user's class gets only what the user gives it, so the context reaches the base this way.
thread_local std::shared_ptr<const instance_context> under_construction;

thread_local const engine_actor* handling = nullptr;

struct handling_scope {
  explicit handling_scope(const engine_actor* x) { handling = x; }
  ~handling_scope() { handling = nullptr; }
  handling_scope(const handling_scope&) = delete;
  handling_scope& operator=(const handling_scope&) = delete;
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

// Whether `x` marks the response to an HTTP request, which the instance asked itself (see deliver).
bool answers_attempt(caf::message_id x) {
  return x.is_response() &&
         (x.integer_value() & caf::message_id::request_id_mask) >= internal::ticket_first;
}

}  // namespace

namespace internal {

construction_scope::construction_scope(std::shared_ptr<const instance_context> context) {
  under_construction = std::move(context);
}

construction_scope::~construction_scope() { under_construction.reset(); }

void deliver(const caf::actor& instance, http_request request) {
  const auto ticket = request.ticket;
  const auto id = caf::message_id{ticket}.with_normal_priority();
  auto* const target = caf::actor_cast<caf::abstract_actor*>(instance);
  target->enqueue(
      caf::actor_cast<caf::strong_actor_ptr>(instance),
      id,
      caf::make_message(std::move(request)),
      nullptr);
}

bool on_instance_thread() { return handling != nullptr; }

std::string describe(const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const std::exception& x) {
    return x.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

}  // namespace internal

engine_actor::engine_actor(caf::actor_config& cfg)
    // Taken, not shared: what the user's constructor spawns in turn is no instance.
    : event_based_actor(cfg),
      context_(under_construction ? std::exchange(under_construction, nullptr) : unhosted()) {
  set_default_handler(caf::drop);
  set_exception_handler([this](caf::scheduled_actor*, std::exception_ptr& e) -> caf::error {
    failure_ = internal::describe(e);
    return caf::sec::runtime_error;
  });
  if (hosted()) attach_functor([this](const caf::error& reason) { handle_down(reason); });
}

engine_actor::~engine_actor() = default;

template <class T>
void engine_actor::tell_ingress(T what) {
  internal::tell(*context_, std::move(what));
}

void engine_actor::initialize() {
  event_based_actor::initialize();
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
  tell_ingress(internal::sleep_called{context_->start.self});
}

void engine_actor::destroy() {
  if (!hosted()) return quit();
  if (!initialized_) {
    destroy_early_ = true;
    return;
  }
  tell_ingress(internal::destroy_called{context_->start.self});
}

caf::invoke_message_result engine_actor::consume(caf::mailbox_element& x) {
  using caf::invoke_message_result;
  if (!hosted()) return event_based_actor::consume(x);
  const handling_scope scope{this};
  if (answers_attempt(x.mid)) {
    handle_response(x);
    return invoke_message_result::consumed;
  }
  auto& content = x.content();
  if (content.match_elements<internal::launch>()) return invoke_message_result::consumed;
  if (content.match_elements<internal::attempt_cancelled>()) {
    handle_cancelled(content.get_as<internal::attempt_cancelled>(0).ticket);
    return invoke_message_result::consumed;
  }
  if (content.match_elements<stop_command>()) {
    if (!has_behavior() || !current_behavior()(content)) quit();
    return invoke_message_result::consumed;
  }
  if (x.mid.is_request() && content.match_elements<http_request>()) {
    const auto& request = content.get_as<http_request>(0);
    const auto ticket = request.ticket;
    newest_ticket_ = std::max(newest_ticket_, ticket);
    skipped_.erase(ticket);
    if (cancelled_.erase(ticket) != 0) {
      tell_ingress(internal::attempt_done{context_->start.self, request.exchange, ticket});
      return invoke_message_result::consumed;
    }
    begun_[ticket] = {request.exchange, request.first_index, request.streams};
    const auto result = event_based_actor::consume(x);
    if (result == invoke_message_result::skipped) {
      begun_.erase(ticket);
      skipped_.insert(ticket);
    }
    return result;
  }
  return event_based_actor::consume(x);
}

// An answer that a handler of ours gives itself leaves at once: in the mailbox it would be lost when the next message ends
// the actor. What a handler says after quit() is not taken: it ended its actor, which is answered 500.
void engine_actor::enqueue(caf::mailbox_element_ptr what, caf::execution_unit* host) {
  if (handling == this && answers_attempt(what->mid) && !getf(is_shutting_down_flag))
    handle_response(*what);
  else
    event_based_actor::enqueue(std::move(what), host);
}

void engine_actor::handle_cancelled(std::uint64_t ticket) {
  if (const auto at = begun_.find(ticket); at != begun_.end()) {
    tell_ingress(internal::attempt_done{context_->start.self, at->second.exchange, ticket});
    begun_.erase(at);
  } else if (ticket > newest_ticket_ || skipped_.contains(ticket)) {
    cancelled_.insert(ticket);  // this message is urgent and has overtaken its request
  }
}

void engine_actor::handle_response(caf::mailbox_element& x) {
  const auto ticket = x.mid.request_id().with_normal_priority().integer_value() &
                      caf::message_id::request_id_mask;
  auto& content = x.content();
  if (content.match_elements<http_response>()) {
    respond(ticket, content.get_mutable_as<http_response>(0));
  } else if (content.match_elements<caf::error>()) {
    const auto& error = content.get_as<caf::error>(0);
    if (error == caf::sec::unexpected_message) {
      respond(ticket, plain(404, "this actor has no handler for HTTP requests\n"));
    } else {
      respond(ticket, plain(500, system().render(error) + "\n"));
    }
  } else {
    respond(ticket, plain(500, "the handler answered with something that is no http_response\n"));
  }
}

void engine_actor::respond(std::uint64_t ticket, http_response response) {
  const auto at = begun_.find(ticket);
  if (at == begun_.end()) return;  // replaced, aborted, or answered twice
  const auto to = at->second;
  begun_.erase(at);
  if (respond_to(to, ticket, std::move(response)))
    tell_ingress(internal::attempt_done{context_->start.self, to.exchange, ticket});
}

// @returns false if ingress sends the response, as the engine takes it, and closes the attempt itself
bool engine_actor::respond_to(const exchange_position& to, std::uint64_t ticket, http_response response) {
  context_->counts->responses.fetch_add(1, std::memory_order_relaxed);
  const std::shared_ptr<const output_gate> gate{context_, &context_->gate};
  http_exchange exchange{to, {.response_bytes_max = context_->response_bytes_max}};
  protocol::to_rivet_response_start start;
  start.status = response.status;
  start.headers.entries = std::move(response.headers);
  if (!response.body.empty()) start.body = std::move(response.body);
  if (const auto good = exchange.respond(std::move(start)); !good)
    log_to(
        context_->log,
        log_level::error,
        "a response can't be sent; the client gets 500",
        {{"actor", context_->start.self.actor.str()}, {"reason", good.error().message}});
  if (exchange.streaming()) {
    tell_ingress(internal::response_waits{context_->start.self, ticket, std::move(exchange)});
    return false;
  }
  auto sent = context_->link->send(gate, *exchange.poll_transmit());
  if (!sent && sent.error().code != errc::cancelled) {
    // Too much is queued, or the text was not UTF-8: a small answer says so instead of none.
    http_exchange small{to};
    small.refuse(sent.error().code == errc::queue_full ? 503 : 500, sent.error().message);
    sent = context_->link->send(gate, *small.poll_transmit());
  }
  return true;
}

void engine_actor::handle_down(const caf::error& reason) {
  internal::instance_down down{context_->start.self, {}, {}};
  // Quitting and being forgotten mean sleep; anything else is a failure that is reported with its text.
  const auto quits = !reason || reason == caf::exit_reason::normal ||
                     reason == caf::exit_reason::unreachable;
  if (!failure_.empty())
    down.error = failure_;
  else if (!quits)
    down.error = system().render(reason);
  for (const auto& [ticket, to] : begun_) {
    const auto why = down.error.empty() ? std::string_view{"the actor ended before it answered"} : down.error;
    respond_to(to, ticket, plain(500, fmt::format("{}\n", why)));
    down.answered.push_back({context_->start.self, to.exchange, ticket});
  }
  begun_.clear();
  tell_ingress(std::move(down));
}

}  // namespace nuncio
