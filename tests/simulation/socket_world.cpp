// One client WebSocket for each seed: a gateway that keeps unacked messages, a wire that is cut, and instances that take the
// client's messages in turn, sleep, crash and are restored from their records. Judges that each message is handled once and in
// order, and that no ack covers more than was handled.
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <nuncio/tunnel/socket_exchange.hpp>
#include <set>

#include "simulation/machine_run.hpp"

namespace nuncio::simulation {
namespace {

enum class socket_mode : std::uint8_t {
  plain,    ///< ends with its instance, needs no acks
  keeps,    ///< hibernates; what is not acked comes again to the next instance (docs/protocol.md M)
  resends,  ///< hibernates; what is not acked comes again after a cut, too
  modes
};

enum class socket_row : std::uint8_t {
  handled,
  said_before_accept,
  opened_again,
  duplicate,
  gap_ends_it,
  much_acked_at_once,
  acked_later,
  ack_lost,
  ack_repeated,
  acked_again,
  slept,
  woken_for_unacked,
  handled_by_the_next,
  consumed_before,
  crashed,
  handled_again_after_crash,
  no_record,
  cut_loses_message,
  lost_then_resent,
  skipped_while_restoring,
  gap_behind_record_ends_it,
  client_closed,
  host_closed,
  refused_to_send,
  client_indexes_wrapped,
  host_indexes_wrapped,
  all_acked,
  rows
};

const exchange_id the_socket{{{1, 1, 1, 1}}, {{2, 2, 2, 2}}};

class socket_world : machine_run<socket_row, socket_mode> {
public:
  socket_world(std::uint64_t seed, bool tracing) : machine_run(seed, tracing, socket_mode::modes) {}

  machine_result go() {
    return judge([this] {
      draw();
      open();
      for (int n = 0; n < busy_ && !closed_; ++n) step();
      settle();
    });
  }

private:
  using message = socket_session::message;

  /// What an instance has stored of its socket, and what the model knows of that.
  struct record {
    std::uint16_t next_index = 0;
    std::optional<std::uint16_t> consumed;
    bool exact = false;
    std::uint64_t consumed_number = 0;
  };

  void draw() {
    mode_ = static_cast<socket_mode>(random_.below(static_cast<std::uint64_t>(socket_mode::modes)));
    busy_ = 40 + static_cast<int>(random_.below(500));
    // The client's messages are numbered from 1; number 0 is the open.
    first_index_ =
        random_.percent(30) ? static_cast<std::uint16_t>(65'400 + random_.below(136)) : 0;
    accept_late_ = random_.percent(30);
    const auto some = [&](unsigned most) {
      return random_.percent(60) ? static_cast<unsigned>(random_.below(most)) : 0;
    };
    cut_permille_ = some(30);
    sleep_permille_ = some(30);
    crash_permille_ = some(15);
    save_permille_ = some(40);
    close_permille_ = random_.percent(20) ? some(10) : 0;
    burst_ = random_.percent(20) ? 90 : 4;
    talks_percent_ = random_.percent(50) ? 100 : 25;
  }

  [[nodiscard]] bool hibernates() const { return mode_ != socket_mode::plain; }

  void count(socket_row r) { seen_.count(r, mode_); }

  [[nodiscard]] std::uint16_t index_of(std::uint64_t number) const {
    return static_cast<std::uint16_t>(first_index_ + number);
  }

  /// The client's message that the index means: the last one of that index.
  [[nodiscard]] std::uint64_t number_of(std::uint16_t index) const {
    const auto back = static_cast<std::uint16_t>(index_of(newest_) - index);
    must(back <= newest_, "ack", "an index that the client never used");
    return newest_ - back;
  }

  // -- opening

  void open() {
    intake_ = socket_intake{first_index_};
    session_ = socket_session{the_socket};
    next_fresh_ = 1;
    said_ = 0;
    if (!accept_late_) accept();
  }

  void accept() {
    const auto early = session_->send(bytes{"early"}, true);
    must(
        !early && early.error().code == errc::invalid_argument, "socket", "said before the accept");
    must(!session_->close(close_normal, {}), "socket", "closed before the accept");
    auto accepted = session_->accept(hibernates());
    must(accepted.ok(), "socket", "an accept was refused");
    say(*accepted);
    must(!session_->accept(true).ok(), "socket", "accepted twice");
    if (hibernates()) save(false);
  }

  [[nodiscard]] bool opening() const {
    return session_ && session_->now_in() == socket_session::state::opening;
  }

  // The gateway does not know whether the open arrived, and repeats it: both sides begin anew.
  void open_again() {
    count(socket_row::opened_again);
    trace("opened again");
    to_host_.clear();
    mailbox_.clear();
    open();
    for (std::uint64_t n = 1; n <= newest_; ++n) to_host_.push_back(n);
  }

  // -- what the host says

  void say(const message& what) {
    ++steps_;
    must(what.message_id.message_index == said_, "socket", "indexes that are not consecutive");
    if (said_ == 65'535) count(socket_row::host_indexes_wrapped);
    ++said_;
    must(!closed_, "socket", "something said after the close");
    if (const auto* ack =
            std::get_if<protocol::to_rivet_web_socket_message_ack>(&what.message_kind)) {
      must(hibernates(), "ack", "one for a socket that does not hibernate");
      const auto number = number_of(ack->index);
      trace("host acks {}", number);
      must(number <= consumed_, "I6 acks honest", "an ack of what was not consumed");
      if (number <= highest_ack_) count(socket_row::acked_again);
      highest_ack_ = std::max(highest_ack_, number);
      acks_.push_back(ack->index);
      unacked_here_ = unacked_bytes_ = 0;
    }
  }

  void ack(bool now) {
    if (!session_) return;
    const auto what = session_->poll_ack(now);
    if (!what) {
      if (session_->now_in() != socket_session::state::open || !hibernates()) return;
      must(!now || unacked_here_ == 0, "ack", "what was consumed is not acked");
      return must(
          unacked_here_ < 64 && unacked_bytes_ < 262'144,
          "I13 backpressure",
          "much was consumed and nothing acked");
    }
    count(now ? socket_row::acked_later : socket_row::much_acked_at_once);
    say(*what);
    must(!session_->poll_ack(now), "ack", "the same ack twice");
  }

  void send() {
    if (!session_ || opening()) return;
    if (random_.percent(10)) {
      count(socket_row::refused_to_send);
      must(!session_->send(bytes{"\xff"}, false).ok(), "socket", "text that is no UTF-8");
      must(!session_->close(random_.percent(50) ? 1005 : 2999, {}).ok(), "socket", "a bad code");
      must(
          session_->now_in() == socket_session::state::open,
          "socket",
          "a close that was refused closes");
    }
    auto sent = session_->send(bytes{"text"}, random_.percent(50));
    must(sent.ok(), "socket", "a good message was refused");
    say(*sent);
  }

  // -- the client and its gateway

  void client_says() {
    if (opening()) count(socket_row::said_before_accept);
    for (auto n = 1 + random_.below(burst_); n > 0; --n) {
      ++newest_;
      if (index_of(newest_) == 0) count(socket_row::client_indexes_wrapped);
      unacked_.push_back(newest_);
      to_host_.push_back(newest_);
    }
  }

  void gateway_takes(std::uint16_t index) {
    ++steps_;
    while (!unacked_.empty() &&
           static_cast<std::int16_t>(index - index_of(unacked_.front())) >= 0) {
      must(
          handled_.contains(unacked_.front()) || skipped_.contains(unacked_.front()),
          "ack",
          "the gateway dropped what nobody handled");
      unacked_.pop_front();
    }
  }

  // -- ingress

  void deliver() {
    if (to_host_.empty() || !session_) return;
    ++steps_;
    const auto number = to_host_.front();
    to_host_.pop_front();
    trace("to host {}", number);
    using verdict = socket_intake::verdict;
    const auto given = intake_->handle_message(index_of(number));
    const auto due = !next_fresh_ || number == *next_fresh_ ? verdict::fresh
                     : number < *next_fresh_                ? verdict::duplicate
                                                            : verdict::lost;
    must(given == due, "intake", "another verdict than the order of the messages has");
    if (given == verdict::lost) return end_after_gap(number);
    if (given == verdict::duplicate) {
      count(socket_row::duplicate);
      return session_->handle_duplicate();
    }
    next_fresh_ = number + 1;
    mailbox_.push_back(number);
  }

  void end_after_gap(std::uint64_t number) {
    for (auto n = *next_fresh_; n < number; ++n)
      must(lost_numbers_.contains(n), "intake", "a gap that the wire did not make");
    count(socket_row::gap_ends_it);
    if (opening()) accept();
    close(close_failed);
  }

  // -- the instance

  void consume() {
    if (mailbox_.empty() || !session_ || opening() || closed_) return;
    ++steps_;
    const auto number = mailbox_.front();
    mailbox_.pop_front();
    if (session_->consumed_before(index_of(number))) {
      must(number <= consumed_, "socket", "a message is passed over that nobody handled");
      count(socket_row::consumed_before);
      return session_->handle_duplicate();
    }
    if (session_->skips_to(index_of(number))) {
      // Or an ack of a crashed instance came late: what it dealt with does not come again, but this one can't know.
      for (auto n = consumed_ + 1; n < number; ++n)
        must(
            lost_numbers_.contains(n) || (crashed_ && handled_.contains(n)),
            "socket",
            "a gap that the wire did not make");
      count(socket_row::gap_behind_record_ends_it);
      return close(close_failed);
    }
    handle(number);
    const auto recorded = session_->exact();
    const auto size = random_.percent(5) ? 70'000U : 100U;
    session_->handle_consumed(index_of(number), size);
    ++unacked_here_;
    unacked_bytes_ += size;
    consumed_ = number;
    if (recorded) save(false);
    ack(false);
  }

  void handle(std::uint64_t number) {
    trace("handled {}", number);
    const auto due = here_ ? *here_ + 1 : std::min(last_handled_, record_.consumed_number) + 1;
    if (!here_ && number > last_handled_ + 1 && skipping_) {
      count(socket_row::skipped_while_restoring);
      for (auto n = last_handled_ + 1; n < number; ++n)
        if (lost_numbers_.contains(n)) skipped_.insert(n);
    } else if (here_) {
      must(number == due, "order", "a message was handled out of turn");
    } else {
      must(number >= due && number <= last_handled_ + 1, "order", "a message was passed over");
    }
    const auto again = !handled_.insert(number).second;
    must(!again || crashed_, "exactly once", "a message was handled twice");
    count(again ? socket_row::handled_again_after_crash : socket_row::handled);
    if (!again && instance_ > 1) count(socket_row::handled_by_the_next);
    if (lost_numbers_.contains(number) && !again) count(socket_row::lost_then_resent);
    here_ = number;
    last_handled_ = std::max(last_handled_, number);
  }

  void save(bool exact) {
    record_ = {session_->next_index(), session_->consumed(), exact, consumed_};
    has_record_ = true;
  }

  void sleep() {
    if (!session_ || opening() || !hibernates()) return;
    count(socket_row::slept);
    trace("sleeps");
    ack(true);
    if (!session_->exact()) save(true);
    go_away();
  }

  void crash() {
    if (!session_ || opening() || !hibernates()) return;
    count(socket_row::crashed);
    trace("crashes");
    crashed_ = true;
    go_away();
  }

  // What the gateway had on its way goes to the next instance with all else that is not acked.
  void go_away() {
    session_.reset();
    mailbox_.clear();
    to_host_.clear();
  }

  void wake() {
    ++instance_;
    here_.reset();
    skipping_ = false;
    intake_ = socket_intake::restored();
    next_fresh_.reset();
    if (!unacked_.empty()) count(socket_row::woken_for_unacked);
    to_host_.assign(unacked_.begin(), unacked_.end());
    trace("woken, {} unacked", unacked_.size());
    if (!has_record_ || random_.permille(20)) {  // it could not be read
      count(socket_row::no_record);
      session_ = socket_session{the_socket, 0, std::nullopt};
      said_ = 0;
      return close(close_restart);
    }
    if (random_.percent(20))  // it has said much more
      record_.next_index = static_cast<std::uint16_t>(65'500 + random_.below(36));
    session_ = socket_session{the_socket, record_.next_index, record_.consumed, record_.exact};
    said_ = record_.next_index;
    consumed_ = record_.consumed_number;
    unacked_here_ = unacked_bytes_ = 0;
  }

  void close(std::uint16_t code) {
    auto what = session_->close(code, "why");
    must(what.ok(), "socket", "a good close was refused");
    say(*what);
    over();
  }

  void over() {
    closed_ = true;
    const auto late = session_->send(bytes{"late"}, true);
    must(!late && late.error().code == errc::cancelled, "socket", "said after the close");
    must(!session_->close(close_normal, {}).ok(), "socket", "closed twice");
    must(!session_->accept(true).ok(), "socket", "accepted after the close");
    if (!mailbox_.empty()) session_->handle_consumed(index_of(mailbox_.front()), 1);
    must(!session_->poll_ack(true), "ack", "one after the close");
  }

  // -- chance

  void cut() {
    for (const auto number : to_host_) {
      count(socket_row::cut_loses_message);
      lost_numbers_.insert(number);
      // Where a restored count should begin the host does not know: the one weakness that is excused here.
      skipping_ = skipping_ || (!next_fresh_ && mode_ == socket_mode::keeps);
    }
    to_host_.clear();
    if (mode_ == socket_mode::resends) {
      for (auto n = acks_.size(); n > 0; --n) count(socket_row::ack_lost);
      acks_.clear();
      to_host_.assign(unacked_.begin(), unacked_.end());
    } else if (!acks_.empty()) {  // it moves to the next connection, also if it had arrived
      count(socket_row::ack_repeated);
      gateway_takes(acks_.front());
    }
  }

  void step() {
    if (!session_ && (random_.percent(30) || !unacked_.empty())) wake();
    if (closed_) return;
    const auto x = random_.below(100);
    if (x < 15) {
      if (random_.percent(talks_percent_)) client_says();
    } else if (x < 45)
      deliver();
    else if (x < 70)
      consume();
    else if (x < 75)
      opening() ? accept() : ack(true);
    else if (x < 85)
      send();
    else if (!acks_.empty()) {
      gateway_takes(acks_.front());
      acks_.pop_front();
    }
    if (!closed_) spoil();
  }

  void spoil() {
    if (random_.permille(cut_permille_)) cut();
    if (random_.permille(sleep_permille_)) sleep();
    if (random_.permille(crash_permille_)) crash();
    if (!session_) return;
    if (opening() && random_.permille(20)) return open_again();
    if (random_.permille(save_permille_) && !opening() && hibernates()) save(session_->exact());
    if (!random_.permille(close_permille_) || opening()) return;
    if (random_.percent(50)) {
      count(socket_row::host_closed);
      return close(random_.percent(50) ? close_normal : 4000);
    }
    count(socket_row::client_closed);
    session_->handle_closed();
    over();
  }

  // -- the end

  // All that was said is handled, and its ack on its way.
  void hear() {
    for (auto n = to_host_.size(); n > 0 && !closed_; --n) deliver();
    if (closed_) return;
    if (opening()) accept();
    while (!mailbox_.empty() && !closed_) consume();
    if (closed_) return;
    ack(true);
  }

  void drain() {
    hear();
    if (!closed_ && random_.percent(30)) {  // once more, in the last moment
      cut();
      hear();
    }
    for (; !acks_.empty(); acks_.pop_front()) gateway_takes(acks_.front());
  }

  void settle() {
    if (closed_) return;
    if (!session_) wake();
    if (closed_) return;
    drain();
    if (closed_) return;
    // What a cut has taken comes again when the actor has slept.
    if (!unacked_.empty() && hibernates()) {
      sleep();
      wake();
      if (closed_) return;
      drain();
    }
    if (closed_) return;
    if (!hibernates())
      return must(handled_.size() == newest_ || !lost_numbers_.empty(), "liveness", "one waits");
    must(unacked_.empty(), "liveness", "the gateway keeps what was handled");
    count(socket_row::all_acked);
    for (std::uint64_t n = 1; n <= newest_; ++n)
      must(
          handled_.contains(n) || skipped_.contains(n),
          "exactly once",
          "a message was never handled");
  }

  socket_mode mode_{};
  int busy_ = 0;
  std::uint16_t first_index_ = 0;
  bool accept_late_ = false;
  std::uint64_t burst_ = 1;
  unsigned talks_percent_ = 100;
  unsigned cut_permille_ = 0, sleep_permille_ = 0, crash_permille_ = 0, save_permille_ = 0,
           close_permille_ = 0;

  // the gateway
  std::uint64_t newest_ = 0;
  std::deque<std::uint64_t> unacked_;
  // the wire
  std::deque<std::uint64_t> to_host_;
  std::deque<std::uint16_t> acks_;
  std::set<std::uint64_t> lost_numbers_;
  // the host
  std::optional<socket_intake> intake_;
  std::optional<socket_session> session_;
  std::deque<std::uint64_t> mailbox_;
  std::optional<std::uint64_t> next_fresh_;  // as the model has it
  std::uint16_t said_ = 0;
  record record_;
  bool has_record_ = false;
  bool closed_ = false;
  // what was seen
  int instance_ = 1;
  std::uint64_t consumed_ = 0, highest_ack_ = 0, last_handled_ = 0;
  std::uint64_t unacked_here_ = 0, unacked_bytes_ = 0;  // by this instance
  std::optional<std::uint64_t> here_;                   // the last that this instance handled
  std::set<std::uint64_t> handled_, skipped_;
  bool crashed_ = false, skipping_ = false;
};

}  // namespace

machine_simulation simulate_sockets() {
  using enum socket_row;
  tally::reasons impossible;
  const auto never = [&](socket_row r, socket_mode m, std::string_view why) {
    impossible[{static_cast<std::size_t>(r), static_cast<std::size_t>(m)}] = why;
  };
  for (const auto r :
       {much_acked_at_once,
        acked_later,
        ack_lost,
        ack_repeated,
        acked_again,
        slept,
        woken_for_unacked,
        handled_by_the_next,
        consumed_before,
        crashed,
        handled_again_after_crash,
        no_record,
        skipped_while_restoring,
        gap_behind_record_ends_it,
        all_acked})
    never(r, socket_mode::plain, "neither acks nor a second instance");
  for (const auto m : {socket_mode::plain, socket_mode::keeps})
    never(duplicate, m, "nothing comes twice to one instance");
  never(ack_lost, socket_mode::keeps, "an ack moves to the next connection");
  never(ack_repeated, socket_mode::resends, "an ack dies with its connection");
  never(skipped_while_restoring, socket_mode::resends, "what a cut has lost comes first again");
  never(host_indexes_wrapped, socket_mode::plain, "only a record tells of a long past");
  return {
      .run = &run_world<socket_world>,
      .rows =
          {"handled",
           "said before the accept",
           "opened again",
           "duplicate",
           "gap ends it",
           "much acked at once",
           "acked later",
           "ack lost",
           "ack repeated",
           "acked again",
           "slept",
           "woken for what is unacked",
           "handled by a later instance",
           "passed over: consumed before",
           "crashed",
           "handled again after a crash",
           "no record",
           "cut loses a message",
           "lost, then sent again",
           "skipped behind a restored count",
           "gap behind an exact record ends it",
           "client closed",
           "host closed",
           "refused to send",
           "client's indexes wrapped",
           "host's indexes wrapped",
           "all acked at the end"},
      .columns = {"plain", "keeps", "resends"},
      .impossible = std::move(impossible)};
}

}  // namespace nuncio::simulation
