// A leaderboard in SQL: POST /request/score?player=ann&points=42 keeps each player's best, GET /request/top?n=10 lists them as
// JSON. The engine runs the statements; nothing blocks here.
//
//   nuncio engine & example_leaderboard --endpoint=http://127.0.0.1:6420
#include <algorithm>
#include <caf/all.hpp>
#include <nlohmann/json.hpp>
#include <nuncio/host.hpp>
#include <nuncio/socket.hpp>
#include <nuncio/sql.hpp>
#include <nuncio/utf8.hpp>

namespace {

struct config : caf::actor_system_config {
  config() {
    nuncio::recommended(*this);
    opt_group{custom_options_, "global"}
        .add(endpoint, "endpoint,e", "URL of the engine")
        .add(pool, "pool,p", "pool of this host");
  }

  std::string endpoint = "http://127.0.0.1:6420";
  std::string pool = "game";
};

nuncio::http_response bad_request(std::string why) {
  return {.status = 400, .headers = {}, .body = std::move(why)};
}

caf::behavior leaderboard(nuncio::engine_actor* self) {
  self->sql()
      .exec(
          "create table if not exists best (player text primary key, points integer not null);"
          "create index if not exists by_points on best (points desc)")
      .then([](const nuncio::sql_result&) {});
  return {[self](const nuncio::http_request& r) -> caf::result<nuncio::http_response> {
    if (r.method == "POST" && r.path_only() == "/request/score") {
      const auto player = r.query("player");
      const auto points = nuncio::query_number<std::int64_t>(r.path, "points");
      if (!player || player->empty() || !nuncio::is_utf8(*player) || !points)
        return bad_request("wants ?player=NAME&points=NUMBER, the name in UTF-8\n");
      return self->sql()
          .execute(
              "insert into best values (?, ?) on conflict (player) do update set points = "
              "max(points, excluded.points) "
              "returning points",
              *player,
              *points)
          .answer([](const nuncio::sql_result& x) {
            return nuncio::http_response::text(
                std::to_string(x.rows.at(0).at(0).integer().value_or(0)));
          });
    }
    if (r.method == "GET" && r.path_only() == "/request/top") {
      const auto n = std::clamp<std::int64_t>(
          nuncio::query_number<std::int64_t>(r.path, "n").value_or(10), 1, 1000);
      return self->sql()
          .execute("select player, points from best order by points desc, player limit ?", n)
          .answer([](const nuncio::sql_result& x) {
            auto out = nlohmann::json::array();
            for (const auto& row : x.rows)
              out.push_back(
                  {{"player", row[0].string().value_or("")},
                   {"points", row[1].integer().value_or(0)}});
            return nuncio::http_response::json(out);
          });
    }
    return nuncio::http_response{.status = 404};
  }};
}

void caf_main(caf::actor_system& system, const config& settings) {
  nuncio::host host{
      system, {.endpoint = settings.endpoint, .pool = settings.pool, .log = nuncio::stderr_log()}};
  host.serve("leaderboard", leaderboard);
  host.run_until_signal();
}

}  // namespace

CAF_MAIN()
