// See storage_model.hpp.
#include "simulation/storage_model.hpp"

#include <nuncio/support/overloaded.hpp>
#include <type_traits>

#include "simulation/stored_number.hpp"

namespace nuncio::simulation {

using namespace protocol;

namespace {

// The answer to each request, and what it says when it is an error.
template <class Request>
struct response_to;

template <>
struct response_to<to_rivet_kv_request> {
  using type = to_envoy_kv_response;
};

template <>
struct response_to<to_rivet_sqlite_get_pages_request> {
  using type = to_envoy_sqlite_get_pages_response;
};

template <>
struct response_to<to_rivet_sqlite_commit_request> {
  using type = to_envoy_sqlite_commit_response;
};

template <>
struct response_to<to_rivet_sqlite_commit_stage_begin_request> {
  using type = to_envoy_sqlite_commit_stage_begin_response;
};

template <>
struct response_to<to_rivet_sqlite_commit_stage_segment_request> {
  using type = to_envoy_sqlite_commit_stage_segment_response;
};

template <>
struct response_to<to_rivet_sqlite_commit_finalize_request> {
  using type = to_envoy_sqlite_commit_finalize_response;
};

template <>
struct response_to<to_rivet_sqlite_exec_request> {
  using type = to_envoy_sqlite_exec_response;
};

template <>
struct response_to<to_rivet_sqlite_execute_request> {
  using type = to_envoy_sqlite_execute_response;
};

template <>
struct response_to<to_rivet_sqlite_execute_batch_request> {
  using type = to_envoy_sqlite_execute_batch_response;
};

template <class Request>
using answer_to = typename response_to<Request>::type;

template <class Request>
concept storing = requires {
  typename answer_to<Request>;
};

template <class Request>
constexpr bool is_kv = std::is_same_v<Request, to_rivet_kv_request>;

/// Statements that fail leave nothing behind, if they are not a script.
template <class Request>
constexpr bool fails_as_a_whole = std::is_same_v<Request, to_rivet_sqlite_execute_request> ||
                                  std::is_same_v<Request, to_rivet_sqlite_execute_batch_request>;

template <class Request>
const actor_id& actor_of(const Request& x) {
  if constexpr (is_kv<Request>)
    return x.actor_id;
  else
    return x.data.actor_id;
}

template <class Request>
answer_to<Request> failed(const Request& x, std::string_view why) {
  if constexpr (is_kv<Request>)
    return {x.request_id, kv_error_response{text{"transaction failed"}}};
  else
    return {x.request_id, sqlite_error_response{text{"core"}, text{"internal_error"}, text{why}}};
}

}  // namespace

bool storage_model::fenced(const actor_id& of, std::uint64_t generation) const {
  const auto now = to_.generation(of);
  return !now || *now != generation;
}

template <class Request>
auto storage_model::perform(const Request& x) {
  using response = answer_to<Request>;
  const auto& actor = actor_of(x);
  if constexpr (is_kv<Request>) {
    to_.done(actor, x);
    return kv_.answer(x);
  } else {
    bool other = false;
    if constexpr (requires { x.data.expected_generation; })
      other = fenced(actor, x.data.expected_generation.value_or(0));
    else
      other = x.data.namespace_id != "default" || fenced(actor, x.data.generation);
    if (other) return failed(x, "actor does not exist");
    response out;
    out.request_id = x.request_id;
    if constexpr (requires { pages_[actor].answer(x.data); }) {
      auto& all = pages_[actor];
      if (all.head && random_.permille(faults.by_another_permille)) all.change_by_another();
      out.data = all.answer(x.data);
    } else {
      if (const auto what = number_written(x)) rows_[actor] = what->number;
      if constexpr (std::is_same_v<response, to_envoy_sqlite_execute_response>) {
        sqlite_execute_ok ok;
        if (const auto n = rows_[actor]; n != 0 && !number_written(x))
          ok.result.rows.push_back({sqlite_value_integer{static_cast<std::int64_t>(n)}});
        out.data = std::move(ok);
      }
    }
    to_.done(actor, x);
    return out;
  }
}

template <class Response>
void storage_model::send(Response response) {
  if (random_.permille(faults.odd_permille)) {
    if constexpr (std::is_same_v<Response, to_envoy_kv_response>)
      return to_.send(to_envoy_sqlite_get_pages_response{response.request_id, {}});
    else if (random_.percent(50))
      return to_.send(to_envoy_kv_response{response.request_id, kv_get_response{}});
    else
      return to_.send(to_envoy_kv_response{response.request_id, kv_error_response{text{"no"}}});
  }
  to_.send(response);
  if (!random_.permille(faults.twice_permille)) return;
  // Again, there or on a later connection, where it answers nothing.
  time_.after(random_.between(0ms, 5s), side::engine, [this, response = std::move(response)] {
    if (connection_ != 0) to_.send(response);
  });
}

template <class Request>
void storage_model::carry_out(std::uint64_t connection, const Request& x) {
  if (connection != connection_) return;
  auto& stuck = stuck_[actor_of(x)];
  if (stuck == connection) return;
  if (random_.permille(faults.refused_permille)) {
    auto answer = failed(x, "no");
    if (!fails_as_a_whole<Request> && random_.percent(50)) static_cast<void>(perform(x));
    return send(std::move(answer));
  }
  if (random_.permille(faults.silent_permille)) {
    stuck = connection;
    if (random_.percent(50)) static_cast<void>(perform(x));
    return;
  }
  send(perform(x));
}

bool storage_model::handle_frame(std::uint64_t connection, const to_rivet& frame) {
  return std::visit(
      [&]<class Request>(const Request& x) {
        if constexpr (storing<Request>) {
          auto& last = last_[actor_of(x)];
          last = std::max(last, time_.now() + random_.between(0ms, faults.slow ? 4s : 20ms));
          time_.at(last, side::engine, [this, connection, x] { carry_out(connection, x); });
          return true;
        } else {
          return false;
        }
      },
      frame);
}

}  // namespace nuncio::simulation
