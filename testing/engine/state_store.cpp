// Actors as JSON with their input, commands as protocol bytes, the directory as one JSON document, and one table each for
// actors' data: keys and values, pages, heads.
#include "state_store.hpp"

#include <sqlite3.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <nuncio/codec.hpp>
#include <nuncio/storage/prepared_statement.hpp>
#include <utility>

namespace nuncio::testing::engine {

namespace {

using json = nlohmann::json;

constexpr const char* schema =
    "pragma journal_mode=wal; pragma synchronous=normal;"
    "create table if not exists actors(id text primary key, record text not null, input blob) "
    "without rowid;"
    "create table if not exists commands(envoy text, actor text, generation integer, idx integer, "
    "frame blob,"
    " primary key(envoy, actor, generation, idx)) without rowid;"
    "create table if not exists directory(id integer primary key, content text not null);"
    "create table if not exists kv(actor text, key blob, value blob, update_ts integer,"
    " primary key(actor, key)) without rowid;"
    "create table if not exists pages(actor text, pgno integer, content blob,"
    " primary key(actor, pgno));"
    "create table if not exists heads(actor text primary key, head integer, size_pages integer) "
    "without rowid;";

/// Runs a statement that has no rows, with a value for each '?'.
bool run(sqlite3* db, const char* sql, std::initializer_list<sql_value> params = {}) {
  prepared_statement s{db, sql};
  s.bind(params);
  s.step();
  return s.done();
}

std::string text_at(const prepared_statement& s, int column) {
  const auto x = s.at(column);
  return std::string{x.string().value_or("")};
}

std::int64_t number_at(const prepared_statement& s, int column) {
  return s.at(column).integer().value_or(0);
}

failure broken(sqlite3* db, std::string_view what) {
  return {errc::internal, std::string{what} + ": " + sqlite3_errmsg(db)};
}

std::string dumped(const json& x) { return x.dump(-1, ' ', false, json::error_handler_t::replace); }

template <class T>
json optional_json(const std::optional<T>& x) {
  return x ? json(*x) : json(nullptr);
}

template <class T>
void read_optional(const json& x, const char* name, std::optional<T>& into) {
  if (const auto at = x.find(name); at != x.end() && !at->is_null()) into = at->get<T>();
}

json to_json(const actor_record& a) {
  return {
      {"namespace", a.namespace_name},
      {"name", a.name},
      {"key", optional_json(a.key)},
      {"pool", a.pool},
      {"phase", static_cast<int>(a.phase)},
      {"generation", a.generation},
      {"last_command", a.last_command},
      {"envoy", a.envoy},
      {"last_event", a.last_event},
      {"last_event_acked", a.last_event_acked},
      {"alarm", optional_json(a.alarm)},
      {"wake_wanted", a.wake_wanted},
      {"destroy_wanted", a.destroy_wanted},
      {"error", static_cast<int>(a.error)},
      {"error_detail", a.error_detail},
      {"create_ts", a.create_ts},
      {"start_ts", optional_json(a.start_ts)},
      {"pending_allocation_ts", optional_json(a.pending_allocation_ts)},
      {"connectable_ts", optional_json(a.connectable_ts)},
      {"sleep_ts", optional_json(a.sleep_ts)},
      {"reschedule_ts", optional_json(a.reschedule_ts)},
      {"destroy_ts", optional_json(a.destroy_ts)},
      {"phase_deadline", a.phase_deadline},
      {"lost_check", a.lost_check},
      {"retry_delay", a.retry_delay},
      {"allocating_since", a.allocating_since}};
}

actor_record actor_from(const json& x) {
  actor_record a;
  a.namespace_name = x.at("namespace");
  a.name = x.at("name");
  read_optional(x, "key", a.key);
  a.pool = x.at("pool");
  a.phase = static_cast<actor_phase>(x.at("phase").get<int>());
  a.generation = x.at("generation");
  a.last_command = x.at("last_command");
  a.envoy = x.at("envoy");
  a.last_event = x.at("last_event");
  a.last_event_acked = x.at("last_event_acked");
  read_optional(x, "alarm", a.alarm);
  a.wake_wanted = x.at("wake_wanted");
  a.destroy_wanted = x.at("destroy_wanted");
  a.error = static_cast<actor_error>(x.at("error").get<int>());
  a.error_detail = x.at("error_detail");
  a.create_ts = x.at("create_ts");
  read_optional(x, "start_ts", a.start_ts);
  read_optional(x, "pending_allocation_ts", a.pending_allocation_ts);
  read_optional(x, "connectable_ts", a.connectable_ts);
  read_optional(x, "sleep_ts", a.sleep_ts);
  read_optional(x, "reschedule_ts", a.reschedule_ts);
  read_optional(x, "destroy_ts", a.destroy_ts);
  a.phase_deadline = x.at("phase_deadline");
  a.lost_check = x.at("lost_check");
  a.retry_delay = x.at("retry_delay");
  a.allocating_since = x.at("allocating_since");
  return a;
}

json directory_json(const engine_state& state) {
  json out{{"namespaces", json::array()}, {"pools", json::array()}, {"names", json::array()}};
  for (const auto& [name, n] : state.namespaces)
    out["namespaces"].push_back({n.id, n.name, n.display_name, n.create_ts});
  for (const auto& [key, p] : state.pools)
    out["pools"].push_back({p.namespace_name, p.name, p.protocol_version.value_or(0)});
  for (const auto& [key, metadata] : state.actor_names)
    out["names"].push_back({key.first, key.second, metadata});
  return out;
}

void read_directory(const json& x, engine_state& state) {
  for (const auto& n : x.at("namespaces"))
    state.namespaces[n.at(1)] = {n.at(0), n.at(1), n.at(2), n.at(3)};
  for (const auto& p : x.at("pools")) {
    const auto version = p.at(2).get<std::uint16_t>();
    state.pools[{p.at(0), p.at(1)}] = {
        p.at(0), p.at(1), version == 0 ? std::nullopt : std::optional{version}};
  }
  for (const auto& n : x.at("names")) state.actor_names[{n.at(0), n.at(1)}] = n.at(2);
}

}  // namespace

outcome<std::unique_ptr<state_store>> state_store::open(const std::string& folder) {
  std::error_code ec;
  std::filesystem::create_directories(folder, ec);
  const auto file = (std::filesystem::path{folder} / "engine.sqlite").string();
  sqlite3* db = nullptr;
  if (sqlite3_open(file.c_str(), &db) != SQLITE_OK ||
      sqlite3_exec(db, schema, nullptr, nullptr, nullptr) != SQLITE_OK) {
    auto why = broken(db, "can't open " + file);
    sqlite3_close(db);
    return why;
  }
  return std::unique_ptr<state_store>{new state_store{db}};
}

state_store::~state_store() { sqlite3_close(db_); }

outcome<engine_state> state_store::load() {
  engine_state state;
  try {
    prepared_statement actors{db_, "select id, record, input from actors"};
    while (actors.step()) {
      auto a = actor_from(json::parse(text_at(actors, 1)));
      a.id = actor_id{text_at(actors, 0)};
      a.input = actors.at(2).blob();
      state.actors[a.id] = std::move(a);
    }
    prepared_statement commands{db_, "select envoy, actor, generation, idx, frame from commands"};
    while (commands.step()) {
      const auto frame = protocol::decode_to_envoy(*commands.at(4).blob(), wire::version_max);
      if (!frame) return frame.error();
      const auto& stored = std::get<protocol::to_envoy_commands>(*frame).commands.at(0);
      const actor_ref instance{
          actor_id{text_at(commands, 1)}, static_cast<std::uint32_t>(number_at(commands, 2))};
      state.commands[text_at(commands, 0)][instance][number_at(commands, 3)] = stored.inner;
    }
    prepared_statement directory{db_, "select content from directory"};
    while (directory.step()) read_directory(json::parse(text_at(directory, 0)), state);
  } catch (const std::exception& e) {
    return failure{errc::malformed, std::string{"the data folder holds other data: "} + e.what()};
  }
  return state;
}

outcome<void> state_store::load_storage(storage& into) {
  auto& actors = into.restore();
  prepared_statement kv{db_, "select actor, key, value, update_ts from kv"};
  while (kv.step())
    actors[actor_id{text_at(kv, 0)}].kv[std::string{kv.at(1).blob()->view()}] = {
        *kv.at(2).blob(), number_at(kv, 3)};
  prepared_statement pages{db_, "select actor, pgno, content from pages"};
  while (pages.step())
    actors[actor_id{text_at(pages, 0)}].db.pages[static_cast<std::uint32_t>(number_at(pages, 1))] =
        *pages.at(2).blob();
  prepared_statement heads{db_, "select actor, head, size_pages from heads"};
  while (heads.step()) {
    auto& db = actors[actor_id{text_at(heads, 0)}].db;
    db.head = static_cast<std::uint64_t>(number_at(heads, 1));
    db.size_pages = static_cast<std::uint32_t>(number_at(heads, 2));
  }
  return {};
}

outcome<void> state_store::save_storage(const storage& stored, const storage_changes& changes) {
  const auto failed = [&] { return broken(db_, "can't store what an actor stored"); };
  for (const auto& actor : changes.wiped)
    for (const auto* sql :
         {"delete from kv where actor=?",
          "delete from pages where actor=?",
          "delete from heads where actor=?"})
      if (!run(db_, sql, {actor.view()})) return failed();
  for (const auto& [actor, key] : changes.kv) {
    const auto& kv = stored.of(actor).kv;
    const auto at = kv.find(key);
    const bool good =
        at != kv.end()
            ? run(db_,
                  "insert or replace into kv values(?,?,?,?)",
                  {actor.view(), bytes{key}, at->second.value, at->second.update_ts})
            : run(db_, "delete from kv where actor=? and key=?", {actor.view(), bytes{key}});
    if (!good) return failed();
  }
  for (const auto& [actor, pgno] : changes.pages) {
    const auto& pages = stored.of(actor).db.pages;
    const auto at = pages.find(pgno);
    const bool good =
        at != pages.end()
            ? run(db_,
                  "insert or replace into pages values(?,?,?)",
                  {actor.view(), pgno, at->second})
            : run(db_, "delete from pages where actor=? and pgno=?", {actor.view(), pgno});
    if (!good) return failed();
  }
  for (const auto& actor : changes.heads) {
    const auto& db = stored.of(actor).db;
    if (!run(
            db_,
            "insert or replace into heads values(?,?,?)",
            {actor.view(), db.head, db.size_pages}))
      return failed();
  }
  return {};
}

outcome<void> state_store::save(
    const engine_state& state,
    const state_changes& changes,
    const storage& stored,
    const storage_changes& stored_changes) {
  if (!run(db_, "begin")) return broken(db_, "can't begin");
  for (const auto& id : changes.actors) {
    const auto& a = state.actors.at(id);
    if (!run(
            db_,
            "insert or replace into actors values(?,?,?)",
            {id.view(), dumped(to_json(a)), a.input}))
      return broken(db_, "can't store an actor");
  }
  for (const auto& key : changes.commands) {
    const protocol::command* command = nullptr;
    if (const auto envoy = state.commands.find(key.envoy); envoy != state.commands.end())
      if (const auto at = envoy->second.find(key.instance); at != envoy->second.end())
        if (const auto found = at->second.find(key.index); found != at->second.end())
          command = &found->second;
    const sql_value actor{key.instance.actor.view()};
    if (command == nullptr) {
      if (!run(
              db_,
              "delete from commands where envoy=? and actor=? and generation=? and idx=?",
              {key.envoy, actor, key.instance.generation, key.index}))
        return broken(db_, "can't delete a command");
      continue;
    }
    auto frame = protocol::encode(
        protocol::to_envoy_commands{
            {{{key.instance.actor, key.instance.generation, key.index}, *command}}},
        wire::version_max);
    if (!frame) return frame.error();
    if (!run(
            db_,
            "insert or replace into commands values(?,?,?,?,?)",
            {key.envoy, actor, key.instance.generation, key.index, std::move(*frame)}))
      return broken(db_, "can't store a command");
  }
  if (changes.directory) {
    if (!run(db_, "insert or replace into directory values(0,?)", {dumped(directory_json(state))}))
      return broken(db_, "can't store the directory");
  }
  if (const auto saved = save_storage(stored, stored_changes); !saved) return saved.error();
  if (!run(db_, "commit")) return broken(db_, "can't commit");
  return {};
}

}  // namespace nuncio::testing::engine
