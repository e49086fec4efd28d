// What a user's actor runs on: an ordinary CAF actor that the engine placed here. HTTP requests arrive as messages and
// are answered by returning a response, or a promise of one. Its methods belong to its own handlers' thread.
//
//   caf::behavior counter(caf::stateful_actor<count, nuncio::engine_actor>* self) {
//     return {[self](const nuncio::http_request& r) -> caf::result<nuncio::http_response> { … }};
//   }
//
// Ending: quit() means sleep (it wakes with the next request), an exception or quit with an error is reported as a
// crash, and only destroy() destroys. Messages of other CAF actors are handled like in any CAF actor.
#pragma once

#include <caf/actor_cast.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <memory>
#include <nuncio/internal_messages.hpp>
#include <nuncio/start_info.hpp>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace nuncio {

struct counters;

/// What connects an instance to its host; made by ingress.
struct instance_context {
  explicit instance_context(std::uint64_t term = 0) : gate(term) {}

  start_info start;
  output_gate gate;  ///< ingress closes it
  std::shared_ptr<link_port> link;
  std::shared_ptr<counters> counts;
  /// Weak: a user's handle to an ended actor must not keep the host's detached actor, for which the system's end waits.
  caf::actor_addr ingress;
  log_sink log;
  std::size_t response_bytes_max = 20'971'520;  ///< the engine's maxResponsePayloadSize
};

class engine_actor : public caf::event_based_actor {
public:
  /// Hosted when the host spawns it. Spawned by anything else (a user's unit test) it is a plain CAF actor: start()
  /// is empty, sleep() and destroy() quit.
  explicit engine_actor(caf::actor_config& cfg);
  ~engine_actor() override;

  /// The engine's id, the key, generation, input and create time of this instance.
  [[nodiscard]] const start_info& start() const { return context_->start; }

  /// Asks the engine to put this actor to sleep; it goes on until `stop_command` comes, and wakes with the next request.
  void sleep();

  /// Asks the engine to destroy this actor with its data for good: the only call that does.
  void destroy();

  /// Whether a host runs this actor.
  [[nodiscard]] bool hosted() const { return context_->link != nullptr; }

  void initialize() override;

  using caf::event_based_actor::enqueue;
  void enqueue(caf::mailbox_element_ptr what, caf::execution_unit* host) override;

protected:
  caf::invoke_message_result consume(caf::mailbox_element& x) override;

private:
  void respond(std::uint64_t ticket, http_response response);
  bool respond_to(const exchange_position& to, std::uint64_t ticket, http_response response);
  void handle_response(caf::mailbox_element& x);
  void handle_cancelled(std::uint64_t ticket);
  template <class T>
  void tell_ingress(T what);
  void handle_down(const caf::error& reason);

  std::shared_ptr<const instance_context> context_;
  std::unordered_map<std::uint64_t, exchange_position> begun_;  ///< by ticket: handed to a handler, not answered
  std::unordered_set<std::uint64_t> cancelled_;  ///< before they were handed to a handler
  std::unordered_set<std::uint64_t> skipped_;    ///< put back by a handler that awaits something else
  std::uint64_t newest_ticket_ = 0;
  std::string failure_;  ///< what the exception said
  bool initialized_ = false;
  bool sleep_early_ = false;
  bool destroy_early_ = false;
};

namespace internal {

/// Tickets of attempts start here: as CAF request ids they can't meet those of an actor's own requests.
inline constexpr std::uint64_t ticket_first = std::uint64_t{1} << 56U;

/// While it lives, an engine_actor constructed on this thread becomes an instance of `context`.
class construction_scope {
public:
  explicit construction_scope(std::shared_ptr<const instance_context> context);
  ~construction_scope();
  construction_scope(const construction_scope&) = delete;
  construction_scope& operator=(const construction_scope&) = delete;
};

/// Hands `request` to the instance as a CAF request whose response comes back to the instance itself.
void deliver(const caf::actor& instance, http_request request);

/// Sends `what` to the instance's ingress, if that still lives.
template <class T>
void tell(const instance_context& context, T what) {
  if (const auto to = caf::actor_cast<caf::actor>(context.ingress)) caf::anon_send(to, std::move(what));
}

/// Whether this thread is running a handler of a hosted engine actor.
bool on_instance_thread();

/// The text of an exception.
std::string describe(const std::exception_ptr& e);

}  // namespace internal
}  // namespace nuncio
