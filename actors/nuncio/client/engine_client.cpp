// See engine_client.hpp. actor_requests decides how a question looks on the wire and what an answer means; this file connects
// calls and answers.
#include <caf/event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <nuncio/engine/actor_calls.hpp>
#include <nuncio/engine_client.hpp>
#include <nuncio/host/internal_messages.hpp>
#include <nuncio/host/system_watch.hpp>
#include <nuncio/support/number_range.hpp>
#include <unordered_map>

namespace nuncio {
namespace {

outcome<http_call> call_for(
    const create_actor& q, const engine_access& at, const client_options& o) {
  return to_call(q, at, o.pool);
}

outcome<http_call> call_for(
    const get_or_create_actor& q, const engine_access& at, const client_options& o) {
  return to_call(q, at, o.pool);
}

template <class Question>
outcome<http_call> call_for(const Question& q, const engine_access& at, const client_options&) {
  return to_call(q, at);
}

engine_answer<http_response> read_response(outcome<http_reply> reply) {
  auto read = read_called(std::move(reply));
  if (auto* why = std::get_if<engine_failure>(&read)) return std::move(*why);
  auto& said = std::get<http_reply>(read);
  http_response out{.status = static_cast<std::uint16_t>(said.status)};
  for (auto& [name, value] : said.headers)
    out.headers.emplace_back(std::move(name), std::move(value));
  out.body = bytes{std::move(said.body)};
  return out;
}

engine_answer<caf::unit_t> read_end(outcome<http_reply> reply) {
  auto read = read_destroyed(reply);
  if (auto* why = std::get_if<engine_failure>(&read)) return std::move(*why);
  return caf::unit;
}

caf::error error_of(const failure& why) {
  return make_error(engine_failure{.code = why.code, .message = why.message});
}

// How often one question is sent again, for a new token or a lost race.
constexpr unsigned repeats_max = 4;

bool refuses_token(const engine_failure& why) {
  return why.status == 401 || why.status == 403 || why.engine_code.starts_with("auth.");
}

class engine_client_actor final : public caf::event_based_actor {
public:
  engine_client_actor(caf::actor_config& cfg, client_options options, engine_access at)
      : event_based_actor(cfg),
        options_(std::move(options)),
        at_(std::move(at)),
        http_(std::make_unique<http_client>(http_client_options{
            .calls_max = options_.calls_max,
            .connections_max = options_.connections_max,
            .body_bytes_max = options_.response_bytes_max,
            .tls = options_.tls})),
        system_watch_(home_system()) {}

  const char* name() const override { return "nuncio.client"; }

  caf::behavior make_behavior() override {
    // Calls under way keep this actor alive.
    system_watch_.begin(this, [this] { quit(); });
    return {
        [this](const create_actor& q) {
          return ask<actor_info>(q, [](auto x) { return read_actor(x); });
        },
        [this](const get_or_create_actor& q) {
          return ask<actor_info>(q, [](auto x) { return read_actor(x); });
        },
        [this](const get_actor& q) {
          return ask<actor_info>(q, [](auto x) { return read_actor(x); });
        },
        [this](const get_actor_by_id& q) {
          return ask<actor_info>(q, [](auto x) { return read_actor(x); });
        },
        [this](const list_actors& q) {
          return ask<actor_page>(q, [](auto x) { return read_page(x); });
        },
        [this](const destroy_actor& q) { return ask<caf::unit_t>(q, &read_end); },
        [this](const call_actor& q) { return ask<http_response>(q, &read_response); },
        [this](internal::call_ended& x) {
          if (auto waiting = waiting_.extract(x.number); !waiting.empty())
            waiting.mapped()(std::move(*x.reply));
        },
    };
  }

  void on_exit() override {
    system_watch_.end(this);
    http_.reset();  // no callback after this
    for (auto& [number, answer] : std::exchange(waiting_, {}))
      answer(failure{errc::cancelled, "the client has ended; the call may have been made"});
  }

private:
  template <class Answer, class Question, class Read>
  caf::result<Answer> ask(const Question& q, Read read) {
    if (!token_read_) refresh_token();
    auto promise = make_response_promise<Answer>();
    send_call<Answer>(std::make_shared<const Question>(q), promise, read, repeats_max);
    return promise;
  }

  template <class Answer, class Question, class Read>
  void send_call(
      std::shared_ptr<const Question> q,
      caf::typed_response_promise<Answer> promise,
      Read read,
      unsigned repeats) {
    auto call = call_for(*q, at_, options_);
    if (!call) {
      promise.deliver(error_of(call.error()));
      return;
    }
    const auto number = ++last_;
    waiting_.emplace(number, [=, this](outcome<http_reply> reply) mutable {
      auto answer = read(std::move(reply));
      auto* why = std::get_if<engine_failure>(&answer);
      if (why == nullptr) {
        promise.deliver(std::move(std::get<Answer>(answer)));
        return;
      }
      // Try again with a new token, if there is one, or if another caller has just taken the key.
      if (repeats != 0 && lost_race(*q, *why))
        wait_and_send<Answer>(q, promise, read, repeats - 1);
      else if (repeats != 0 && refuses_token(*why) && refresh_token())
        send_call<Answer>(q, promise, read, repeats - 1);
      else {
        why->message = without_token(std::move(why->message), at_.token);
        promise.deliver(make_error(*why));
      }
    });
    http_->send(
        std::move(*call),
        [to = caf::actor_cast<caf::actor_addr>(this), number](outcome<http_reply> reply) {
          auto self = caf::actor_cast<caf::strong_actor_ptr>(to);
          if (!self) return;
          // The reference travels as the sender: if it were the last one here, the actor would end on this thread, which its
          // end waits for, and perhaps after its system.
          auto* target = self->get();
          internal::enqueue(
              *target,
              std::move(self),
              caf::make_message_id(),
              caf::make_message(internal::call_ended{
                  number, std::make_shared<outcome<http_reply>>(std::move(reply))}));
        });
  }

  template <class Answer, class Question, class Read>
  void wait_and_send(
      std::shared_ptr<const Question> q,
      caf::typed_response_promise<Answer> promise,
      Read read,
      unsigned repeats) {
    const auto number = ++last_;
    waiting_.emplace(number, [=, this](const outcome<http_reply>& over) mutable {
      if (over)
        send_call<Answer>(q, promise, read, repeats);
      else
        promise.deliver(error_of(over.error()));
    });
    internal::post_later(
        this,
        delay_after_race(repeats_max - repeats),
        internal::call_ended{number, std::make_shared<outcome<http_reply>>(http_reply{})});
  }

  // @returns whether the token has changed
  bool refresh_token() {
    token_read_ = true;
    if (!options_.token_from) return false;
    auto token = read_token(options_.token_from, {});
    return token && std::exchange(at_.token, *token) != *token;
  }

  client_options options_;
  engine_access at_;
  std::unique_ptr<http_client> http_;
  std::unordered_map<std::uint64_t, std::function<void(outcome<http_reply>)>> waiting_;
  std::uint64_t last_ = 0;
  bool token_read_ = false;
  internal::system_watch system_watch_;
};

}  // namespace

outcome<caf::actor> spawn_client(caf::actor_system& system, client_options options) {
  auto endpoint = parse_endpoint(options.endpoint);
  if (!endpoint) return endpoint.error();
  if (options.namespace_name.empty())
    return failure{errc::invalid_argument, "namespace_name: must not be empty"};
  if (auto good = check_ranges(
          {count_range("calls_max", options.calls_max, 1, many),
           count_range("connections_max", options.connections_max, 1, UINT16_MAX),
           count_range("response_bytes_max", options.response_bytes_max, 1, many)});
      !good)
    return good.error();
  if (auto good = check(options.tls); !good) return good.error();
  auto token = read_token(options.token_from, options.token);
  if (!token) return token.error();
  engine_access at{*endpoint, options.namespace_name, std::move(*token)};
  return caf::actor_cast<caf::actor>(
      system.spawn<engine_client_actor, caf::hidden>(std::move(options), std::move(at)));
}

}  // namespace nuncio
