// See http_gateway.hpp.
#include "simulation/http_gateway.hpp"

#include <algorithm>

namespace nuncio::simulation {

const bytes& pattern() {
  static const bytes all = [] {
    chance random{1};
    std::vector<std::uint8_t> out(std::size_t{8} << 20U);
    for (auto& x : out) x = static_cast<std::uint8_t>(random.next());
    return bytes{std::move(out)};
  }();
  return all;
}

to_host http_gateway::start() {
  protocol::to_envoy_request_start x;
  x.method = "POST";
  x.path = "/";
  x.stream = terms_.chunks;
  x.response_stream = terms_.credits;
  sent_ = terms_.chunks ? terms_.first : terms_.upload.size();
  finished_ = !terms_.chunks;
  if (sent_ != 0) x.body = bytes{terms_.upload.part(0, sent_)};
  return {next_++, std::move(x)};
}

to_host http_gateway::next_chunk(chance& random) {
  const auto most = std::min<std::uint64_t>({room(), rest(), terms_.chunk_max});
  const auto size = most == 0 ? 0 : random.percent(70) ? most : 1 + random.below(most);
  const bytes part{terms_.upload.part(sent_, size)};
  sent_ += size;
  finished_ = rest() == 0 && (size == 0 || random.percent(50));
  return {next_++, protocol::to_envoy_request_chunk{part, finished_}};
}

to_host http_gateway::cancel_upload() {
  stopped_ = true;
  return {next_++, protocol::to_envoy_request_body_cancel{}};
}

to_host http_gateway::leave() {
  end_ = end::left;
  return {next_++, protocol::to_envoy_request_abort{}};
}

std::optional<to_host> http_gateway::read(std::uint64_t most) {
  drained_ = std::min(received_, drained_ + most);
  if (!terms_.credits || end_ != end::none) return std::nullopt;
  return to_host{next_++, protocol::to_envoy_response_body_window_update{drained_}};
}

bool http_gateway::handle(const protocol::to_rivet_tunnel_message& message) {
  if (end_ == end::left || end_ == end::refused) return true;
  const auto index = message.message_id.message_index;
  if (!std::exchange(heard_, true) && index == terms_.said) expected_ = began_at_ = index;
  const auto ahead = static_cast<std::int16_t>(index - expected_);
  const auto& what = message.message_kind;
  // Ingress ends what its instance has begun, and does not know how far that was.
  if ((ahead != 0 || terms_.said != 0) &&
      std::holds_alternative<protocol::to_rivet_response_abort>(what)) {
    if (end_ == end::none) end_ = head_ ? end::cut : end::aborted;
    return true;
  }
  if (ahead < 0) return handle_repeated(what);
  must(ahead == 0, "tunnel", "the gateway saw a gap in the host's message indexes");
  must(end_ == end::none, "response", "something said after the end");
  ++expected_;
  std::visit([this](const auto& x) { take(x); }, what);
  return true;
}

bool http_gateway::handle_repeated(const protocol::to_rivet_tunnel_message_kind&) {
  if (terms_.strict && terms_.credits && end_ == end::none) end_ = end::refused;
  return false;
}

void http_gateway::take(const protocol::to_rivet_response_start& x) {
  must(!head_, "response", "a second head");
  must(!x.stream || terms_.credits, "response", "a stream to a gateway that takes none");
  head_ = true;
  streams_ = x.stream;
  status_ = x.status;
  if (x.body) take_body(*x.body);
  if (!streams_) end_ = end::clean;
}

void http_gateway::take(const protocol::to_rivet_response_chunk& x) {
  must(head_ && streams_, "response", "a chunk without a head that announces it");
  must(x.body.size() <= 65536, "response", "a chunk that is too long");
  take_body(x.body);
  if (x.finish) end_ = end::clean;
}

void http_gateway::take_body(const bytes& part) {
  const auto at = terms_.response_at + received_;
  received_ += part.size();
  // Its queue is as long as the window, and may still count the chunk that it gave credit for last.
  const auto counted = received_ - drained_ + (streams_ && drained_ != 0 ? 65536 : 0);
  must(
      !terms_.credits || counted <= window,
      "I13 backpressure",
      "more of a response than the window");
  // The host's own words, of another status, are not compared.
  must(
      status_ != 200 || bytes{pattern().part(at, part.size())} == part,
      "response",
      "the client got other bytes than were written");
}

void http_gateway::take(const protocol::to_rivet_response_abort&) {
  end_ = head_ ? end::cut : end::aborted;
}

void http_gateway::take(const protocol::to_rivet_request_body_window_update& x) {
  must(terms_.credits && terms_.chunks, "request", "credit where there is no window");
  must(x.consumed_bytes > credited_, "request", "a credit that is none");
  must(x.consumed_bytes <= sent_, "request", "credit for what was never sent");
  credited_ = x.consumed_bytes;
}

void http_gateway::take(const protocol::to_rivet_request_body_cancel&) {
  must(terms_.credits && terms_.chunks, "request", "an upload stopped that does not run");
  stopped_ = true;
}

}  // namespace nuncio::simulation
