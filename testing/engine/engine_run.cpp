// See engine_run.hpp.
#include "engine_run.hpp"

#include <algorithm>
#include <nuncio/codec.hpp>
#include <utility>

namespace nuncio::testing::engine {
namespace {

frame_kind kind_of(const protocol::to_envoy& message) {
  const auto* commands = std::get_if<protocol::to_envoy_commands>(&message);
  if (commands == nullptr) return frame_kind::other;
  for (const auto& c : commands->commands)
    if (std::holds_alternative<protocol::command_stop_actor>(c.inner)) return frame_kind::stop;
  return frame_kind::start;
}

frame_kind kind_of(const protocol::to_rivet& message) {
  if (std::holds_alternative<protocol::to_rivet_ack_commands>(message)) return frame_kind::ack;
  if (std::holds_alternative<protocol::to_rivet_events>(message)) return frame_kind::events;
  return frame_kind::other;
}

/// GET /dev/stats: the members of dev_engine_stats by name.
constexpr std::pair<const char*, std::uint64_t dev_engine_stats::*> stat_names[] = {
    {"connections", &dev_engine_stats::connections},
    {"connections_refused", &dev_engine_stats::connections_refused},
    {"evictions", &dev_engine_stats::evictions},
    {"timeouts", &dev_engine_stats::timeouts},
    {"connected", &dev_engine_stats::connected},
    {"commands_issued", &dev_engine_stats::commands_issued},
    {"deliveries", &dev_engine_stats::deliveries},
    {"replays", &dev_engine_stats::replays},
    {"replay_frames", &dev_engine_stats::replay_frames},
    {"acks", &dev_engine_stats::acks},
    {"ack_frames", &dev_engine_stats::ack_frames},
    {"acks_lost", &dev_engine_stats::acks_lost},
    {"commands_left", &dev_engine_stats::commands_left},
    {"events", &dev_engine_stats::events},
    {"events_ignored", &dev_engine_stats::events_ignored},
    {"event_acks", &dev_engine_stats::event_acks},
    {"frames_ignored", &dev_engine_stats::frames_ignored},
    {"actors", &dev_engine_stats::actors},
    {"actors_running", &dev_engine_stats::actors_running},
    {"actors_sleeping", &dev_engine_stats::actors_sleeping},
    {"actors_lost", &dev_engine_stats::actors_lost},
    {"start_timeouts", &dev_engine_stats::start_timeouts},
    {"destroyed", &dev_engine_stats::destroyed},
    {"http_requests", &dev_engine_stats::http_requests},
    {"http_attempts", &dev_engine_stats::http_attempts},
    {"http_retries", &dev_engine_stats::http_retries},
    {"http_responses", &dev_engine_stats::http_responses},
    {"http_failed", &dev_engine_stats::http_failed},
    {"sockets", &dev_engine_stats::sockets},
    {"body_bytes_max", &dev_engine_stats::body_bytes_max},
    {"faults", &dev_engine_stats::faults}};

// A counter missing from the list would be missing from the JSON.
static_assert(std::size(stat_names) * sizeof(std::uint64_t) == sizeof(dev_engine_stats));

}  // namespace

outcome<void> engine_run::prepare() {
  if (store_) {
    auto kept = store_->load();
    if (!kept) return kept.error();
    core_.restore(std::move(*kept), now());
    if (const auto loaded = store_->load_storage(storage_.store()); !loaded) return loaded.error();
  }
  core_.add_namespace("default", "Default", now());
  for (const auto& pool : options_.pools) core_.add_pool("default", pool);
  for (const auto& f : options_.faults) faults_.add(f, now());
  pump();
  return {};
}

void engine_run::go_away(std::function<void()> when_gone) {
  when_gone_ = std::move(when_gone);
  for (auto& [id, link] : links_) link.socket->close(1011, "ws.going_away#" + random_id(random_));
  forget({});
}

void engine_run::inject(const fault& f) {
  faults_.add(f, now());
  apply_due_faults();
  pump();
}

dev_engine_stats engine_run::stats() const {
  auto s = stats_;
  const auto& c = core_.counters();
  const auto& g = gateway_.counters();
  s.evictions = c.evictions;
  s.timeouts = c.timeouts;
  for (const auto& [id, link] : links_) s.connected += !link.deaf;
  s.commands_issued = c.commands_issued;
  s.replays = c.replays;
  s.replay_frames = c.replay_frames;
  s.acks = c.acks;
  s.commands_left = core_.commands_left();
  s.events = c.events;
  s.events_ignored = c.events_ignored;
  s.event_acks = c.event_acks;
  s.actors_lost = c.actors_lost;
  s.start_timeouts = c.start_timeouts;
  s.destroyed = c.destroyed;
  for (const auto& [id, a] : core_.state().actors) {
    s.actors += a.phase != actor_phase::destroyed;
    s.actors_running += a.phase == actor_phase::running;
    s.actors_sleeping += a.phase == actor_phase::sleeping;
  }
  s.http_requests = g.requests;
  s.http_attempts = g.attempts;
  s.http_retries = g.retries;
  s.http_responses = g.responses;
  s.http_failed = g.failed;
  s.sockets = g.sockets;
  s.body_bytes_max = g.body_bytes_max;
  s.faults = faults_.effects();
  return s;
}

const actor_storage& engine_run::stored(const actor_id& actor) const {
  return storage_.store().of(actor);
}

// -- requests of clients and envoys

void engine_run::on_request(http_request request, std::shared_ptr<http_responder> responder) {
  if (!request.body_fault.empty()) {
    responder->answer(invalid_body(request.body_fault));
  } else if (request.target.starts_with("/gateway/")) {
    gateway_.request(std::move(request), std::move(responder), now());
  } else if (request.target.starts_with("/dev/")) {
    responder->answer(control(request));
  } else if (request.target.starts_with("/envoys/connect")) {
    responder->answer({200, {{"content-type", "text/plain"}}, "envoy WebSocket endpoint"});
  } else {
    api_.handle(request, responder, now());
  }
  pump();
}

bool engine_run::wants_parts(std::string_view target) const {
  return gateway_.streaming() && target.starts_with("/gateway/");
}

void engine_run::on_socket(http_request request, std::shared_ptr<web_socket> socket) {
  if (request.target.starts_with("/envoys/connect?") ||
      request.target.starts_with("/envoys/connect/?")) {
    accept_envoy(request.target, std::move(socket));
  } else if (request.target.starts_with("/envoys/connect")) {
    refuse(*socket, "ws.invalid_request");
  } else if (request.target.starts_with("/gateway/")) {
    gateway_.socket(std::move(request), std::move(socket), now());
  } else {
    refuse(*socket, "guard.websocket_not_supported");
  }
  pump();
}

void engine_run::on_tick() {
  for (const auto& [id, link] : links_)
    if (!gateway_.has_room(id)) core_.hold_pings(id, now());
  core_.tick(now());
  pump();
  gateway_.tick(now());
  apply_due_faults();
  pump();
}

void engine_run::refuse(web_socket& socket, const std::string& reason) {
  ++stats_.connections_refused;
  socket.close(1011, reason + "#" + random_id(random_));
}

void engine_run::accept_envoy(const std::string& target, std::shared_ptr<web_socket> socket) {
  connect_request request;
  if (const auto why = parse_connect(target, request); !why.empty()) return refuse(*socket, why);
  const auto id = ++last_connection_;
  request.connection = id;
  links_[id] = {id, request.envoy_key, request.protocol_version, socket, {}, {}, false};
  if (const auto why = core_.connect(request, now()); !why.empty()) {
    links_.erase(id);
    return refuse(*socket, why);
  }
  ++stats_.connections;
  socket->on_message = [this, id](bytes frame, bool binary) { receive(id, frame, binary); };
  socket->on_close = [this, id](std::optional<std::uint16_t>, const std::string&) {
    forget(id);
    core_.disconnected(id);
    pump();
  };
  socket->set_reading(faults_.reads(request.envoy_key, now()));
  socket->set_unsent_max(options_.limits.envoy_unsent_max);
  pump();  // Init and the replay go first
  gateway_.envoy_connected();
}

void engine_run::forget(std::optional<connection_id> id) {
  if (id) links_.erase(*id);
  if (links_.empty() && when_gone_) std::exchange(when_gone_, {})();
}

// -- frames

void engine_run::receive(connection_id id, const bytes& frame, bool binary) {
  const auto at = links_.find(id);
  if (at == links_.end() || at->second.deaf) return;
  auto& link = at->second;
  if (frame.size() > options_.limits.frame_bytes_max) {
    shut(id, 1011, "core.internal_error");
    core_.disconnected(id);
    return;
  }
  const auto message = binary
                           ? protocol::decode_to_rivet(frame, link.version)
                           : outcome<protocol::to_rivet>{failure{errc::malformed, "a text frame"}};
  if (!message) {
    ++stats_.frames_ignored;
    return;
  }
  const auto kind = kind_of(*message);
  stats_.ack_frames += kind == frame_kind::ack;
  const auto plan = faults_.inbound(kind, link.envoy, now());
  stats_.acks_lost += plan.ignore && kind == frame_kind::ack;
  if (plan.cut != cut_kind::none) {
    cut(id, plan.cut);
  } else if (!plan.ignore) {
    dispatch(id, *message);
  }
  pump();
}

void engine_run::dispatch(connection_id id, const protocol::to_rivet& message) {
  if (const auto* tunnel = std::get_if<protocol::to_rivet_tunnel_message>(&message)) {
    gateway_.handle(*tunnel, now());
  } else if (auto answer = storage_.answer(message, now())) {
    save();  // before anything is sent
    deliver(id, std::move(*answer));
  } else {
    core_.handle(id, message, now());
  }
}

void engine_run::pump() {
  while (true) {
    save();
    const auto effects = core_.take_effects();
    if (effects.empty()) break;
    for (const auto& e : effects) {
      if (const auto* send = std::get_if<send_frame>(&e)) {
        deliver(send->connection, send->message);
      } else if (const auto* close = std::get_if<close_connection>(&e)) {
        shut(close->connection, close->code, close->reason);
      } else if (const auto* changed = std::get_if<actor_changed>(&e)) {
        api_.actor_changed(changed->actor);
        storage_.actor_changed(changed->actor);
        gateway_.actor_changed(changed->actor, now());
      }
    }
  }
}

void engine_run::say_trouble(const std::string& what) const {
  if (options_.on_trouble) options_.on_trouble(what);
}

void engine_run::save() {
  const auto changes = core_.take_changes();
  const auto stored = storage_.store().take_changes();
  if (!store_ || (changes.empty() && stored.empty())) return;
  if (const auto saved = store_->save(core_.state(), changes, storage_.store(), stored); !saved)
    say_trouble(to_string(saved.error()));
}

bool engine_run::deliver(connection_id id, protocol::to_envoy message) {
  const auto at = links_.find(id);
  if (at == links_.end() || at->second.deaf) return false;
  auto& link = at->second;
  const auto plan = faults_.outbound(kind_of(message), link.envoy, now());
  auto* commands = std::get_if<protocol::to_envoy_commands>(&message);
  if (commands != nullptr) name_hibernating(*commands);
  if (plan.reverse && commands != nullptr)
    std::reverse(commands->commands.begin(), commands->commands.end());
  auto encoded = protocol::encode(message, link.version);
  if (!encoded) {
    say_trouble("a message is lost: " + to_string(encoded.error()));
    return true;
  }
  const bytes frame{std::move(*encoded)};
  if (commands != nullptr)
    stats_.deliveries += commands->commands.size() * static_cast<unsigned>(plan.copies);
  const auto due = plan.delay == 0 ? 0 : now() + plan.delay;
  if (plan.garbage_first) link.push({due, garbage(), cut_kind::none});
  for (int i = 1; i < plan.copies; ++i) link.push({due, frame, cut_kind::none});
  envoy_link::pending last{due, frame, plan.cut};
  if (plan.reverse && plan.cut == cut_kind::none && !link.overtaken) {
    link.overtaken = std::move(last);
  } else {
    link.push(std::move(last));
  }
  if (plan.cut != cut_kind::none) link.deaf = true;
  flush(link);
  return true;
}

std::optional<socket_flow> engine_run::flow_of(connection_id id) const {
  const auto at = links_.find(id);
  return at == links_.end() ? std::nullopt : std::optional{at->second.socket->flow()};
}

void engine_run::name_hibernating(protocol::to_envoy_commands& frame) const {
  for (auto& c : frame.commands)
    if (auto* start = std::get_if<protocol::command_start_actor>(&c.inner))
      start->hibernating_requests = gateway_.hibernating(c.checkpoint.actor_id);
}

void engine_run::flush(envoy_link& link) {
  if (!faults_.writes(link.envoy, now())) return;
  if (const auto how = link.flush(now()); how != cut_kind::none) cut(link.id, how);
}

void engine_run::cut(connection_id id, cut_kind how) {
  const auto at = links_.find(id);
  if (at == links_.end()) return;
  const auto socket = at->second.socket;
  at->second.deaf = true;
  socket->drop(how == cut_kind::reset);
  core_.disconnected(id);
  // The entry itself is removed when the socket reports its end.
}

void engine_run::shut(connection_id id, std::uint16_t code, const std::string& reason) {
  const auto at = links_.find(id);
  if (at == links_.end()) return;
  at->second.deaf = true;
  // Queued frames are sent before the close frame, unless a fault holds them back.
  if (faults_.writes(at->second.envoy, now())) at->second.flush(now());
  at->second.socket->close(code, reason + "#" + random_id(random_));
}

void engine_run::apply_due_faults() {
  std::vector<connection_id> ids;
  for (const auto& [id, link] : links_) ids.push_back(id);
  for (const auto id : ids) {
    const auto at = links_.find(id);
    if (at == links_.end()) continue;
    auto& link = at->second;
    link.socket->set_reading(faults_.reads(link.envoy, now()));
    for (int n = faults_.due_garbage(link.envoy); n > 0; --n)
      link.push({0, garbage(), cut_kind::none});
    flush(link);
    if (link.deaf) continue;
    if (const auto how = faults_.due_cut(link.envoy); how != cut_kind::none) cut(id, how);
  }
}

// -- control, under /dev

http_reply engine_run::control(const http_request& request) {
  using json = nlohmann::ordered_json;
  if (request.target == "/dev/stats" && request.method == "GET")
    return json_reply(200, stats_json());
  if (request.target != "/dev/faults")
    return api_error(404, "dev", "not_found", "No such control.");
  if (request.method == "DELETE") {
    clear_faults();
    return json_reply(200, json::object());
  }
  if (request.method == "POST") {
    const auto body = json::parse(request.body, nullptr, false);
    if (!body.is_object() || !body.contains("fault") || !body["fault"].is_string()) {
      return api_error(400, "dev", "bad_request", R"(Expected {"fault": "..."}.)");
    }
    const auto parsed = parse_fault(body["fault"].get<std::string>());
    if (!parsed) return api_error(400, "dev", "bad_fault", parsed.error().message);
    inject(*parsed);
  }
  json active = json::array();
  for (const auto& f : faults_.list()) active.push_back(to_string(f));
  return json_reply(200, {{"faults", active}});
}

nlohmann::ordered_json engine_run::stats_json() const {
  const auto s = stats();
  nlohmann::ordered_json out;
  for (const auto& [name, counter] : stat_names) out[name] = s.*counter;
  return out;
}

}  // namespace nuncio::testing::engine
