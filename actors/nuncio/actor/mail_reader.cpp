// See detail/mail_reader.hpp.
#include <nuncio/detail/mail_reader.hpp>

#if NUNCIO_CAF_1

#include <caf/actor_system.hpp>
#include <exception>

namespace nuncio::internal {

mail_reader::~mail_reader() = default;

caf::invoke_message_result mail_reader::consume(caf::mailbox_element& x) {
  return event_based_actor::consume(x);
}

caf::behavior& mail_reader::current_behavior() {
  return awaited_responses_.empty() ? bhvr_stack().back() : std::get<1>(awaited_responses_.front());
}

// Like scheduled_actor's own, except that it calls consume() above and keeps skipped messages here.
caf::resumable::resume_result mail_reader::resume(caf::scheduler* host, std::size_t messages_max) {
  if (!activate(host)) return done;
  std::size_t consumed = 0;
  while (consumed < messages_max) {
    auto next = mailbox().pop_front();
    if (!next) {
      if (!mailbox().try_block()) continue;  // one has arrived in between
      if (consumed != 0) set_receive_timeout();
      return awaiting_message;
    }
    switch (take(*next)) {
      case turn::consumed:
        ++consumed;
        put_back();
        break;
      case turn::dropped:
        break;
      case turn::skipped:
        skipped_.push_back(std::move(next));
        break;
      case turn::over:
        return done;
    }
  }
  if (consumed != 0) set_receive_timeout();
  return mailbox().try_block() ? awaiting_message : resume_later;
}

mail_reader::turn mail_reader::take(caf::mailbox_element& x) {
  // make_response_promise() answers this element, even if consume() does not call CAF.
  current_element_ = &x;
  try {
    switch (consume(x)) {
      case caf::invoke_message_result::dropped:
        return turn::dropped;
      case caf::invoke_message_result::skipped:
        return turn::skipped;
      case caf::invoke_message_result::consumed:
        bhvr_stack().cleanup();
        return finalize() ? turn::over : turn::consumed;
    }
  } catch (...) {
    fail(std::current_exception());
  }
  finalize();
  return turn::over;
}

void mail_reader::fail(std::exception_ptr why) {
  auto reason = exception_handler_(this, why);
  make_response_promise().deliver(reason);
  quit(std::move(reason));
}

// In order, before all messages that were not handled yet.
void mail_reader::put_back() {
  while (!skipped_.empty()) {
    mailbox().push_front(std::move(skipped_.back()));
    skipped_.pop_back();
  }
}

// The senders of skipped requests are notified by the mailbox, which CAF closes here.
void mail_reader::on_cleanup(const caf::error& reason) {
  put_back();
  event_based_actor::on_cleanup(reason);
}

}  // namespace nuncio::internal

#endif
