// A job that runs on a schedule: POST /request/every?seconds=3600 sets it, POST /request/never ends it, GET shows what has
// happened. Between runs the actor sleeps and costs nothing; the engine wakes it. Its state is a struct that is loaded and
// saved automatically.
//
//   nuncio engine & example_cron --endpoint=http://127.0.0.1:6420
#include <caf/all.hpp>
#include <nuncio/host.hpp>
#include <nuncio/persistent_actor.hpp>
#include <nuncio/socket.hpp>

namespace {

using namespace std::chrono_literals;
using system_clock = std::chrono::system_clock;

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

struct schedule {
  int every_seconds = 0;  ///< 0: never
  int runs = 0;
  std::int64_t next_ms = 0;  ///< since 1970; the run for which an alarm is set
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(schedule, every_seconds, runs, next_ms)

system_clock::time_point at(std::int64_t ms) {
  return system_clock::time_point{std::chrono::milliseconds{ms}};
}

caf::behavior job(nuncio::persistent_actor<schedule>* self) {
  const auto set_next = [self](system_clock::time_point when) {
    self->state.next_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count();
    self->set_alarm(when);
  };
  return {
      // An alarm comes at least once. The time of the next run is part of the state, so that no run is counted twice.
      [self, set_next](const nuncio::alarm_due&) {
        auto& x = self->state;
        if (x.every_seconds == 0 || at(x.next_ms) > system_clock::now()) return;
        ++x.runs;  // the work
        set_next(
            std::max(at(x.next_ms) + std::chrono::seconds{x.every_seconds}, system_clock::now()));
        self->save_now().then([self] { self->sleep(); });  // until the next
      },
      [self, set_next](const nuncio::http_request& r) -> caf::result<nuncio::http_response> {
        auto& x = self->state;
        if (r.method == "POST" && r.path_only() == "/request/every") {
          const auto seconds = nuncio::query_number<int>(r.path, "seconds").value_or(0);
          if (seconds < 1) return nuncio::http_response::text("wants ?seconds=NUMBER\n", 400);
          x.every_seconds = seconds;
          set_next(system_clock::now() + std::chrono::seconds{seconds});
        } else if (r.method == "POST" && r.path_only() == "/request/never") {
          x.every_seconds = 0;
          self->clear_alarm();
        }
        auto said = std::to_string(x.runs) + " runs, generation " +
                    std::to_string(self->start().self.generation);
        return self->save_now().answer([said] { return nuncio::http_response::text(said); });
      },
  };
}

void caf_main(caf::actor_system& system, const config& settings) {
  nuncio::host host{
      system, {.endpoint = settings.endpoint, .pool = settings.pool, .log = nuncio::stderr_log()}};
  host.serve("job", job);
  host.run_until_signal();
}

}  // namespace

CAF_MAIN()
