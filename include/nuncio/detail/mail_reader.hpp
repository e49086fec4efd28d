// The base of engine_actor: an event-based actor with a virtual consume() that sees each message before CAF looks for a
// handler. CAF 0.17 allows this for every actor. CAF 1.1 does not, so there we take messages from the mailbox in a loop of our
// own. For the runtime.
#pragma once

#include <caf/invoke_message_result.hpp>
#include <nuncio/detail/caf.hpp>
#include <vector>

namespace nuncio::internal {

#if NUNCIO_CAF_1
class mail_reader : public caf::event_based_actor {
public:
  using event_based_actor::event_based_actor;
  ~mail_reader() override;

  resume_result resume(caf::scheduler* host, std::size_t messages_max) final;
  void on_cleanup(const caf::error& reason) final;

protected:
  /// @returns skipped to get `x` again after the next message
  virtual caf::invoke_message_result consume(caf::mailbox_element& x);

  /// What handles messages now: the handler of an awaited response, or the behavior.
  caf::behavior& current_behavior();

private:
  enum class turn : std::uint8_t { consumed, dropped, skipped, over };

  turn take(caf::mailbox_element& x);
  void fail(std::exception_ptr why);
  void put_back();

  std::vector<caf::mailbox_element_ptr> skipped_;
};
#else
using mail_reader = caf::event_based_actor;
#endif

}  // namespace nuncio::internal
