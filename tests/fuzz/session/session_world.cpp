// See session_world.hpp.
#include "session/session_world.hpp"

#include <fmt/format.h>

#include <nuncio/codec.hpp>
#include <nuncio/connection/wire_limits.hpp>
#include <nuncio/json.hpp>

#include "session/odd_answers.hpp"

namespace nuncio::fuzz {
namespace {

using namespace std::chrono_literals;
using test::exchange;

constexpr std::array<std::string_view, 4> actors{"a", "b", "c", "d"};
constexpr std::uint8_t exchanges = 6;
constexpr duration ping_interval = 3s;

// The same as number + n, at the ends too.
std::int64_t after(std::int64_t number, std::int64_t n) {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  return number > most - n ? most : number + n;
}

bool is_storage(const protocol::to_rivet& x) {
  return std::visit(
      []<class T>(const T& message) {
        return requires { message.request_id; };
      },
      x);
}

std::uint32_t id_of(const protocol::to_rivet& x) {
  return std::visit(
      []<class T>(const T& message) -> std::uint32_t {
        if constexpr (requires { message.request_id; })
          return message.request_id;
        else
          return 0;
      },
      x);
}

actor_id owner_of(const protocol::to_rivet& x) {
  return std::visit(
      []<class T>(const T& message) -> actor_id {
        if constexpr (requires { message.actor_id; })
          return message.actor_id;
        else if constexpr (requires { message.data.actor_id; })
          return message.data.actor_id;
        else
          return {};
      },
      x);
}

}  // namespace

ingress_options world::options_of(session_head head, guest_book& book) {
  ingress_options out;
  out.factories = guest_factories(book);
  if ((head.modes & session_head::small_bounds) != 0) {
    out.requests_max = 2;
    out.host_requests_max = 3;
    out.request_bytes_max = out.host_request_bytes_max = 512 << 10;
    out.sockets_max = 2;
    out.host_sockets_max = 3;
  }
  return out;
}

world::world(test::sim_system& system, session_head head)
    : head_(head),
      version_(static_cast<std::uint16_t>(3 + head.version % 6)),
      host_(options_of(head, book_), &system),
      at_once_((head.modes & session_head::stores) != 0 ? SIZE_MAX : 0) {
  book_.counts = host_.counts.get();
  host_.link->version = version_;
  host_.boot(false);
  connect(0);
}

world::~world() { host_.end(); }

void world::play(std::span<const step> steps) {
  for (const auto& x : steps) {
    if (over_) return;
    // I4: a Start of an instance that lives, when nothing else is on its way.
    const auto present = settled_ ? book_.present : decltype(book_.present){};
    const auto before = host_.stats();
    const auto commands = commands_.size();
    play_one(x);
    settled_ = false;
    if ((x.kind & step::joins_next) != 0) continue;
    const auto alone = batch_.size() == 1 && commands_.size() == commands + 1;
    deliver_batch();
    if ((x.kind & step::unsettled) != 0) continue;
    settle();
    settled_ = true;
    if (!alone || over_ ||
        !std::holds_alternative<protocol::command_start_actor>(commands_.back().inner))
      continue;
    const auto& at = commands_.back().checkpoint;
    const auto was = present.find({at.actor_id, at.generation});
    if (was == present.end()) continue;
    const auto is = book_.present.find(was->first);
    expect(
        is != book_.present.end() && is->second == was->second,
        "I4 no clobber: a Start again ended a live actor");
    const auto after = host_.stats();
    expect(
        after.requests_open == before.requests_open && after.sockets_open == before.sockets_open,
        "I4 no clobber: a Start again took a live actor's requests or WebSockets");
  }
  deliver_batch();
  settle();
  if (!over_) finish();
}

void world::play_one(const step& x) {
  if (trace_)
    fmt::print(
        stderr,
        "{} actor={} generation={} index={} exchange={} what={} size={} number={}{}{}\n",
        name_of(x.means()),
        x.actor,
        x.generation,
        x.index,
        x.exchange,
        x.what,
        x.size,
        x.number,
        (x.kind & step::joins_next) != 0 ? " joins next" : "",
        (x.kind & step::unsettled) != 0 ? " unsettled" : "");
  switch (x.means()) {
    case step_kind::start:
      return start(x);
    case step_kind::stop:
      return stop(x);
    case step_kind::replay_command:
      if (!commands_.empty()) command(commands_[x.number % commands_.size()]);
      return;
    case step_kind::ack_events:
      return ack_events(x);
    case step_kind::ping:
      return ping(x);
    case step_kind::request:
      return request(x);
    case step_kind::request_part:
      return tunnel(x, protocol::to_envoy_request_chunk{body_of(x), (x.what & 1) != 0});
    case step_kind::request_abort:
      return tunnel(
          x,
          protocol::to_envoy_request_abort{
              std::nullopt,
              std::nullopt,
              {static_cast<protocol::http_stream_abort_reason_kind>(x.what % 4), text{"why"}}});
    case step_kind::body_cancel:
      return tunnel(x, protocol::to_envoy_request_body_cancel{});
    case step_kind::window_update:
      return tunnel(
          x,
          protocol::to_envoy_response_body_window_update{
              (x.what & 1) != 0 ? static_cast<std::uint64_t>(edge(x.number))
                                : std::uint64_t{x.number} * 16384});
    case step_kind::socket_open:
      return open_socket(x);
    case step_kind::socket_message:
      return say_on_socket(x);
    case step_kind::socket_close: {
      protocol::to_envoy_web_socket_close close;
      if ((x.what & 1) != 0) close.code = static_cast<std::uint16_t>(edge(x.number));
      if ((x.what & 2) != 0) close.reason = text{std::string(x.size, 'r')};
      return tunnel(x, close);
    }
    case step_kind::answer_storage:
      return answer_storage(x);
    case step_kind::cut:
      deliver_batch();
      host_.cut();
      read_sent();
      // Of what storage was asked last it has done all, or nothing.
      if ((x.size & 1) != 0)
        for (const auto& each : storage_) static_cast<void>(answer_to(each, 0, 0));
      return connect(x.what);
    case step_kind::swap_connection:
      deliver_batch();
      read_sent();
      host_.swap_connection();
      judge_.handle_connection(host_.connection());
      storage_.clear();
      return say(protocol::to_envoy_init{{15'000, 1'800'000, 20'971'520}});
    case step_kind::pass_time:
      return pass_time(x);
    case step_kind::tell:
      return tell(x);
    case step_kind::init:
      return say(protocol::to_envoy_init{
          {edge(x.number), edge(x.size), static_cast<std::uint64_t>(edge(x.what))}});
    case step_kind::lease_end:
      deliver_batch();
      return end_lease();
    case step_kind::drain:
      deliver_batch();
      draining_ = true;
      host_.to_ingress(internal::drain{host_.sim.now() + std::chrono::seconds{x.number}});
      return;
    case step_kind::no_room:
      return refuse(x);
    case step_kind::hold:
      read_sent();  // with what was in force when it was sent
      host_.hold_fences = (x.what & 1) != 0;
      if ((x.what & 2) != 0)
        host_.link->auto_written = false;
      else
        release_written();
      return;
    case step_kind::store:
      at_once_ = x.number % 64 == 63 ? SIZE_MAX : x.number % 64;
      at_once_how_ = x.what;
      return;
    case step_kind::too_long:
      return say_too_long(x);
    case step_kind::kinds:
      return;
  }
}

// -- commands -----------------------------------------------------------------------

actor_ref world::choose(const step& x) {
  const actor_id id{actors[x.actor % actors.size()]};
  auto& newest = newest_[id];
  if (newest == 0) newest = 1;
  std::uint32_t generation = newest;
  switch (x.generation % 8) {
    case 5:
      generation = newest == std::numeric_limits<std::uint32_t>::max() ? newest : newest + 1;
      break;
    case 6:
      generation = newest - 1;
      break;
    case 7:
      generation = static_cast<std::uint32_t>(edge(x.number));
      break;
    default:
      break;
  }
  return {id, generation};
}

std::int64_t world::choose_index(const step& x, std::int64_t last) const {
  switch (x.index % 10) {
    case 4:
      return last;
    case 5:
      return 1;
    case 6:
      return after(last, 2);
    case 7:
      return 2;
    case 8:
      return edge(x.number);
    case 9:
      return x.number;
    default:
      return after(last, 1);
  }
}

// When the engine allocated `who`: before its first command, and before any newer generation.
engine_ms world::created(const step& x, const actor_ref& who) {
  auto out = host_.sim.engine_now();
  if (x.size % 8 == 4) out -= 5'000;
  if (x.size % 8 == 5) out -= 27'000;
  if (x.size % 8 == 6) out -= 29'500;
  if (x.size % 8 == 7) out = edge(x.number);
  for (auto newer = commanded_.upper_bound(who);
       newer != commanded_.end() && newer->first.actor == who.actor;
       ++newer)
    if (newer->second.create_ts) out = std::min(out, *newer->second.create_ts);
  return out;
}

const world::commanded& world::allocate(const step& x, const actor_ref& who) {
  auto& known = commanded_[who];
  if (!known.create_ts) {
    known.create_ts = created(x, who);
    if (*known.create_ts > host_.sim.engine_now()) judge_.handle_lie();
  }
  return known;
}

void world::start(const step& x) {
  const auto who = choose(x);
  newest_[who.actor] = std::max(newest_[who.actor], who.generation);
  const auto first = !commanded_.contains(who);
  const auto older = commanded_.lower_bound({who.actor, 0});
  const auto alone = older == commanded_.end() || older->first.actor != who.actor;
  const auto& known = allocate(x, who);
  const auto index = choose_index(x, known.last);
  const auto heard = first && must_be_heard(who);
  protocol::command_start_actor start;
  start.config.name = text{guest_names.named(x.what)};
  start.config.create_ts = *known.create_ts;
  if ((x.exchange & 1) != 0) start.config.key = text{"key"};
  if ((x.exchange & 2) != 0) start.config.input = body_of(x);
  if ((x.exchange & 4) != 0) {
    const auto id = exchange(x.exchange % exchanges);
    start.hibernating_requests.push_back({id.gateway, id.request});
    judge_.handle_socket(id);
  }
  if ((x.exchange & 8) != 0) {
    auto& preloaded = start.preloaded_kv.emplace();
    preloaded.entries.push_back({bytes{"key"}, body_of(x), {bytes{"1"}, 1}});
    preloaded.requested_get_keys.push_back(bytes{"key"});
    if ((x.exchange & 16) != 0) preloaded.requested_prefixes.push_back(bytes{"k"});
  }
  const auto name = start.config.name;
  command({{who.actor, who.generation, index}, std::move(start)});
  if (heard) judge_.handle_fresh_start(who, alone && (name == "nobody" || name == "broken"));
}

// Whether a first Start of `who` that comes now is fresh, and nothing keeps it from being carried out.
bool world::must_be_heard(const actor_ref& who) const {
  const auto now = host_.sim.engine_now();
  const auto created = *commanded_.at(who).create_ts;
  const auto newer = commanded_.upper_bound(who);
  return clock_known_ && !draining_ && host_.link->connection != 0 && created <= now &&
         created >= now - 20'000 && (newer == commanded_.end() || newer->first.actor != who.actor);
}

void world::stop(const step& x) {
  const auto who = choose(x);
  const auto index = choose_index(x, allocate(x, who).last);
  judge_.handle_stop(who);
  command(
      {{who.actor, who.generation, index},
       protocol::command_stop_actor{static_cast<protocol::stop_actor_reason>(x.what % 5)}});
}

void world::command(protocol::command_wrapper what) {
  const auto& at = what.checkpoint;
  auto& known = commanded_[{at.actor_id, at.generation}];
  known.last = std::max(known.last, at.index);
  commands_.push_back(what);
  unacked_.store(at, what.inner);
  deliver_command(std::move(what));
}

void world::deliver_command(protocol::command_wrapper what) {
  judge_.handle_command(what.checkpoint, clock_known_);
  // Those that follow each other in one batch come in one message.
  auto* const last =
      batch_.empty() ? nullptr : std::get_if<protocol::to_envoy_commands>(&batch_.back());
  if (last != nullptr)
    last->commands.push_back(std::move(what));
  else
    say(protocol::to_envoy_commands{{std::move(what)}});
}

void world::ack_events(const step& x) {
  const auto who = choose(x);
  const auto last = events_.contains(who) ? events_.at(who) : 0;
  say(protocol::to_envoy_ack_events{{{who.actor, who.generation, choose_index(x, last)}}});
}

// -- connection and time ------------------------------------------------------------

void world::connect(std::uint8_t replay) {
  storage_.clear();
  judge_.handle_connection(host_.connection() + 1);
  host_.open();
  ++delivered_;
  if (replay % 3 == 1)
    for (auto& each : unacked_.replay()) deliver_command(std::move(each));
  if (replay % 3 == 2)
    for (const auto& each : commands_) deliver_command(each);
  if (replay < 0x80) say(protocol::to_envoy_ping{host_.sim.engine_now()});
}

void world::ping(const step& x) {
  auto ts = host_.sim.engine_now();
  if (x.what % 8 == 6) ts -= std::int64_t{x.number} * 100;
  if (x.what % 8 == 7) ts = edge(x.number);
  if (std::abs(static_cast<double>(ts) - static_cast<double>(host_.sim.engine_now())) > 2'000)
    judge_.handle_lie();
  say(protocol::to_envoy_ping{ts});
}

void world::pass_time(const step& x) {
  constexpr std::array<duration, 8> spans{10ms, 200ms, 1s, 3s, 12s, 31s, 61s, 11min};
  deliver_batch();
  settle();
  auto left = spans[x.what % spans.size()];
  const auto pings = (x.what & 8) == 0;
  while (left > 0ns && !over_) {
    const auto part = std::min(left, left > 1min ? duration{20s} : ping_interval);
    host_.sim.pass(part);
    left -= part;
    settle();
    if (!pings || over_ || host_.link->connection == 0) continue;
    say(protocol::to_envoy_ping{host_.sim.engine_now()});
    deliver_batch();
    settle();
  }
}

void world::end_lease() {
  ++host_.term;
  host_.to_ingress(internal::lease_ended{});
  host_.cut();
  read_sent();
  connect(1);
}

void world::refuse(const step& x) {
  const failure full{errc::queue_full, "no room"};
  auto& link = *host_.link;
  link.room_for_bodies = (x.what & 1) == 0;
  link.refuse_tunnel = (x.what & 2) != 0 ? std::optional{full} : std::nullopt;
  link.refuse_storage = (x.what & 4) != 0 ? std::optional{full} : std::nullopt;
  host_.tell_of_room();
}

void world::release_written() {
  auto& link = *host_.link;
  link.auto_written = true;
  for (const auto& each : std::exchange(unreported_, {}))
    if (each.first == link.connection) link.to_report.push_back(each);
}

void world::tell(const step& x) {
  const auto at = book_.present.find(choose(x));
  if (at == book_.present.end()) return;
  if (const auto to = caf::actor_cast<caf::actor>(at->second))
    caf::anon_send(to, std::string{guest_orders[x.what % guest_orders.size()]});
}

// -- tunnel -------------------------------------------------------------------------

exchange_id world::exchange_of(const step& x) { return exchange(x.exchange % exchanges); }

bytes world::body_of(const step& x) {
  const auto size = x.size < 200 ? x.size : (std::size_t{x.size} - 199) * 20'000;
  return bytes{std::string(size, static_cast<char>('a' + x.number % 26))};
}

std::uint16_t world::tunnel_index(const step& x, const exchange_id& id) {
  auto& next = next_index_[id];
  switch (x.index % 8) {
    case 5:
      return static_cast<std::uint16_t>(next - 1);
    case 6:
      return static_cast<std::uint16_t>(next + 1);
    case 7:
      return static_cast<std::uint16_t>(edge(x.number));
    default:
      return next++;
  }
}

void world::tunnel(const step& x, protocol::to_envoy_tunnel_message_kind what) {
  const auto id = exchange_of(x);
  say(protocol::to_envoy_tunnel_message{
      {id.gateway, id.request, tunnel_index(x, id)}, std::move(what)});
}

void world::request(const step& x) {
  const auto who = choose(x);
  protocol::to_envoy_request_start start;
  start.actor_id = who.actor;
  if ((x.index & 8) != 0) {
    start.actor_generation = who.generation;
    judge_.handle_asked(who);
  }
  start.method = text{(x.index & 16) != 0 ? "POST" : "GET"};
  start.path = text{guest_paths.named(x.what)};
  start.stream = (x.index & 32) != 0;
  start.response_stream = (x.index & 64) != 0;
  if (x.size != 0) start.body = body_of(x);
  const auto id = exchange_of(x);
  next_index_[id] = 1;
  judge_.handle_request(id);
  say(protocol::to_envoy_tunnel_message{
      {id.gateway,
       id.request,
       (x.index & 7) == 7 ? static_cast<std::uint16_t>(edge(x.number)) : std::uint16_t{0}},
      std::move(start)});
}

void world::open_socket(const step& x) {
  const auto who = choose(x);
  protocol::to_envoy_web_socket_open open;
  open.actor_id = who.actor;
  if ((x.index & 8) != 0) {
    open.actor_generation = who.generation;
    judge_.handle_asked(who);
  }
  open.path = text{guest_sockets.named(x.what)};
  open.headers.entries.emplace_back("user-agent", std::string(x.size, 'u'));
  const auto id = exchange_of(x);
  next_index_[id] = 1;
  judge_.handle_socket(id);
  say(protocol::to_envoy_tunnel_message{{id.gateway, id.request, 0}, std::move(open)});
}

void world::say_on_socket(const step& x) {
  constexpr std::string_view firsts{"ekcstz"};
  auto said = std::string{body_of(x).view()};
  if (!said.empty()) said.front() = firsts[x.what % firsts.size()];
  tunnel(x, protocol::to_envoy_web_socket_message{bytes{std::move(said)}, (x.what & 64) != 0});
}

// -- storage ------------------------------------------------------------------------

// How, modulo 4: 0 as the engine does, 1 with an error, 2 with an answer to something else, 3 with one that is out of shape;
// the rest of it says which.
protocol::to_envoy world::answer_to(
    const protocol::to_rivet& request, std::uint8_t how, std::uint8_t number) {
  const auto which = static_cast<std::uint8_t>(how / 4);
  if (how % 4 != 0) book_.store_is_honest = false;
  if (how % 4 == 2) return answer_of_kind(id_of(request), which);
  // An error says nothing of what was done.
  const auto idle = how % 4 == 1 && which < 32;
  test::fake_store nothing;
  auto out = (idle ? nothing : stores_[owner_of(request)]).carry_out(request);
  if (how % 4 == 1) fuzz::refuse(out, which);
  if (how % 4 == 3) distort(out, which, number);
  return out;
}

void world::answer_storage(const step& x) {
  if (storage_.empty() || x.exchange % 8 == 7) {  // an answer to nothing
    say(answer_of_kind(static_cast<std::uint32_t>(edge(x.number)), x.what));
    return;
  }
  const auto at = storage_.begin() + x.number % static_cast<std::ptrdiff_t>(storage_.size());
  say(answer_to(*at, x.what, x.size));
  if ((x.index & 3) != 3) {
    storage_.erase(at);
  } else {  // it is answered again
    book_.store_is_honest = false;
  }
}

// -- delivering, and looking at what comes of it --------------------------------------

void world::say(protocol::to_envoy message) {
  if (trace_) fmt::print(stderr, "  {}\n", protocol::to_json(message, 8).substr(0, 300));
  batch_.push_back(std::move(message));
}

// What another step would say, as the link hands on what it can't take.
void world::say_too_long(const step& x) {
  constexpr std::array kinds{
      step_kind::request,
      step_kind::request_part,
      step_kind::request_abort,
      step_kind::body_cancel,
      step_kind::window_update,
      step_kind::socket_open,
      step_kind::socket_message,
      step_kind::socket_close,
      step_kind::answer_storage};
  deliver_batch();
  auto said = x;
  said.kind = of(kinds[x.what % kinds.size()]);
  said.what = x.what / kinds.size();
  play_one(said);
  const auto whole = over_the_wire(batch_.back());
  batch_.clear();
  if (!whole) return;
  too_long_ = test::sim_host::head_of(*whole, version_);
  book_.store_is_honest = book_.store_is_honest && !answers_storage(*too_long_);
}

// As the link would hand it on: what a version does not have is not there.
std::optional<protocol::to_envoy> world::over_the_wire(const protocol::to_envoy& message) const {
  auto encoded = protocol::encode(message, version_);
  if (!encoded) return std::nullopt;
  auto decoded = protocol::decode_to_envoy(bytes{std::move(*encoded)}, version_);
  expect(decoded.ok(), "what was encoded does not decode");
  keep_in_range(*decoded);
  return std::move(*decoded);
}

void world::deliver_batch() {
  if (host_.link->connection == 0) too_long_.reset();
  std::vector<protocol::to_envoy> out;
  if (too_long_ && answers_storage(*too_long_)) host_.batch({}, std::exchange(too_long_, {}));
  for (auto& each : std::exchange(batch_, {})) {
    auto message = over_the_wire(each);
    if (!message || host_.link->connection == 0) continue;
    ++delivered_;
    if (std::holds_alternative<protocol::to_envoy_ping>(*message)) {
      clock_known_ = true;
      judge_.handle_clock_known();
    }
    if (answers_storage(*message))
      host_.batch({std::move(*message)});
    else
      out.push_back(std::move(*message));
  }
  if (!out.empty() || too_long_) host_.batch(std::move(out), std::exchange(too_long_, {}));
}

void world::settle() {
  // What the engine answers at once may lead to more; a session that never comes to rest would be a fault.
  for (int round = 0; round < 1000; ++round) {
    host_.settle();
    read_sent();
    if (batch_.empty()) return check();
    deliver_batch();
  }
  expect(false, "the host never comes to rest");
}

void world::read_sent() {
  if (trace_) {
    for (const auto& [level, line] : host_.log) fmt::print(stderr, "    says: {}\n", line);
    for (const auto& line : host_.lines()) fmt::print(stderr, "    sends {}\n", line);
  }
  host_.log.clear();
  for (const auto& frame : host_.link->sent) {
    if (const auto* tunnelled = std::get_if<protocol::to_rivet_tunnel_message>(&frame.content)) {
      judge_.handle_tunnel(*tunnelled);
      continue;
    }
    const auto& message = std::get<protocol::to_rivet>(frame.content);
    if (const auto* acks = std::get_if<protocol::to_rivet_ack_commands>(&message)) {
      note_written(frame.connection, frame_class::ack);
      if (frame.connection == host_.connection()) judge_.handle_acks(*acks);
      unacked_.acknowledge(*acks);
    } else if (const auto* events = std::get_if<protocol::to_rivet_events>(&message)) {
      note_written(frame.connection, frame_class::events);
      judge_.handle_events(frame.connection, *events);
      for (const auto& each : events->events) {
        const auto& at = each.checkpoint;
        events_[{at.actor_id, at.generation}] = at.index;
        if ((head_.modes & session_head::acks_events) != 0)
          say(protocol::to_envoy_ack_events{{at}});
      }
    } else if (is_storage(message) && frame.connection == host_.link->connection) {
      if (at_once_ == 0) {
        storage_.push_back(message);
      } else {
        if (at_once_ != SIZE_MAX) --at_once_;
        say(answer_to(message, at_once_how_, static_cast<std::uint8_t>(at_once_)));
      }
    }
  }
  host_.clear();
  if (!host_.link->closed || over_) return;
  over_ = true;
  host_.link->connection = 0;
  const internal::link_final final{{errc::cancelled, "closed"}};
  host_.to_all(final);
}

void world::note_written(epoch connection, frame_class what) {
  if (!host_.link->auto_written) unreported_.emplace_back(connection, what);
}

void world::check() {
  const auto& link = *host_.link;
  judge_.check_settled(!over_ && link.connection != 0 && link.auto_written);
  expect(
      over_ || link.granted_messages == delivered_,
      "I13 backpressure: what the link handed over was not granted back");
  const auto stats = host_.stats();
  const auto& bounds = host_.options();
  expect(stats.requests_open <= bounds.host_requests_max, "I13 backpressure: requests");
  expect(stats.sockets_open <= bounds.host_sockets_max, "I13 backpressure: WebSockets");
}

void world::finish() {
  host_.free_room();
  host_.hold_fences = false;
  read_sent();
  release_written();
  settle();
  if (over_) return;  // it has drained
  end_lease();
  deliver_batch();
  settle();
  for (int i = 0; i < 12; ++i) {
    host_.sim.pass(5s);
    settle();
  }
  if (over_) return;
  const auto stats = host_.stats();
  judge_.check_over();
  expect(stats.requests_open == 0, "I14 single writer: a request outlives the lease");
  expect(stats.sockets_open == 0, "I14 single writer: a WebSocket outlives the lease");
  check_nothing_left();
}

// I9: when all has ended and the times are over for which something is remembered.
void world::check_nothing_left() {
  for (int i = 0; i < 4; ++i) {
    host_.sim.pass(3min);
    settle();
  }
  if (over_) return;
  const auto stats = host_.stats();
  if (trace_)
    fmt::print(
        stderr,
        "left: {} instances, {} entries of the ledger, events of {}\n",
        stats.instances,
        host_.ledger().entries,
        host_.events().actors);
  expect(stats.instances == 0, "I9 bounded: an instance is left");
  expect(stats.socket_bytes_waiting == 0, "I9 bounded: what a client has said is left");
  expect(host_.ledger().entries == 0, "I9 bounded: the ledger forgets an actor never");
  expect(host_.events().actors == 0, "I9 bounded: the outbox keeps events for ever");
  const auto storage = host_.counts->storage.get();
  expect(
      storage.open == 0 && storage.open_bytes == 0 && storage.answer_bytes == 0,
      "I9 bounded: a storage request or its answer is left");
  expect(host_.counts->acks_pending == 0, "I9 bounded: an ack waits for ever");
}

}  // namespace nuncio::fuzz
