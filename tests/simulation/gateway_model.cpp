// See gateway_model.hpp.
#include "simulation/gateway_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace nuncio::simulation {

void client_tally::add(const client_tally& x) {
  answered += x.answered;
  sent_back += x.sent_back;
  given_up += x.given_up;
  accepted += x.accepted;
  closed_here += x.closed_here;
  said += x.said;
}

exchange_id gateway_model::exchange(std::uint32_t number) {
  exchange_id out{{{1, 2, 3, 4}}, {}};
  std::memcpy(out.request.value.data(), &number, sizeof number);
  return out;
}

std::uint32_t gateway_model::number(const request_id& id) {
  std::uint32_t out = 0;
  std::memcpy(&out, id.value.data(), sizeof out);
  return out;
}

void gateway_model::send(
    std::uint32_t n, std::uint16_t index, protocol::to_envoy_tunnel_message_kind kind) {
  const auto id = exchange(n);
  protocol::to_envoy_tunnel_message message;
  message.message_id = {id.gateway, id.request, index};
  message.message_kind = std::move(kind);
  to_.send(std::move(message));
}

// -- requests ---------------------------------------------------------------------

void gateway_model::request(const actor_ref& who) {
  const auto n = ++last_;
  auto& x = clients_[n];
  x.who = who;
  x.calm = calm_;
  x.slow = !calm_ && random_.percent(habits.long_ones ? 30 : 3);
  x.stalls = !calm_ && random_.percent(habits.long_ones ? 10 : 1);
  draw(x);
  start(n, x);
  if (calm_) return;
  if (random_.percent(8))
    time_.after(random_.between(0ms, 3s), side::engine, [this, n] { leave(n); });
  // Parts of two attempts would mix, and the gateway that repeats sends whole bodies in truth.
  if (x.asked.mode == http_mode::buffered && random_.percent(4))
    time_.after(random_.between(0ms, 3s), side::engine, [this, n] { start_again(n); });
}

void gateway_model::draw(client& x) {
  auto& a = x.asked;
  a.mode = random_.percent(40) ? http_mode::buffered : static_cast<http_mode>(1 + random_.below(3));
  if (a.mode == http_mode::joined && habits.parts) a.mode = http_mode::parts;
  // No gateway that takes whole responses only sends a body for a handler that takes it in parts.
  if (a.mode == http_mode::collected && habits.parts) a.mode = http_mode::buffered;
  a.plan =
      random_.percent(60)
          ? (random_.percent(50) ? answer_plan::whole : answer_plan::in_parts)
          : static_cast<answer_plan>(random_.below(static_cast<std::uint64_t>(answer_plan::plans)));
  a.early = a.mode == http_mode::parts && random_.percent(50);
  if (random_.percent(10)) a.said = static_cast<std::uint16_t>(65'500 + random_.below(36));
  a.upload = a.mode == http_mode::bodyless ? 0 : draw_size();
  a.upload_at = random_.below(1U << 20U);
  a.response = draw_size();
  a.response_at = random_.below(1U << 20U);
}

std::size_t gateway_model::draw_size() {
  const auto x = random_.below(100);
  if (x < 15) return 0;
  if (habits.long_ones && x < 50) return random_.below(x < 30 ? 1'200'000 : 3'200'000);
  return random_.below(x < 60 ? 40 : 4000);
}

void gateway_model::start(std::uint32_t n, client& x) {
  const auto& a = x.asked;
  ++x.attempts;
  http_gateway::terms t;
  t.chunks =
      a.mode == http_mode::collected || a.mode == http_mode::joined || a.mode == http_mode::parts;
  t.credits = t.chunks ? a.mode != http_mode::collected : a.mode == http_mode::bodyless;
  t.upload = a.body();
  t.chunk_max = std::clamp<std::size_t>(a.upload / (1 + random_.below(20)), 1, 65536);
  if (t.chunks && random_.percent(20))
    t.first = random_.below(std::min<std::uint64_t>(a.upload, http_gateway::window) + 1);
  t.response_at = a.response_at;
  t.said = a.said;
  t.strict = habits.strict;
  if (random_.percent(10)) t.index = static_cast<std::uint16_t>(65'500 + random_.below(36));
  x.http.emplace(std::move(t));
  auto what = x.http->start();
  auto& begin = std::get<protocol::to_envoy_request_start>(what.kind);
  begin.actor_id = x.who.actor;
  // The buffered gateway does not say which generation it means.
  if (x.http->how().credits || random_.percent(50)) begin.actor_generation = x.who.generation;
  begin.path = a.path();
  post(n, std::move(what));
  act_later(n, x);
}

void gateway_model::start_again(std::uint32_t n) {
  auto& x = clients_[n];
  if (x.gone || x.attempts == 4) return;
  to_.count(http_row::repeated_start, x.asked.mode);
  start(n, x);
}

void gateway_model::post(std::uint32_t n, to_host what) {
  time_.trace("gateway {} says {} #{}", n, what.kind.index(), what.index);
  std::visit([&](auto& kind) { send(n, what.index, std::move(kind)); }, what.kind);
}

void gateway_model::act_later(std::uint32_t n, client& x) {
  if (x.acting || x.gone || (!x.http->can_send() && !x.http->has_unread())) return;
  x.acting = true;
  const auto most = calm_ ? 100ms : x.slow || random_.percent(5) ? 4s : 300ms;
  time_.after(random_.between(0ms, most), side::engine, [this, n] { act(n); });
}

void gateway_model::act(std::uint32_t n) {
  auto& x = clients_[n];
  x.acting = false;
  if (x.gone || (x.stalls && random_.percent(30))) return;
  for (auto left = 1 + random_.below(12); left > 0 && x.http->can_send(); --left)
    post(n, x.http->next_chunk(random_));
  if (x.http->window_is_full()) to_.count(http_row::upload_window_full, x.asked.mode);
  if (x.http->has_unread())
    if (auto credit = x.http->read(1 + random_.below(x.slow ? 300'000 : 900'000)))
      post(n, std::move(*credit));
  if (!calm_) spoil(n, x);
  act_later(n, x);
}

void gateway_model::spoil(std::uint32_t n, client& x) {
  if (random_.permille(15) && x.http->can_cancel()) {
    to_.count(http_row::client_left_the_upload, x.asked.mode);
    x.upload_stopped = true;
    post(n, x.http->cancel_upload());
  }
}

void gateway_model::leave(std::uint32_t n) {
  auto& x = clients_[n];
  if (std::exchange(x.gone, true)) return;
  ++tally_.given_up;
  to_.count(http_row::client_left, x.asked.mode);
  auto what = x.http->leave();
  if (x.http->how().credits) post(n, std::move(what));  // the other gateway does not say so
}

void gateway_model::handle_http(
    std::uint64_t connection,
    std::uint32_t n,
    client& x,
    const protocol::to_rivet_tunnel_message& message) {
  const auto begun = x.http->begun();
  time_.trace(
      "gateway {} hears {} #{}", n, message.message_kind.index(), message.message_id.message_index);
  if (!x.http->handle(message)) to_.count(http_row::repeated_to_gateway, x.asked.mode);
  if (!begun && x.http->begun()) x.begun_on = connection;
  const auto* const cut = std::get_if<protocol::to_rivet_response_abort>(&message.message_kind);
  if (cut != nullptr && cut->reason.kind == protocol::http_stream_abort_reason_kind::cancelled)
    to_.count(http_row::ended_by_the_host, x.asked.mode);
  if (x.gone) return;
  if (x.http->ended() != http_gateway::end::none) return handle_end(connection, n, x);
  act_later(n, x);
}

void gateway_model::handle_end(std::uint64_t connection, std::uint32_t n, client& x) {
  const auto mode = x.asked.mode;
  if (x.http->wrapped()) to_.count(http_row::indexes_wrapped, mode);
  switch (x.http->ended()) {
    case http_gateway::end::clean:
      ++tally_.answered;
      check_clean(x);
      if (x.http->status() == 200 && x.begun_on != connection)
        to_.count(http_row::got_all_across_a_cut, mode);
      break;
    case http_gateway::end::aborted:
      ++tally_.sent_back;
      to_.count(http_row::sent_back, mode);
      if (!x.http->how().credits && random_.percent(70) && x.attempts < 4)
        return time_.after(random_.between(100ms, 2s), side::engine, [this, n] { start_again(n); });
      break;
    case http_gateway::end::cut:
      to_.count(http_row::cut_midway, mode);
      break;
    case http_gateway::end::refused:
      to_.count(http_row::gateway_cut_repeated, mode);
      post(n, x.http->abort());
      break;
    default:
      break;
  }
  x.gone = true;
  if (x.calm) check_calm(x);
}

void gateway_model::wrong(const client& x, const char* what) const {
  throw simulation::violated(
      "response",
      fmt::format(
          "{} ({} of {}:{}, status {}, {} of {} bytes, {} of the body sent, at most {})",
          what,
          x.asked.path().view(),
          x.who.actor.str(),
          x.who.generation,
          x.http->status(),
          x.http->received(),
          x.asked.response,
          x.http->sent(),
          habits.body_bytes_max));
}

void gateway_model::check_clean(const client& x) const {
  const auto& a = x.asked;
  const auto mode = a.mode;
  switch (x.http->status()) {
    case 200:
      to_.count(http_row::got_all, mode);
      if (a.fails()) wrong(x, "a whole response that no handler gave");
      if (x.http->received() != a.response) wrong(x, "the client did not get all of it");
      return;
    case 400:
      to_.count(http_row::refused_400, mode);
      if (!x.upload_stopped) wrong(x, "nobody gave up the upload");
      return;
    case 413:
      to_.count(http_row::refused_413, mode);
      if (a.upload <= habits.body_bytes_max) wrong(x, "the body was not too long");
      return;
    case 408:
      to_.count(http_row::ended_by_the_host, mode);
      if (x.calm) wrong(x, "its client was there");
      return;
    case 500:
      to_.count(http_row::got_500, mode);
      if (x.calm && habits.actors_stay && !a.fails()) wrong(x, "a failure without a reason");
      return;
    default:
      wrong(x, "a refusal without a reason");
  }
}

// Nothing was cut any more, and no actor failed.
void gateway_model::check_calm(const client& x) const {
  if (!habits.actors_stay) return;
  const auto& a = x.asked;
  if (x.http->ended() == http_gateway::end::cut && !a.fails()) wrong(x, "cut in the calm time");
  if (x.http->ended() != http_gateway::end::clean) return;
  if (a.upload > habits.body_bytes_max && a.mode != http_mode::parts) {
    if (x.http->status() != 413) wrong(x, "a body that is too long was not refused");
  } else if (!a.fails() && x.http->status() != 200 && a.upload <= habits.body_bytes_max) {
    wrong(x, "refused in the calm time");
  }
}

void gateway_model::check_answered() const {
  for (const auto& [n, x] : clients_)
    if (x.hibernates && !x.gone && !x.unacked.empty())
      to_.violated(
          "WebSocket",
          fmt::format(
              "client {}: {} was said in the calm time and not acked", n, x.unacked.front()));
  for (const auto& [n, x] : clients_)
    if (x.calm && !x.socket && !x.gone)
      to_.violated(
          "I12 nothing silent",
          fmt::format(
              "request {} of {}:{} was not answered: {}, {} of {} bytes",
              n,
              x.who.actor.str(),
              x.who.generation,
              x.asked.path().view(),
              x.http->received(),
              x.asked.response));
}

// What may have been lost with its connection comes again on the next one, but for what clients would get twice.
bool gateway_model::is_new(
    std::uint64_t connection, client& x, const protocol::to_rivet_tunnel_message& what) {
  const auto& kind = what.message_kind;
  const auto [at, first] =
      x.heard.try_emplace({what.message_id.message_index, kind.index()}, connection);
  if (first) return true;
  if (std::exchange(at->second, connection) == connection)
    to_.violated("tunnel", "the host said one thing twice on one connection");
  if (std::holds_alternative<protocol::to_rivet_web_socket_message>(kind))
    to_.violated("WebSocket", "a client got one message twice");
  return false;
}

void gateway_model::handle(
    std::uint64_t connection, const protocol::to_rivet_tunnel_message& message) {
  const auto n = number(message.message_id.request_id);
  const auto at = clients_.find(n);
  if (at == clients_.end()) return to_.violated("HTTP", "an answer to what nobody asked");
  auto& x = at->second;
  if (!x.socket) return handle_http(connection, n, x, message);
  const auto& kind = message.message_kind;
  // An instance that began anew from an older record may use an index again; its acks are totals.
  const bool total = std::holds_alternative<protocol::to_rivet_web_socket_message_ack>(kind);
  if (!total && !is_new(connection, x, message)) return;
  if (std::holds_alternative<protocol::to_rivet_web_socket_open>(kind)) {
    if (std::exchange(x.accepted, true))
      to_.violated("WebSocket", fmt::format("{} was accepted twice", n));
    ++tally_.accepted;
    x.hibernates = std::get<protocol::to_rivet_web_socket_open>(kind).can_hibernate;
    if (x.hibernates) x.awake = to_.runs(x.who);
    to_.count_socket(socket_row::accepted, x.hibernates);
    return say(n);
  }
  if (const auto* ack = std::get_if<protocol::to_rivet_web_socket_message_ack>(&kind))
    return handle_ack(n, x, ack->index);
  if (std::holds_alternative<protocol::to_rivet_web_socket_close>(kind)) {
    if (std::exchange(x.gone, true)) return;
    ++tally_.closed_here;
    to_.count_socket(socket_row::host_closed, x.hibernates);
  }
}

}  // namespace nuncio::simulation
