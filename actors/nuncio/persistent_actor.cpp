// See persistent_actor.hpp.
#include <fmt/format.h>

#include <caf/actor_system.hpp>
#include <nuncio/hex.hpp>
#include <nuncio/internal_messages.hpp>
#include <nuncio/kv.hpp>
#include <nuncio/kv_limits.hpp>
#include <nuncio/persistent_actor.hpp>
#include <nuncio/sql.hpp>
#include <nuncio/storage_error.hpp>
#include <stdexcept>

namespace nuncio::internal {
namespace {

using namespace std::chrono_literals;

// At most once a second, as the ecosystem's other hosts do (docs/client_protocol.md f.1).
constexpr std::chrono::milliseconds save_interval = 1s;

// Keys that no other runtime uses (docs/client_protocol.md f.1), each followed by the part's number as a byte.
constexpr std::string_view key_prefix = "\x08";

// All parts are put at once, or a crash could mix two states.
constexpr std::size_t kv_parts_max = kv_limits::put_bytes_max / (kv_limits::value_bytes_max + 2);
// As literals, for the parameters of a batch are limited to 128 KiB together; 4 MiB become 8 MiB of text.
constexpr std::size_t sql_part_bytes = std::size_t{128} * 1024;
constexpr std::size_t sql_parts_max = 32;

std::string key_of(std::size_t part) {
  return std::string{key_prefix} + static_cast<char>(static_cast<unsigned char>(part));
}

// Whether the same write may succeed later.
bool may_pass_later(const caf::error& e) {
  const auto why = storage_failure_of(e);
  return why && (why->code == errc::link_lost || why->code == errc::timed_out ||
                 why->code == errc::queue_full);
}

}  // namespace

// -- loading -------------------------------------------------------------------------------

bool persistent_base::prepare() {
  if (where_ == state_in::kv)
    load_kv();
  else
    load_sql();
  return true;
}

void persistent_base::fail_to_load(std::string_view why) {
  throw std::runtime_error{
      fmt::format("the state can't be loaded, and stays as it is stored: {}", why)};
}

void persistent_base::load_kv() {
  const auto failed = [this](const caf::error& e) { fail_to_load(nuncio::describe(system(), e)); };
  kv_store::raw(storage()).get(key_of(0)).await(
      [this, failed](const std::optional<bytes>& first) {
        if (!first) return loaded({});
        const auto count = parts_of(*first);
        if (!count) fail_to_load(count.error().message);
        if (*count == 1) return loaded({*first});
        std::vector<octets> keys;
        for (std::size_t i = 0; i < *count; ++i) keys.emplace_back(key_of(i));
        kv_store::raw(storage())
            .get_all(std::move(keys))
            .await(
                [this](const std::vector<std::optional<bytes>>& found) {
                  std::vector<bytes> parts;
                  for (const auto& x : found)
                    if (x) parts.push_back(*x);
                  loaded(parts);
                },
                failed);
      },
      failed);
}

void persistent_base::load_sql() {
  const auto failed = [this](const caf::error& e) { fail_to_load(nuncio::describe(system(), e)); };
  sql()
      .execute("select 1 from sqlite_master where type = 'table' and name = '_nuncio_state'")
      .await(
          [this, failed](const sql_result& found) {
            if (found.rows.empty()) return loaded({});
            sql()
                .execute("select content from _nuncio_state order by part")
                .await(
                    [this](const sql_result& rows) {
                      std::vector<bytes> parts;
                      for (const auto& row : rows.rows)
                        if (const auto part = row.at(0).blob()) parts.push_back(*part);
                      loaded(parts);
                    },
                    failed);
          },
          failed);
}

void persistent_base::loaded(const std::vector<bytes>& parts) {
  if (!parts.empty()) {
    const auto record = nuncio::join(parts);
    if (!record) fail_to_load(record.error().message);
    if (const auto good = deserialize(*record); !good) fail_to_load(good.error().message);
    is_new_ = false;
    saved_ = parts;
  }
  loaded_ = true;
  begin();
  arm();
}

// -- saving --------------------------------------------------------------------------------

outcome<std::vector<bytes>> persistent_base::parts() {
  const auto record = serialize();
  if (!record) return record.error();
  return where_ == state_in::kv ? split(*record, kv_limits::value_bytes_max, kv_parts_max)
                                : split(*record, sql_part_bytes, sql_parts_max);
}

storage_response<void> persistent_base::write(const std::vector<bytes>& parts) {
  if (where_ == state_in::kv) {
    std::vector<std::pair<octets, octets>> entries;
    for (std::size_t i = 0; i < parts.size(); ++i) entries.emplace_back(key_of(i), parts[i]);
    return kv_store::raw(storage()).put_all(std::move(entries));
  }
  std::vector<sql_statement> statements;
  statements.push_back(
      {"create table if not exists _nuncio_state (part integer primary key, content blob not null)",
       {}});
  statements.push_back({"delete from _nuncio_state", {}});
  for (std::size_t i = 0; i < parts.size(); ++i)
    statements.push_back(
        {fmt::format("insert into _nuncio_state values ({}, x'{}')", i, to_hex(parts[i].span())),
         {}});
  return sql().batch(std::move(statements)).done();
}

storage_response<void> persistent_base::save_now() {
  auto now = parts();
  if (!now)
    return {
        *this,
        storage().fail({now.error().code, now.error().message + "; it was not saved", false, {}}),
        [](storage_answer&) {}};
  // Only once it is there: if this fails, it is saved with the next tick or at the end.
  return write(*now).done([this, now = std::move(*now)] { saved_ = now; });
}

// @returns whether a save is on its way
bool persistent_base::save_if_changed() {
  if (saving_) return true;
  auto now = parts();
  if (!now) {
    complain(now.error().message);
    return false;
  }
  if (*now == saved_) return false;
  saving_ = true;
  write(*now).then(
      [this] { handle_saved(); }, [this](const caf::error& e) { handle_not_saved(e); });
  saved_ = std::move(*now);
  return true;
}

void persistent_base::handle_saved() {
  saving_ = false;
  complained_ = false;
  if (saving_for_the_end_) finish_now();
}

void persistent_base::handle_not_saved(const caf::error& why) {
  saving_ = false;
  saved_.clear();
  complain(nuncio::describe(system(), why));
  if (!saving_for_the_end_) return arm();
  // The engine ends it in any case when its grace is over.
  if (may_pass_later(why))
    finish_now();
  else
    quit();
}

void persistent_base::complain(std::string_view why) {
  if (std::exchange(complained_, true)) return;  // once until it succeeds
  log_to(
      context().log,
      log_level::error,
      "the state of an actor could not be saved",
      {{"actor", start().self.actor.str()}, {"reason", std::string{why}}});
}

caf::invoke_message_result persistent_base::consume(caf::mailbox_element& x) {
  const auto ticks = x.content().match_elements<state_tick>();
  const auto result = engine_actor::consume(x);
  if (!ticks && result == caf::invoke_message_result::consumed) arm();
  return result;
}

void persistent_base::handle_state_tick() {
  armed_ = false;
  save_if_changed();
}

// What the turn has changed is found out when it is saved, for the user says nothing.
void persistent_base::arm() {
  if (!loaded_ || armed_ || saving_ || !hosted() || getf(is_shutting_down_flag)) return;
  armed_ = true;
  delayed_send(this, save_interval, state_tick{});
}

// -- the end -------------------------------------------------------------------------------

void persistent_base::finish_now() {
  saving_for_the_end_ = true;
  if (!loaded_ || destroyed() || !save_if_changed()) quit();
}

// After a quit() of the user's own.
void persistent_base::handle_end() {
  if (!loaded_) return;
  const auto now = parts();
  if (!now) return complain(now.error().message);
  if (*now != saved_) static_cast<void>(write(*now));
}

}  // namespace nuncio::internal
