// See persistent_actor.hpp.
#include <fmt/format.h>

#include <caf/actor_system.hpp>
#include <cmath>
#include <nuncio/actor/access.hpp>
#include <nuncio/actor/instance_context.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/hex.hpp>
#include <nuncio/host/internal_messages.hpp>
#include <nuncio/kv.hpp>
#include <nuncio/persistent_actor.hpp>
#include <nuncio/socket.hpp>
#include <nuncio/sql.hpp>
#include <nuncio/storage/kv_limits.hpp>
#include <nuncio/storage/storage_client.hpp>
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
// As literals, because a batch's parameters are limited to 128 KiB together; 4 MiB become 8 MiB of text.
constexpr std::size_t sql_part_bytes = std::size_t{128} * 1024;
constexpr std::size_t sql_parts_max = 32;

std::string key_of(std::size_t part) {
  return std::string{key_prefix} + static_cast<char>(static_cast<unsigned char>(part));
}

// The answer of an actor whose state can't be read. It is for clients, so it leaves out the reason, which is logged.
constexpr std::string_view unreadable =
    "the stored state of this actor can't be read; it is kept, and the host's log says why";
constexpr std::uint16_t close_failed = 1011;

// Whether the same write may succeed later.
bool may_pass_later(const storage_failure& e) {
  return e.code == errc::timed_out || e.code == errc::queue_full;
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
  internal::access::own_keys(storage()).get(key_of(0)).await(
      [this, failed](const std::optional<bytes>& first) {
        if (!first) return loaded({});
        const auto count = parts_of(*first);
        if (!count || *count == 1) return loaded({*first});
        std::vector<octets> keys;
        for (std::size_t i = 0; i < *count; ++i) keys.emplace_back(key_of(i));
        internal::access::own_keys(storage())
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
  if (parts.empty()) return go();
  is_new_ = false;
  const auto record = nuncio::join(parts);
  if (!record) {
    bytes all = parts.front();
    for (std::size_t i = 1; i < parts.size(); ++i)
      all = bytes{fmt::format("{}{}", all.view(), parts[i].view())};
    return handle_unreadable({std::move(all), record.error().message});
  }
  if (const auto good = deserialize(*record); !good)
    return handle_unreadable({record->content, good.error().message});
  given_ = parts;
  go();
}

void persistent_base::go() {
  loaded_ = true;
  begin();
  arm();
}

void persistent_base::handle_unreadable(unreadable_state what) {
  const auto recovered = recover(what);
  const auto reason = recovered ? what.why : recovered.error().message;
  log_to(
      internal::access::context(*this).log,
      recovered ? log_level::warning : log_level::error,
      recovered ? "the stored state of an actor can't be read; it was recovered"
                : "the stored state of an actor can't be read; it stays as it is, and the actor "
                  "answers 500",
      {{"name", start().name.str()}, {"actor", start().self.actor.str()}, {"reason", reason}});
  if (recovered) return go();
  handle_unexpected(this, [](caf::scheduled_actor*, unexpected_message&) -> unexpected_result {
    return make_error(storage_failure{errc::malformed, std::string{unreadable}, false, {}});
  });
  begin_with({
      [](const http_request&) {
        return http_response{
            .status = 500,
            .headers = {{"content-type", "text/plain; charset=utf-8"}},
            .body = fmt::format("{}\n", unreadable)};
      },
      [](const socket_opened& x) { x.socket.refuse(close_failed, unreadable); },
      [](const socket_restored& x) { x.socket.close(close_failed, unreadable); },
  });
}

// -- saving --------------------------------------------------------------------------------

// @param unless_given  returns nothing if storage was last given the same parts
outcome<std::vector<bytes>> persistent_base::parts(bool unless_given) {
  outcome<std::vector<bytes>> out = std::vector<bytes>{};
  const auto changed = [&](const state_record& record) {
    out = where_ == state_in::kv ? split(record, kv_limits::value_bytes_max, kv_parts_max)
                                 : split(record, sql_part_bytes, sql_parts_max);
    return out && *out != given_;
  };
  if (const auto good = serialize(changed); !good) return good.error();
  if (out && unless_given && *out == given_) out->clear();
  return out;
}

// @param told  also answered with the result
void persistent_base::write(std::vector<bytes> parts, std::optional<caf::message_id> told) {
  given_ = std::move(parts);
  ++open_;
  const auto serial = ++writes_;
  const auto over = [this, serial, told](const storage_result& with) {
    if (told) storage().complete(*told, with);
    handle_written(serial, std::get_if<storage_failure>(&with));
  };
  const auto done = [over] { over(storage_answer{}); };
  const auto failed = [over](const caf::error& e) { over(*storage_failure_of(e)); };
  if (where_ == state_in::kv) {
    std::vector<std::pair<octets, octets>> entries;
    for (std::size_t i = 0; i < given_.size(); ++i) entries.emplace_back(key_of(i), given_[i]);
    return internal::access::own_keys(storage(), write_mode::required)
        .put_all(std::move(entries))
        .then(done, failed);
  }
  std::vector<sql_statement> statements;
  statements.push_back(
      {"create table if not exists _nuncio_state (part integer primary key, content blob not null)",
       {}});
  statements.push_back({"delete from _nuncio_state", {}});
  for (std::size_t i = 0; i < given_.size(); ++i)
    statements.push_back(
        {fmt::format("insert into _nuncio_state values ({}, x'{}')", i, to_hex(given_[i].span())),
         {}});
  sql_client{storage(), write_mode::required}
      .batch(std::move(statements))
      .done()
      .then(done, failed);
}

storage_response<void> persistent_base::save_now() {
  const auto answer = [this](caf::message_id id) {
    return storage_response<void>{*this, id, [](storage_answer&) {}};
  };
  const auto refuse = [&](errc code, std::string_view why) {
    return answer(storage().fail({code, fmt::format("{}; it was not saved", why), false, {}}));
  };
  if (!hosted()) return refuse(errc::refused, "this actor was not spawned by a host");
  if (!loaded_) return refuse(errc::refused, "the stored state is not loaded yet");
  auto now = parts(false);
  if (!now) {
    complain(now.error().message);
    return refuse(now.error().code, now.error().message);
  }
  const auto told = storage().promise();
  write(std::move(*now), told);
  return answer(told);
}

// @returns whether a write is under way
outcome<bool> persistent_base::save() {
  auto now = parts(true);
  if (!now) {
    complain(now.error().message);
    return now.error();
  }
  if (!now->empty())
    write(std::move(*now));
  else if (open_ == 0)
    complained_ = false;  // it is equal to the stored state again
  return open_ != 0;
}

void persistent_base::handle_written(std::uint64_t serial, const storage_failure* why) {
  --open_;
  if (serial == writes_) {
    if (why == nullptr) {
      complained_ = false;
    } else {
      given_.clear();
      complain(why->message);
      if (ending_ && !may_pass_later(*why)) return quit_unsaved(why->message);
      return arm();
    }
  }
  if (ending_) finish_now();
}

void persistent_base::complain(std::string_view why) {
  if (std::exchange(complained_, true)) return;  // logged once until a save succeeds
  log_to(
      internal::access::context(*this).log,
      log_level::error,
      "the state of an actor could not be saved; it stays awake until it is",
      {{"name", start().name.str()},
       {"actor", start().self.actor.str()},
       {"reason", std::string{why}}});
  if (!ending_) post(this, state_not_saved{std::string{why}});
}

caf::invoke_message_result persistent_base::consume(caf::mailbox_element& x) {
  const auto ticks = x.content().match_elements<state_tick>();
  const auto result = engine_actor::consume(x);
  if (!ticks && result == caf::invoke_message_result::consumed) arm();
  return result;
}

void persistent_base::handle_state_tick() {
  armed_ = false;
  if (ending_) return finish_now();
  if (open_ == 0) static_cast<void>(save());
}

// Whether the turn has changed the state is found out on saving, since the user does not say.
void persistent_base::arm() {
  if (!loaded_ || armed_ || !hosted() || getf(is_shutting_down_flag)) return;
  armed_ = true;
  post_later(this, save_interval, state_tick{});
}

// -- the end -------------------------------------------------------------------------------

bool persistent_base::may_sleep() {
  if (!loaded_) return true;
  static_cast<void>(save());
  return !complained_;
}

void persistent_base::finish_now() {
  if (!loaded_ || destroyed()) return quit();
  ending_ = true;
  const auto saving = save();
  if (saving) {
    if (!*saving) quit();
    return;
  }
  if (std::exchange(last_call_, true)) return quit_unsaved(saving.error().message);
  post(this, state_not_saved{saving.error().message});
  post(this, state_tick{});
}

void persistent_base::quit_unsaved(const std::string& why) {
  quit(make_error(storage_failure{
      errc::malformed, fmt::format("the state could not be saved: {}", why), false, {}}));
}

// After the user called quit().
std::string persistent_base::handle_end() {
  if (!loaded_) return {};
  auto now = parts(true);
  if (!now) return fmt::format("the state could not be saved: {}", now.error().message);
  if (!now->empty()) write(std::move(*now));
  return {};
}

// -- values that JSON can hold -------------------------------------------------------------

// Not recursive, since a client may have sent any depth.
outcome<void> check_json(const nlohmann::json& x) {
  struct level {
    const nlohmann::json* of;
    nlohmann::json::const_iterator next;
  };

  std::vector<level> open;
  const auto bad = [&](std::string_view why) {
    std::string place;
    for (const auto& [of, next] : open) {
      const auto at = std::prev(next);
      place +=
          of->is_object() ? fmt::format("/{}", at.key()) : fmt::format("/{}", at - of->begin());
    }
    return failure{errc::malformed, fmt::format("{}: JSON can't hold {}", place, why)};
  };
  for (const auto* at = &x;; at = &*open.back().next++) {
    if (at->is_number_float() && !std::isfinite(at->get<double>()))
      return bad(fmt::format("the number {}", at->get<double>()));
    if (at->is_binary()) return bad("a binary value");
    if (at->is_structured()) {
      if (open.size() == json_depth_max)
        return failure{
            errc::too_large, fmt::format("JSON is nested deeper than {} levels", json_depth_max)};
      open.push_back({at, at->begin()});
    }
    while (!open.empty() && open.back().next == open.back().of->end()) open.pop_back();
    if (open.empty()) return {};
  }
}

}  // namespace nuncio::internal
