// The result of a storage request: the promise of an answer, used like CAF's response handles.
//
//   self->kv().get("k").then(
//       [=](std::optional<nuncio::bytes> value) { … }, [=](const caf::error& e) { … });
//   return self->kv().get("k").answer(
//       [](std::optional<nuncio::bytes> value) { return nuncio::http_response{…}; });
//
// The request is sent at the end of the turn, whether or not the answer is used. On the actor's own thread only.
#pragma once

#include <caf/behavior.hpp>
#include <caf/typed_response_promise.hpp>
#include <functional>
#include <memory>
#include <nuncio/engine_actor.hpp>
#include <nuncio/errors.hpp>
#include <type_traits>
#include <utility>

namespace nuncio {

struct storage_answer;

namespace internal {

/// Handles an answer of storage.
class answer_handler {
public:
  answer_handler() = default;
  virtual ~answer_handler() = default;
  answer_handler(const answer_handler&) = delete;
  answer_handler& operator=(const answer_handler&) = delete;

  virtual void handle(storage_answer& x) = 0;
  virtual void handle_failure(caf::error& why) = 0;
};

/// The form in which CAF takes it.
caf::behavior make_behavior(std::shared_ptr<answer_handler> x);

}  // namespace internal

/// @tparam T  the contents of the answer; void if it only confirms the request
template <class T>
class [[nodiscard]] storage_response {
public:
  /// Builds a `T` from the engine's answer.
  using reader = std::function<T(storage_answer&)>;

  storage_response(engine_actor& self, caf::message_id request, reader read)
      : self_(&self), request_(request), read_(std::move(read)) {}

  /// Handles the answer when it comes; other messages may be handled before. `g` takes a const caf::error&.
  template <class F, class G>
  void then(F f, G g) {
    self_->add_multiplexed_response_handler(
        request_.response_id(), handler(std::move(f), std::move(g)));
  }

  /// As above; an error ends the actor with that error (CAF's error handler).
  template <class F>
  void then(F f) {
    then(std::move(f), default_error_handler());
  }

  /// Handles no other message before the answer.
  template <class F, class G>
  void await(F f, G g) {
    self_->handle_awaited(request_);
    self_->add_awaited_response_handler(
        request_.response_id(), handler(std::move(f), std::move(g)));
  }

  template <class F>
  void await(F f) {
    await(std::move(f), default_error_handler());
  }

  /// Answers the request that the actor is handling with the result of `f`, or with the error.
  template <class F>
  auto answer(F f) {
    if constexpr (std::is_void_v<T>) {
      auto promise = self_->make_response_promise<std::invoke_result_t<F>>();
      then([promise, f = std::move(f)]() mutable { promise.deliver(f()); }, error_to(promise));
      return promise;
    } else {
      auto promise = self_->make_response_promise<std::invoke_result_t<F, T>>();
      then(
          [promise, f = std::move(f)](T x) mutable { promise.deliver(f(std::move(x))); },
          error_to(promise));
      return promise;
    }
  }

  /// The same without a value, only confirming the request.
  storage_response<void> done() && {
    return {*self_, request_, [read = std::move(read_)](storage_answer& x) {
              static_cast<void>(read(x));
            }};
  }

private:
  template <class F, class G>
  class handlers final : public internal::answer_handler {
  public:
    handlers(F f, G g, reader read) : f_(std::move(f)), g_(std::move(g)), read_(std::move(read)) {}

    void handle(storage_answer& x) override {
      if constexpr (std::is_void_v<T>) {
        static_assert(
            std::is_invocable_v<F&>, "this answer holds nothing: the handler takes no argument");
        read_(x);
        f_();
      } else {
        static_assert(
            std::is_invocable_v<F&, T>, "the handler does not take what this answer holds");
        f_(read_(x));
      }
    }

    void handle_failure(caf::error& why) override { g_(why); }

  private:
    F f_;
    G g_;
    reader read_;
  };

  template <class F, class G>
  caf::behavior handler(F f, G g) {
    static_assert(
        std::is_invocable_v<G, caf::error&>, "the second handler takes a const caf::error&");
    return internal::make_behavior(
        std::make_shared<handlers<F, G>>(std::move(f), std::move(g), std::move(read_)));
  }

  auto default_error_handler() {
    return [self = self_](caf::error& e) { self->call_error_handler(e); };
  }

  template <class Promise>
  static auto error_to(Promise promise) {
    return [promise](const caf::error& e) mutable { promise.deliver(e); };
  }

  engine_actor* self_;
  caf::message_id request_;
  reader read_;
};

}  // namespace nuncio
