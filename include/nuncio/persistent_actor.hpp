// An engine actor whose state is restored after sleep, crash and move: a user's struct that nlohmann_json or CAF's inspect can
// read and write.
//
//   struct count { int n = 0; };
//   NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(count, n)
//
//   caf::behavior tally(nuncio::persistent_actor<count>* self) {
//     return {[self](const nuncio::http_request&) {
//       return nuncio::http_response{.status = 200, .body = std::to_string(++self->state.n)};
//     }};
//   }
//
// The state is loaded before the function (for a class: make_behavior) runs, and so before the first message. It is saved
// within a second of a turn that changed it, at most once a second; before the actor sleeps or stops; and by save_now(). A
// handler of stop_command ends with finish(), which waits until the state is stored. A crash loses what changed since the last
// save: an exception, or quit() with an error, saves nothing, because a state that made its actor fail may be broken. The
// serialized state is kept in memory for comparison.
//
// State that can't be read back never overwrites state that can: a changed state is read back before it is stored. If it can't
// be saved, this is logged at once and reported by `state_not_saved`, saving is tried again with each change, and the actor
// stays awake; if it is told to stop nevertheless, it ends as failed. Stored state that can't be read is kept, and the actor
// answers 500 to everything, unless recover_state() makes a state of it. Methods: on the thread of its handlers only. See
// docs/storage.md.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <nuncio/detail/caf_inspect.hpp>
#include <nuncio/detail/exception_text.hpp>
#include <nuncio/detail/message_types.hpp>
#include <nuncio/detail/state_record.hpp>
#include <nuncio/engine_actor.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/parse_json.hpp>
#include <nuncio/storage_response.hpp>
#include <type_traits>
#include <utility>

namespace nuncio {

/// The current state can't be saved, and the actor does not sleep until it is. Sent once until a save succeeds, and again when
/// the actor is told to stop: if the handler repairs the state, it is saved then.
struct state_not_saved {
  std::string why;
};

/// Stored data of a state that can't be read.
struct unreadable_state {
  bytes stored;  ///< as it was serialized, or everything that is stored if it is not a state record
  std::string why;
};

/// Where the state is kept.
enum class state_in : std::uint8_t {
  kv,   ///< up to 976 KiB; in keys of the runtime, which kv() does not show
  sql,  ///< up to 4 MiB, in the actor's database as the table _nuncio_state; not together with open_sqlite()
};

template <class T>
concept json_state = requires(const T& from, T& to) {
  nlohmann::json(from);
  std::declval<const nlohmann::json&>().get_to(to);
};

template <class T>
concept caf_state = internal::inspectable<T>;

/// Whether the user handles a state that can't be read: `recover_state(State&, const unreadable_state&)`, in the namespace of
/// State. It throws if it can't help.
template <class T>
concept recoverable_state = requires(T& to, const unreadable_state& what) {
  recover_state(to, what);
  to = T{};
};

struct storage_failure;

namespace internal {

/// Checks that JSON can hold `x`: numbers that are not finite would be stored as null, and binary values as objects. Nesting is
/// limited to json_depth_max, since writing recurses.
outcome<void> check_json(const nlohmann::json& x);

/// The part of persistent_actor that does not depend on the type of its state.
class persistent_base : public engine_actor {
public:
  persistent_base(caf::actor_config& cfg, state_in where) : engine_actor(cfg), where_(where) {}

  /// Whether nothing was stored when this instance started: the state is as constructed.
  [[nodiscard]] bool is_new() const { return is_new_; }

  /// Saves the current state. The answer comes when the engine has stored it. Use it with `then` and `answer`, not with
  /// `await`: an actor that awaits does not learn that its state is stored.
  storage_response<void> save_now();

protected:
  caf::invoke_message_result consume(caf::mailbox_element& x) override;

private:
  /// Calls `changed` with the state's record. If it returns true, the record is read back into another state.
  /// @returns what can't be serialized or read back
  [[nodiscard]] virtual outcome<void> serialize(
      const std::function<bool(state_record)>& changed) = 0;
  virtual outcome<void> deserialize(const state_record& from) = 0;
  /// @returns the reason to give up
  virtual outcome<void> recover(const unreadable_state& what) = 0;

  bool prepare() final;
  bool may_sleep() final;
  void finish_now() final;
  std::string handle_end() final;
  void handle_state_tick() final;

  void load_kv();
  void load_sql();
  void loaded(const std::vector<bytes>& parts);
  void handle_unreadable(unreadable_state what);
  void go();
  [[noreturn]] void fail_to_load(std::string_view why);

  outcome<std::vector<bytes>> parts(bool unless_given);
  void write(std::vector<bytes> parts, std::optional<caf::message_id> told = {});
  outcome<bool> save();
  void handle_written(std::uint64_t serial, const storage_failure* why);
  void complain(std::string_view why);
  void quit_unsaved(const std::string& why);
  void arm();

  state_in where_;
  bool is_new_ = true;
  bool loaded_ = false;
  bool armed_ = false;       ///< state_tick is on its way
  bool ending_ = false;      ///< it quits once its state is saved
  bool last_call_ = false;   ///< ending, and it was told that its state can't be saved
  bool complained_ = false;  ///< about an error that persists
  /// The last record given to storage; writes are carried out in order, so it is the one that stays. Empty if the write failed.
  std::vector<bytes> given_;
  std::uint64_t writes_ = 0;  ///< requested
  std::uint64_t open_ = 0;    ///< of these, not answered yet
};

}  // namespace internal

/// @tparam State  default constructible; json_state or caf_state (if both, JSON is used)
template <class State, state_in Where = state_in::kv>
class persistent_actor : public internal::persistent_base {
public:
  static_assert(
      json_state<State> || caf_state<State>,
      "the state needs to_json and from_json (NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE), or inspect for "
      "CAF");

  explicit persistent_actor(caf::actor_config& cfg) : persistent_base(cfg, Where) {}

  State state{};

private:
  outcome<void> serialize(const std::function<bool(state_record)>& changed) final {
    return guarded([&]() -> outcome<void> {
      if constexpr (json_state<State>) {
        if constexpr (std::is_same_v<State, nlohmann::json>)  // copying recurses
          if (auto good = internal::check_json(state); !good) return good;
        const nlohmann::json all(state);
        if (auto good = internal::check_json(all); !good) return good;
        if (!changed({state_record::form::json, bytes{all.dump()}})) return {};
        // What check_json and dump accept would be parsed to the same value again, at ten times the cost.
        return read_back([&](State& to) -> outcome<void> {
          all.get_to(to);
          return {};
        });
      } else {
        std::vector<std::uint8_t> out;
        if (const auto why = internal::save(system(), state, out))
          return failure{errc::malformed, describe(system(), why)};
        const state_record record{state_record::form::caf, bytes::copy_of(out)};
        if (!changed(record)) return {};
        return read_back([&](State& to) { return read(record, to); });
      }
    });
  }

  template <class F>
  static outcome<void> read_back(F f) {
    const auto good = guarded([&]() -> outcome<void> { return f(*std::make_unique<State>()); });
    if (good) return {};
    return failure{
        good.error().code, "what it is serialized to can't be read back: " + good.error().message};
  }

  outcome<void> deserialize(const state_record& from) final { return read(from, state); }

  outcome<void> recover(const unreadable_state& what) final {
    if constexpr (recoverable_state<State>) {
      return guarded([&]() -> outcome<void> {
        state = State{};
        recover_state(state, what);
        return {};
      });
    } else {
      return failure{errc::malformed, what.why};
    }
  }

  outcome<void> read(const state_record& from, State& to) {
    return guarded([&]() -> outcome<void> {
      if constexpr (json_state<State>) {
        if (from.as != state_record::form::json)
          return failure{errc::malformed, "it was stored by CAF's inspect, not as JSON"};
        const auto all = parse_json(from.content.view());
        if (!all) return all.error();
        all->get_to(to);
      } else {
        if (from.as != state_record::form::caf)
          return failure{errc::malformed, "it was stored as JSON, not by CAF's inspect"};
        std::size_t unread = 0;
        if (const auto why = internal::load(system(), from.content.span(), to, unread))
          return failure{errc::malformed, describe(system(), why)};
        if (unread != 0) return failure{errc::malformed, "more is stored than was read"};
      }
      return {};
    });
  }

  // An exception in the user's code is an error of the state.
  template <class F>
  static auto guarded(F f) -> decltype(f()) {
    try {
      return f();
    } catch (...) {
      return failure{errc::malformed, internal::describe(std::current_exception())};
    }
  }
};

}  // namespace nuncio
