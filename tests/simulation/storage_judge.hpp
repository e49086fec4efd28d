// Stands beside a storage_requests and is shown all that goes in and out: knows each request, says beforehand which of them
// ends now and how, and throws `violated` if the machine does something else. Keeps its own count of room, deadlines and
// statistics.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nuncio/storage/storage_requests.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "simulation/scheduler.hpp"
#include "simulation/storage_coverage.hpp"
#include "simulation/violated.hpp"

namespace nuncio::simulation {

class storage_judge {
public:
  storage_judge(scheduler& time, storage_limits limits, answer_flow_limits flow, tally& seen)
      : time_(time), limits_(limits), flow_(flow), seen_(seen) {}

  // -- what the machine is given; each before it is

  void handle_asked(const storage_requests::request& what);
  /// All that this led to was polled.
  void handle_asked_and_polled(std::uint64_t ticket);
  void handle_message(const protocol::to_envoy& what);
  void handle_link_up(epoch connection);
  void handle_link_down();
  void handle_link_over(errc why);
  void handle_not_sent(std::uint32_t id, errc why);

  void handle_room() { full_ = false; }

  void handle_consumed(const actor_ref& who, std::size_t bytes);
  void handle_gate_closed(const actor_ref& who);
  void handle_down(const actor_ref& who);
  void handle_expire();

  // -- what it says

  void handle_frame(const storage_requests::frame& frame);
  void handle_result(const storage_requests::result& result);
  void handle_finished(const actor_ref& who);

  /// All was polled.
  void check(const storage_requests& machine);

  /// Whether anything of these generations of an actor is open that may still be written.
  [[nodiscard]] bool open(const actor_id& actor, std::uint32_t from, std::uint32_t to) const;

  [[nodiscard]] bool idle() const { return open_.empty(); }

private:
  enum class fate : std::uint8_t { waiting, in_flight };

  struct asked {
    actor_ref who;
    storage_kind kind{};
    storage_call call;
    std::size_t bytes = 0;
    time_point deadline;
    fate at = fate::waiting;
    std::uint32_t id = 0;
    bool again = false;        ///< after a cut it is sent again
    bool sent_before = false;  ///< on an earlier connection
    bool taken_back = false;   ///< the link had not sent it
    bool awaited = false;
    bool held = false;          ///< there was no room for its answer
    bool held_by_link = false;  ///< though memory had some
    // what its asker is to be told next, if it is told something
    std::optional<storage_row> cause{};
    std::optional<errc> code{};
  };

  struct instance {
    std::shared_ptr<const output_gate> gate;
    bool down = false;
    std::size_t kept = 0;  ///< of answers that it has not dealt with
    time_point give_up{};
  };

  struct use {
    std::size_t own = 0;  ///< of one instance
    std::size_t all = 0;  ///< of all, beyond the shares that are their own
  };

  enum class room : std::uint8_t { some, none_of_actor, none_of_host };

  void count(storage_row r, storage_kind k) { seen_.count(r, k); }

  static bool reads(storage_kind x) {
    return x == storage_kind::kv_read || x == storage_kind::sql_read ||
           x == storage_kind::pages_read;
  }

  void judge_bounds(asked& x, const instance& of);
  template <class Choose>
  void expect(Choose&& chosen, errc code, storage_row waiting, storage_row in_flight);
  void lose();
  std::uint64_t next_of(const std::shared_ptr<const output_gate>& gate) const;
  use use_of(const actor_ref& who) const;
  [[nodiscard]] std::size_t beyond_share(std::size_t n) const;
  [[nodiscard]] bool awaits(const actor_ref& who) const;
  [[nodiscard]] bool is_beyond_kept(const asked& x) const;
  void judge_held_up(std::uint64_t ticket, asked& x) const;
  [[nodiscard]] room memory_for(const asked& x) const;
  void must_have_room(const asked& x, const instance& of) const;
  [[nodiscard]] bool carries_all() const;
  [[nodiscard]] bool is_next(std::uint64_t ticket) const;
  void must_wait_for_something() const;

  scheduler& time_;
  storage_limits limits_;
  answer_flow_limits flow_;
  tally& seen_;
  std::map<actor_ref, instance> instances_;           ///< until they are finished
  std::map<std::uint64_t, asked> open_;               ///< by ticket, until they end
  std::map<std::uint32_t, std::uint64_t> in_flight_;  ///< tickets by id
  std::set<actor_ref> finished_;
  std::vector<std::uint64_t> due_;
  std::string_view due_why_;
  std::uint64_t last_ticket_ = 0;
  epoch link_ = 0;
  std::optional<errc> over_;
  bool full_ = false;  ///< the link has said so
  std::uint64_t answered_ = 0, refused_ = 0, retried_ = 0, uncertain_ = 0, timed_out_ = 0,
                strays_ = 0;
};

}  // namespace nuncio::simulation
