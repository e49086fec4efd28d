// An engine actor whose state is there again after sleep, crash and move: a struct of the user's that nlohmann_json or
// CAF's inspect can read and write.
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
// The state is loaded before the function (a class: make_behavior) runs, and so before the first message. It is saved
// within a second of a turn that changed it, at most once a second; before the actor sleeps or stops; and by save_now(). A
// handler of stop_command ends with finish(), which waits until the state is stored.
// What a crash loses is what changed since: an exception or quit with an error saves nothing, for a state that made its
// actor fail may be broken. If the state can't be loaded the actor fails with the reason, and what is stored stays as it
// is. To compare with, the serialized state is kept in memory.
#pragma once

#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>
#include <nlohmann/json.hpp>
#include <nuncio/engine_actor.hpp>
#include <nuncio/state_record.hpp>
#include <nuncio/storage_response.hpp>
#include <type_traits>
#include <utility>

namespace nuncio {

/// Where a state is kept.
enum class state_in : std::uint8_t {
  kv,   ///< up to 976 KiB; in keys of the runtime's own, which kv() does not show
  sql,  ///< up to 4 MiB, in the actor's database as the table _nuncio_state; not together with open_sqlite()
};

template <class T>
concept json_state = requires(const T& from, T& to) {
  nlohmann::json(from);
  std::declval<const nlohmann::json&>().get_to(to);
};

template <class T>
concept caf_state = requires(T& x, caf::binary_serializer& to, caf::binary_deserializer& from) {
  { inspect(to, x) } -> std::convertible_to<caf::error>;
  { inspect(from, x) } -> std::convertible_to<caf::error>;
};

namespace internal {

/// All of persistent_actor that does not depend on the type of its state.
class persistent_base : public engine_actor {
public:
  persistent_base(caf::actor_config& cfg, state_in where) : engine_actor(cfg), where_(where) {}

  /// Whether nothing was stored when this instance started: the state is as it was constructed.
  [[nodiscard]] bool is_new() const { return is_new_; }

  /// Saves the state as it is now. The answer comes when the engine has it.
  storage_response<void> save_now();

protected:
  caf::invoke_message_result consume(caf::mailbox_element& x) override;

private:
  [[nodiscard]] virtual outcome<state_record> serialize() = 0;
  virtual outcome<void> deserialize(const state_record& from) = 0;

  bool prepare() final;
  void finish_now() final;
  void handle_end() final;
  void handle_state_tick() final;

  void load_kv();
  void load_sql();
  void loaded(const std::vector<bytes>& parts);
  [[noreturn]] void fail_to_load(std::string_view why);

  outcome<std::vector<bytes>> parts();
  storage_response<void> write(const std::vector<bytes>& parts);
  bool save_if_changed();
  void handle_saved();
  void handle_not_saved(const caf::error& why);
  void complain(std::string_view why);
  void arm();

  state_in where_;
  bool is_new_ = true;
  bool loaded_ = false;
  bool armed_ = false;               ///< state_tick is on its way
  bool saving_ = false;              ///< a save by itself is not answered yet
  bool saving_for_the_end_ = false;  ///< it quits once its state is saved
  bool complained_ = false;          ///< of what still fails
  std::vector<bytes> saved_;  ///< what storage was last given; empty if it is not known to have it
};

}  // namespace internal

/// @tparam State  default constructible; json_state or caf_state (of both, JSON is taken)
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
  outcome<state_record> serialize() final {
    if constexpr (json_state<State>) {
      try {
        return state_record{state_record::form::json, bytes{nlohmann::json(state).dump()}};
      } catch (const std::exception& e) {
        return failure{errc::malformed, e.what()};
      }
    } else {
      std::vector<char> out;
      caf::binary_serializer sink{system(), out};
      if (const caf::error why = inspect(sink, state))
        return failure{errc::malformed, describe(system(), why)};
      return state_record{
          state_record::form::caf,
          bytes::copy_of({reinterpret_cast<const std::uint8_t*>(out.data()), out.size()})};
    }
  }

  outcome<void> deserialize(const state_record& from) final {
    if constexpr (json_state<State>) {
      if (from.as != state_record::form::json)
        return failure{errc::malformed, "it was stored by CAF's inspect, not as JSON"};
      try {
        nlohmann::json::parse(from.content.begin(), from.content.end()).get_to(state);
        return {};
      } catch (const std::exception& e) {
        return failure{errc::malformed, e.what()};
      }
    } else {
      if (from.as != state_record::form::caf)
        return failure{errc::malformed, "it was stored as JSON, not by CAF's inspect"};
      caf::binary_deserializer source{
          system(), reinterpret_cast<const char*>(from.content.data()), from.content.size()};
      if (const caf::error why = inspect(source, state))
        return failure{errc::malformed, describe(system(), why)};
      if (source.remaining() != 0) return failure{errc::malformed, "more is stored than was read"};
      return {};
    }
  }
};

}  // namespace nuncio
