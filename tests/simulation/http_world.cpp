// One HTTP exchange for each seed: a gateway and its client, a wire that is cut, ingress and an instance that hand over the
// exchange, and a handler with random behaviour. Judges what the handler reads, what the host sends, and how it ends.
#include <fmt/format.h>

#include <deque>
#include <nuncio/tunnel/http_exchange.hpp>
#include <set>

#include "simulation/http_gateway.hpp"
#include "simulation/machine_run.hpp"

namespace nuncio::simulation {
namespace {

/// Which of the two gateways, and what the instance wants of the body (docs/protocol.md G.1).
enum class http_mode : std::uint8_t {
  buffered,   ///< whole both ways
  collected,  ///< the body comes in chunks without a window, the response goes whole
  bodyless,   ///< a stream back only
  joined,     ///< streams both ways; the handler gets the body whole
  parts,      ///< streams both ways; the handler gets it in parts
  modes
};

enum class http_row : std::uint8_t {
  read_whole,
  read_to_end,
  read_failed,
  upload_window_full,
  response_window_full,
  answered_whole,
  answered_above_window,
  moved_to_ingress,
  written_bit_by_bit,
  begun_before_upload_end,
  both_ways_at_once,
  written_too_much,
  upload_cancelled,
  refused_413,
  refused_400,
  response_too_large,
  response_invalid,
  failed_before_head,
  failed_midway,
  aborted_before_head,
  aborted_midway,
  repeated_start,
  client_left,
  client_left_the_upload,
  cut_loses_chunk,
  cut_loses_credit,
  repeated_to_host,
  repeated_to_gateway,
  gap_aborts,
  ended_by_the_host,
  indexes_wrapped,
  rows
};

enum class http_plan : std::uint8_t {
  whole,
  bits,
  too_large,
  invalid,
  fail_before,
  fail_midway,
  abort_before,
  abort_midway,
  silent,
  cancel_then_whole,
  plans
};

const exchange_id the_exchange{{{1, 2, 3, 4}}, {{5, 6, 7, 8}}};

class http_world : machine_run<http_row, http_mode> {
public:
  http_world(std::uint64_t seed, bool tracing) : machine_run(seed, tracing, http_mode::modes) {}

  machine_result go() {
    return judge([this] {
      draw();
      start();
      for (int n = 0; n < busy_ && (exchange_ || !to_gateway_.empty()); ++n) step();
      settle();
      check_end();
    });
  }

private:
  // -- what kind of run

  void draw() {
    mode_ = static_cast<http_mode>(random_.below(static_cast<std::uint64_t>(http_mode::modes)));
    plan_ =
        random_.percent(45)
            ? (random_.percent(50) ? http_plan::whole : http_plan::bits)
            : static_cast<http_plan>(random_.below(static_cast<std::uint64_t>(http_plan::plans)));
    if (plan_ == http_plan::cancel_then_whole && mode_ != http_mode::parts)
      plan_ = http_plan::whole;
    auto& t = terms_;
    t.chunks =
        mode_ == http_mode::collected || mode_ == http_mode::joined || mode_ == http_mode::parts;
    t.credits = mode_ != http_mode::buffered && mode_ != http_mode::collected;
    t.chunk_max = random_.percent(60) ? 65536 : 1 + random_.below(30'000);
    const auto size = mode_ == http_mode::bodyless ? 0 : draw_size(t.chunk_max / 20);
    t.upload = bytes{pattern().part(random_.below(1U << 20U), size)};
    if (t.chunks && random_.percent(10)) {
      const auto most = std::min<std::uint64_t>(size, http_gateway::window);
      t.first = random_.percent(20) ? most : random_.below(most + 1);
    }
    t.response_at = random_.below(1U << 20U);
    response_size_ = draw_size(3276);
    early_ = mode_ == http_mode::parts && random_.percent(60);
    draw_limits();
    draw_faults();
  }

  // Small chunks are worth their time in small bodies only.
  std::uint64_t draw_size(std::size_t scale) {
    const auto x = random_.below(100);
    if (x < 12) return 0;
    if (x < 40 || scale < 1000) return random_.below(60 * (scale + 1));
    return random_.below(x < 70 ? 1'200'000 : 3'200'000);
  }

  void draw_limits() {
    if (random_.percent(20)) options_.body_bytes_max = random_.below(300'000);
    if (plan_ == http_plan::too_large) options_.response_bytes_max = random_.below(1'200'000);
    options_.response_bytes_max =
        std::max(options_.response_bytes_max, plan_ == http_plan::too_large ? 0 : response_size_);
    options_.parts = mode_ == http_mode::parts;
    if (random_.percent(20)) terms_.index = static_cast<std::uint16_t>(65'500 + random_.below(36));
    if (random_.percent(20))
      past_ =
          static_cast<std::uint16_t>(65'500 + random_.below(36));  // messages, before the hand-over
  }

  void draw_faults() {
    busy_ = 60 + static_cast<int>(random_.below(600));
    if (random_.percent(50)) return;
    const auto some = [&] {
      return random_.percent(50) ? static_cast<unsigned>(random_.below(25)) : 0;
    };
    cut_permille_ = some();
    repeat_permille_ = some() * 2;
    leave_permille_ = random_.percent(30) ? some() : 0;
    give_up_permille_ = random_.percent(30) ? some() : 0;
    restart_permille_ = random_.percent(30) ? some() : 0;
  }

  void count(http_row r) { seen_.count(r, mode_); }

  // -- an attempt

  void start() {
    ++attempt_;
    gateway_.emplace(terms_);
    to_host_.clear();
    heard_before_.clear();
    to_gateway_.clear();  // the gateway has forgotten the attempt that they belong to
    said_ = 0;
    said_end_ = said_head_ = finished_ = false;
    said_bytes_ = credit_ = 0;
    taken_ = written_ = arrived_ = 0;
    read_end_ = read_failed_ = has_body_ = answering_ = answered_ = given_up_ = false;
    lost_ = false;
    allowed_.clear();
    auto begin = gateway_->start();
    auto& head = std::get<protocol::to_envoy_request_start>(begin.kind);
    heard_ = static_cast<std::uint16_t>(begin.index + 1);
    arrived_ = gateway_->sent();
    trace(
        "attempt {}: mode {}, plan {}, upload {} ({} at once), response {}",
        attempt_,
        static_cast<int>(mode_),
        static_cast<int>(plan_),
        terms_.upload.size(),
        terms_.first,
        response_size_);
    exchange_.emplace(the_exchange, options_);
    exchange_->handle_request_start(begin.index, head);
    must(!head.body, "request", "the start kept the body");
    look_for_413();
    if (exchange_->position().uploading) {
      if (const auto first = exchange_->poll_part()) take(*first);
      hand_over();
    }
    advance();
  }

  // The instance goes on where ingress stood. Nothing was said yet when the indexes are moved near their wrap.
  void hand_over() {
    auto at = exchange_->position();
    if (said_ == 0 && past_ != 0) {
      at.next_index = said_ = past_;
      gateway_->skip_to(past_);
    }
    exchange_.emplace(at, http_exchange_options{.response_bytes_max = options_.response_bytes_max});
    trace("handed over at {} and {}", at.next_index, at.inbound);
  }

  // -- what the host says

  void advance() {
    if (!exchange_) return;
    if (!has_body_)
      if (auto whole = exchange_->poll_body()) {
        take_whole(*whole);
        hand_over();
      }
    while (const auto message = exchange_->poll_transmit()) say(*message);
    check_held();
    if (!exchange_->done()) return;
    must(said_end_, "response", "an exchange that is done without an end");
    must(!exchange_->poll_transmit(), "response", "something to say after the end");
    exchange_.reset();
  }

  void say(const protocol::to_rivet_tunnel_message& message) {
    ++steps_;
    trace("host says {} #{}", message.message_kind.index(), message.message_id.message_index);
    must(message.message_id.message_index == said_, "tunnel", "indexes that are not consecutive");
    if (said_ == 65'535) count(http_row::indexes_wrapped);
    ++said_;
    must(!said_end_, "response", "something said after the end");
    if (const auto* head = std::get_if<protocol::to_rivet_response_start>(&message.message_kind)) {
      said_head_ = true;
      said_end_ = !head->stream;
      if (head->body && head->status == 200) said_bytes_ += head->body->size();
    } else if (
        const auto* chunk = std::get_if<protocol::to_rivet_response_chunk>(&message.message_kind)) {
      said_bytes_ += chunk->body.size();
      said_end_ = chunk->finish;
    } else if (std::holds_alternative<protocol::to_rivet_response_abort>(message.message_kind)) {
      said_end_ = true;
    } else if (
        const auto* credit =
            std::get_if<protocol::to_rivet_request_body_window_update>(&message.message_kind)) {
      must(
          credit->consumed_bytes <= (options_.parts ? taken_ : arrived_),
          "I13 backpressure",
          "credit for bytes that nobody has taken");
    }
    to_gateway_.push_back(message);
  }

  void check_held() {
    const auto held = exchange_->held();
    const auto request = options_.parts ? http_gateway::window : options_.body_bytes_max;
    const auto response =
        terms_.credits && exchange_->writing() ? http_gateway::window : options_.response_bytes_max;
    must(
        held <= (has_body_ || answering_ ? 0 : request) + (answering_ ? response : 0) +
                    (options_.parts && answering_ ? request : 0),
        "I13 backpressure",
        "more is held than the bounds allow");
    if (exchange_->writing() && terms_.credits)
      must(
          exchange_->room() == http_gateway::window - (written_ - said_bytes_),
          "I13 backpressure",
          "a writer is told another room than the window has");
  }

  // -- what the handler reads

  void take_whole(const bytes& body) {
    must(!has_body_, "request", "a body given twice");
    must(body == terms_.upload, "request", "the handler got another body than was sent");
    has_body_ = true;
    taken_ = body.size();
    count(http_row::read_whole);
  }

  void take(const request_part& part) {
    must(!read_end_, "request", "a part after the end");
    must(
        bytes{terms_.upload.part(taken_, part.data.size())} == part.data &&
            taken_ + part.data.size() <= arrived_,
        "request",
        "the handler got other bytes than were sent");
    taken_ += part.data.size();
    read_end_ = part.last || part.failed;
    must(!part.last || !part.failed, "request", "a part that is two ends");
    must(!part.last || taken_ == terms_.upload.size(), "request", "an end before all was given");
    must(!part.failed || gateway_->upload_stopped(), "request", "nobody gave up the upload");
    read_failed_ = part.failed;
    if (read_end_) count(part.last ? http_row::read_to_end : http_row::read_failed);
  }

  void look_for_413() {
    // What comes in parts has the window as its bound, but for what comes with the start.
    const auto joined = options_.parts ? terms_.first : arrived_;
    if (joined > options_.body_bytes_max && !has_body_ && !answering_)
      expect_refusal(413, http_row::refused_413);
  }

  void expect_refusal(std::uint16_t status, http_row r) {
    if (allowed_.insert(status).second) count(r);
    answering_ = answered_ = given_up_ = true;
  }

  // -- the wire to the host

  void deliver(const to_host& x) {
    if (!exchange_) return;
    ++steps_;
    trace("to host {} #{}", x.kind.index(), x.index);
    const auto ahead = static_cast<std::int16_t>(x.index - heard_);
    if (ahead < 0) count(http_row::repeated_to_host);
    const auto uploading = exchange_->uploading();
    if (const auto* chunk = std::get_if<protocol::to_envoy_request_chunk>(&x.kind)) {
      if (ahead == 0) arrived_ += chunk->body.size();
      exchange_->handle_request_chunk(x.index, *chunk);
      if (uploading && ahead == 0) look_for_413();
      if (uploading && ahead > 0) gap();
    } else if (std::holds_alternative<protocol::to_envoy_request_body_cancel>(x.kind)) {
      if (uploading && !options_.parts) expect_refusal(400, http_row::refused_400);
      exchange_->handle_body_cancel();
    } else if (
        const auto* credit = std::get_if<protocol::to_envoy_response_body_window_update>(&x.kind)) {
      if (uploading && ahead == 0) count(http_row::both_ways_at_once);
      exchange_->handle_window_update(credit->consumed_bytes, x.index);
      credit_ = credit->consumed_bytes;
    } else {
      exchange_.reset();  // as ingress does with a RequestAbort
      return;
    }
    if (ahead == 0) ++heard_;
    advance();
  }

  void gap() {
    must(lost_, "request", "a gap that the wire did not make");
    count(http_row::gap_aborts);
    given_up_ = answered_ = answering_ = true;
    advance();
    must(!exchange_ && said_end_, "request", "an exchange goes on without a part of its body");
  }

  void deliver_next() {
    const auto x = to_host_.front();
    to_host_.pop_front();
    heard_before_.push_back(x);
    if (heard_before_.size() > 8) heard_before_.pop_front();
    deliver(x);
  }

  void post(to_host x) {
    ++steps_;
    to_host_.push_back(std::move(x));
  }

  void cut() {
    // What is on its way to the host is lost; what the host said goes again, also if it had arrived.
    for (const auto& x : to_host_) {
      lost_ = true;
      if (std::holds_alternative<protocol::to_envoy_response_body_window_update>(x.kind))
        count(http_row::cut_loses_credit);
      if (std::holds_alternative<protocol::to_envoy_request_chunk>(x.kind))
        count(http_row::cut_loses_chunk);
    }
    to_host_.clear();
    unfenced_ -= random_.below(unfenced_ + 1);
  }

  // -- the wire to the gateway

  void deliver_said() {
    ++steps_;
    const auto new_one = gateway_->handle(to_gateway_[unfenced_++]);
    if (!new_one) count(http_row::repeated_to_gateway);
    if (gateway_->ended() == http_gateway::end::aborted && !terms_.credits && attempt_ < 4)
      return start_again();
  }

  void start_again() {
    count(http_row::repeated_start);
    unfenced_ = 0;
    start();
  }

  // -- the handler

  [[nodiscard]] bool may_answer() const {
    return has_body_ || (mode_ == http_mode::parts && (early_ || read_end_));
  }

  void turn() {
    if (!exchange_) return;
    for (auto n = random_.below(6); n > 0 && options_.parts && exchange_; --n) {
      const auto part = exchange_->poll_part();
      if (!part) break;
      ++steps_;
      take(*part);
    }
    if (!answered_ && may_answer()) answering_ ? go_on() : answer();
    advance();
  }

  protocol::to_rivet_response_start head() const {
    protocol::to_rivet_response_start x;
    x.status = 200;
    x.headers.entries.emplace_back("content-type", "x/y");
    return x;
  }

  bytes part_of_response(std::uint64_t size) const {
    return bytes{pattern().part(terms_.response_at + written_, size)};
  }

  void answer() {
    if (plan_ == http_plan::silent) return;
    ++steps_;
    answering_ = true;
    trace("the handler answers");
    switch (plan_) {
      case http_plan::whole:
        return respond();
      case http_plan::cancel_then_whole:
        exchange_->cancel_upload();
        if (!read_end_) count(http_row::upload_cancelled);
        read_end_ = true;
        return random_.percent(50) ? respond() : begin();
      case http_plan::too_large:
        if (mode_ == http_mode::buffered || mode_ == http_mode::collected)
          if (random_.percent(50)) return begin();
        return respond_too_large();
      case http_plan::invalid:
        return respond_badly();
      case http_plan::fail_before:
        count(http_row::failed_before_head);
        allowed_.insert(500);
        answered_ = given_up_ = true;
        return exchange_->fail("on purpose");
      case http_plan::abort_before:
        count(http_row::aborted_before_head);
        answered_ = given_up_ = true;
        return exchange_->abort();
      default:
        return begin();
    }
  }

  void respond() {
    auto x = head();
    if (response_size_ != 0) x.body = part_of_response(response_size_);
    must(exchange_->respond(std::move(x)).ok(), "response", "a good one was refused");
    written_ = response_size_;
    answered_ = finished_ = true;
    must(!exchange_->respond(head()).ok(), "response", "a second one was taken");
    const auto streams = terms_.credits && response_size_ > http_gateway::window;
    must(exchange_->streaming() == streams, "response", "in parts though it fits, or not");
    count(streams ? http_row::answered_above_window : http_row::answered_whole);
    // Ingress waits for the client instead of the instance; credit may have been on its way.
    if (!streams || random_.percent(50)) return;
    count(http_row::moved_to_ingress);
    auto moved = std::move(*exchange_);
    exchange_.emplace(std::move(moved));
    exchange_->handle_window_update(credit_);
  }

  void respond_too_large() {
    auto x = head();
    x.body = part_of_response(options_.response_bytes_max + 1);
    const auto taken = exchange_->respond(std::move(x));
    must(!taken && taken.error().code == errc::too_large, "response", "one above the limit");
    count(http_row::response_too_large);
    allowed_.insert(500);
    answered_ = given_up_ = true;
  }

  void respond_badly() {
    auto x = head();
    const auto what = random_.below(3);
    if (what == 0) x.status = random_.percent(50) ? 99 : 1000;
    if (what == 1) x.headers.entries.emplace_back("no token", "x");
    if (what == 2) x.headers.entries.emplace_back("Content-Type", "twice");
    const auto taken = random_.percent(50) ? exchange_->begin(x) : exchange_->respond(x);
    must(!taken, "response", "one that is no HTTP");
    count(http_row::response_invalid);
    allowed_.insert(500);
    answered_ = given_up_ = true;
  }

  void begin() {
    must(exchange_->begin(head()).ok(), "response", "a good head was refused");
    if (exchange_->uploading() && early_) count(http_row::begun_before_upload_end);
    if (random_.percent(50)) go_on();
  }

  void go_on() {
    const auto all =
        plan_ == http_plan::too_large ? options_.response_bytes_max + 1 : response_size_;
    const auto midway = written_ >= all / 2;
    if (plan_ == http_plan::fail_midway && midway) return fail_midway();
    if (plan_ == http_plan::abort_midway && midway) {
      count(http_row::aborted_midway);
      answered_ = given_up_ = true;
      return exchange_->abort();
    }
    for (auto n = 1 + random_.below(4); n > 0 && written_ < all; --n)
      if (!write(all - written_)) return;
    if (written_ < all) return;
    answered_ = finished_ = true;
    count(http_row::written_bit_by_bit);
    static_cast<void>(exchange_->finish());
  }

  bool write(std::uint64_t rest) {
    const auto room = exchange_->room();
    if (terms_.credits && room == 0) count(http_row::response_window_full);
    if (terms_.credits && random_.percent(3)) {
      const auto more = exchange_->write(bytes{pattern().part(0, room + 1)});
      must(!more && more.error().code == errc::queue_full, "I13 backpressure", "more than room()");
      count(http_row::written_too_much);
    }
    const auto most = std::min<std::uint64_t>(rest, random_.percent(30) ? 500 : 200'000);
    const auto size = std::min<std::uint64_t>(room, most - random_.below(most / 2 + 1));
    if (size == 0) return false;
    const auto taken = exchange_->write(part_of_response(size));
    if (written_ + size > options_.response_bytes_max && !terms_.credits) {
      must(!taken && taken.error().code == errc::too_large, "response", "one above the limit");
      count(http_row::response_too_large);
      allowed_.insert(500);
      answered_ = given_up_ = true;
      return false;
    }
    must(taken.ok(), "response", "a part within room() was refused");
    ++steps_;
    written_ += size;
    return true;
  }

  void fail_midway() {
    count(http_row::failed_midway);
    answered_ = given_up_ = true;
    if (!said_head_) allowed_.insert(500);
    exchange_->fail("on purpose");
  }

  // -- chance

  void step() {
    const auto x = random_.below(100);
    if (x < 25) {
      if (gateway_->can_send()) post(gateway_->next_chunk(random_));
      if (gateway_->window_is_full()) count(http_row::upload_window_full);
    } else if (x < 50) {
      if (!to_host_.empty()) deliver_next();
    } else if (x < 70) {
      turn();
    } else if (x < 88) {
      if (unfenced_ < to_gateway_.size()) deliver_said();
    } else if (gateway_->has_unread()) {
      read(1 + random_.below(400'000));
    }
    spoil();
  }

  void read(std::uint64_t most) {
    ++steps_;
    if (auto credit = gateway_->read(most)) post(std::move(*credit));
  }

  void spoil() {
    if (random_.permille(cut_permille_)) cut();
    if (random_.permille(repeat_permille_) && !heard_before_.empty()) {
      deliver(heard_before_.back());
      heard_before_.pop_back();
    }
    if (random_.permille(give_up_permille_) && gateway_->can_cancel()) {
      count(http_row::client_left_the_upload);
      post(gateway_->cancel_upload());
    }
    if (random_.permille(leave_permille_) && gateway_->ended() == http_gateway::end::none) {
      count(http_row::client_left);
      auto gone = gateway_->leave();
      if (terms_.credits) post(std::move(gone));  // the other gateway does not say so
    }
    if (random_.permille(restart_permille_) && !terms_.credits && !gateway_->begun() &&
        gateway_->ended() == http_gateway::end::none && attempt_ < 4)
      start_again();
  }

  // -- the end

  // Everybody goes on, and nothing is lost any more.
  void settle() {
    for (auto before = steps_ + 1; before != steps_;) {
      before = steps_;
      while (unfenced_ < to_gateway_.size()) deliver_said();
      while (!to_host_.empty()) deliver_next();
      if (gateway_->can_send()) post(gateway_->next_chunk(random_));
      for (int n = 0; n < 3; ++n) turn();
      if (gateway_->has_unread()) read(1U << 20U);
    }
    if (!exchange_) return;
    const auto excused = lost_ || plan_ == http_plan::silent ||
                         gateway_->ended() == http_gateway::end::left ||
                         (gateway_->upload_stopped() && !may_answer());
    must(excused, "liveness", "an exchange waits for ever though both sides are fair");
    give_up();
    while (unfenced_ < to_gateway_.size()) deliver_said();
  }

  // As ingress does when nothing has been heard for long.
  void give_up() {
    count(http_row::ended_by_the_host);
    given_up_ = true;
    if (answering_) {
      exchange_->abort(protocol::http_stream_abort_reason_kind::cancelled, "stalled");
    } else {
      allowed_.insert(408);
      exchange_->refuse(408, "stalled");
    }
    advance();
    must(!exchange_, "liveness", "an exchange goes on after its end");
  }

  void check_end() const {
    using end = http_gateway::end;
    switch (gateway_->ended()) {
      case end::none:
        throw violated("liveness", "the client waits for ever");
      case end::left:
        return;
      case end::clean:
        if (gateway_->status() != 200)
          return must(
              allowed_.contains(gateway_->status()), "response", "a refusal without a reason");
        must(finished_, "response", "a clean end that the handler did not write");
        return must(
            gateway_->received() == written_, "response", "the client did not get all of it");
      case end::cut:
      case end::aborted:
        must(given_up_, "response", "cut though nobody gave up");
    }
  }

  http_mode mode_{};
  http_plan plan_{};
  http_gateway::terms terms_;
  http_exchange_options options_;
  std::uint64_t response_size_ = 0;
  std::uint16_t past_ = 0;
  bool early_ = false;
  int busy_ = 0;
  unsigned cut_permille_ = 0, repeat_permille_ = 0, leave_permille_ = 0, give_up_permille_ = 0,
           restart_permille_ = 0;

  std::optional<http_gateway> gateway_;
  std::optional<http_exchange> exchange_;  // whoever has it now
  int attempt_ = 0;
  std::deque<to_host> to_host_;
  std::deque<to_host> heard_before_;
  std::vector<protocol::to_rivet_tunnel_message> to_gateway_;
  std::size_t unfenced_ = 0;  // how many of them have arrived
  bool lost_ = false;

  std::uint16_t said_ = 0, heard_ = 0;
  std::uint64_t said_bytes_ = 0, arrived_ = 0, credit_ = 0;
  bool said_head_ = false, said_end_ = false;

  std::uint64_t taken_ = 0, written_ = 0;
  bool has_body_ = false, read_end_ = false, read_failed_ = false;
  bool answering_ = false, answered_ = false, finished_ = false;
  bool given_up_ = false;            // by the handler or the host: a cut is no wonder
  std::set<std::uint16_t> allowed_;  // statuses of refusals
};

}  // namespace

machine_simulation simulate_http() {
  using enum http_row;
  using enum http_mode;
  tally::reasons impossible;
  const auto only = [&](http_row r, std::set<http_mode> in, std::string_view why) {
    for (std::size_t m = 0; m < static_cast<std::size_t>(modes); ++m)
      if (!in.contains(static_cast<http_mode>(m)))
        impossible[{static_cast<std::size_t>(r), m}] = why;
  };
  constexpr std::string_view no_chunks = "no chunks of a request here";
  constexpr std::string_view no_window = "no window here";
  constexpr std::string_view in_parts = "whole for some handlers, in parts for others";
  only(read_whole, {buffered, collected, bodyless, joined}, in_parts);
  for (const auto r : {read_to_end, read_failed, begun_before_upload_end, upload_cancelled})
    only(r, {parts}, in_parts);
  only(refused_400, {collected, joined}, in_parts);
  only(both_ways_at_once, {parts}, "the response can't begin before the whole request is there");
  only(refused_413, {buffered, collected, joined, parts}, "no body");
  for (const auto r : {gap_aborts, cut_loses_chunk, client_left_the_upload})
    only(r, {collected, joined, parts}, no_chunks);
  only(repeated_to_host, {collected, bodyless, joined, parts}, "the gateway says one thing only");
  only(upload_window_full, {joined, parts}, no_window);
  for (const auto r :
       {response_window_full,
        written_too_much,
        answered_above_window,
        moved_to_ingress,
        cut_loses_credit})
    only(r, {bodyless, joined, parts}, no_window);
  only(repeated_start, {buffered, collected}, "the streaming gateway does not try again");
  return {
      .run = &run_world<http_world>,
      .rows =
          {"body read whole",
           "body read in parts to its end",
           "reader told of a failed upload",
           "upload waits for the window",
           "writer waits for the window",
           "answered whole",
           "answered above the window",
           "response handed to ingress",
           "written bit by bit",
           "begun before the upload's end",
           "credit between chunks",
           "written above room()",
           "upload cancelled",
           "refused 413",
           "refused 400",
           "response too large",
           "response invalid",
           "failed before the head",
           "failed midway",
           "aborted before the head",
           "aborted midway",
           "repeated start",
           "client left",
           "client left the upload",
           "cut loses a chunk",
           "cut loses a credit",
           "repeated to the host",
           "repeated to the gateway",
           "gap aborts",
           "ended by the host",
           "indexes wrapped"},
      .columns = {"buffered", "collected", "bodyless", "joined", "parts"},
      .impossible = std::move(impossible)};
}

}  // namespace nuncio::simulation
