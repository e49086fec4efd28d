// A CAF application that hosts engine actors beside its own actors: a `scoreboard`, to which every engine actor reports hits
// and which answers over HTTP through any of them; and a `referee` that finds an engine actor by its key and talks to it like
// to any other actor. Run it against an engine:
//
//   nuncio engine & example_embed --endpoint=http://127.0.0.1:6420
#include <caf/all.hpp>
#include <iostream>
#include <map>
#include <nuncio/directory.hpp>
#include <nuncio/host.hpp>
#include <nuncio/socket.hpp>

CAF_BEGIN_TYPE_ID_BLOCK(embed, caf::first_custom_type_id)
CAF_ADD_ATOM(embed, embed, hit_atom, "hit")
CAF_ADD_ATOM(embed, embed, top_atom, "top")
CAF_ADD_ATOM(embed, embed, foul_atom, "foul")
CAF_ADD_ATOM(embed, embed, whistle_atom, "whistle")
CAF_END_TYPE_ID_BLOCK(embed)

namespace {

using namespace embed;

struct config : caf::actor_system_config {
  config() {
    nuncio::recommended(*this);
    nuncio::register_types<caf::id_block::embed>();
    opt_group{custom_options_, "global"}
        .add(endpoint, "endpoint,e", "URL of the engine")
        .add(pool, "pool,p", "pool of this host");
  }

  std::string endpoint = "http://127.0.0.1:6420";
  std::string pool = "game";
};

// An actor of the application: it knows nothing about engines.
struct scores {
  std::map<std::string, int> by_player;
};

caf::behavior scoreboard(caf::stateful_actor<scores>* self) {
  return {
      [self](hit_atom, const std::string& player) {
        return ++nuncio::state_of(self).by_player[player];
      },
      [self](top_atom) {
        std::string out;
        for (const auto& [player, n] : nuncio::state_of(self).by_player)
          out += player + " " + std::to_string(n) + "\n";
        return out;
      },
  };
}

// An engine actor: POST hits, GET shows everyone's score. Both are answered by a promise when the scoreboard has answered;
// meanwhile the actor handles other requests.
caf::behavior player(nuncio::engine_actor* self, const caf::actor& board) {
  return {
      [self, board](const nuncio::http_request& r) -> caf::result<nuncio::http_response> {
        auto promise = self->make_response_promise<nuncio::http_response>();
        const auto fail = [promise](const caf::error& e) mutable { promise.deliver(e); };
        if (r.method == "POST") {
          const auto name = std::string{self->start().key.value_or("anonymous")};
          self->request(board, std::chrono::seconds{5}, hit_atom_v, name)
              .then(
                  [promise](int n) mutable {
                    promise.deliver(nuncio::http_response::text(std::to_string(n)));
                  },
                  fail);
        } else {
          self->request(board, std::chrono::seconds{5}, top_atom_v)
              .then(
                  [promise](const std::string& all) mutable {
                    promise.deliver(nuncio::http_response::text(all));
                  },
                  fail);
        }
        return promise;
      },
      // From the application's own actors.
      [self, board](foul_atom) {
        self->request(board, std::chrono::seconds{5}, hit_atom_v, std::string{"fouls"})
            .then([](int) {});
        return std::string{self->start().key.value_or("anonymous")} + " sits out";
      },
  };
}

// Another actor of the application. GET /foul?who=KEY comes in through the engine actor `whistle`; the referee looks for the
// player on this host, though the engine may have placed it on another.
caf::behavior referee(caf::event_based_actor* self, const caf::actor& directory) {
  return {
      [self, directory](whistle_atom, const std::string& who) {
        auto promise = self->make_response_promise<std::string>();
        const auto no = [promise, who](const caf::error& e) mutable {
          promise.deliver(
              nuncio::is_not_here(e) ? who + " does not play here" : std::string{"no answer"});
        };
        self->request(directory, std::chrono::seconds{5}, nuncio::find{"player", {who}})
            .then(
                [self, promise, no](const caf::actor& player) {
                  self->request(player, std::chrono::seconds{5}, foul_atom_v)
                      .then(
                          [promise](std::string said) mutable { promise.deliver(std::move(said)); },
                          no);
                },
                no);
        return promise;
      },
  };
}

caf::behavior whistle(nuncio::engine_actor* self, const caf::actor& to) {
  return {[self, to](const nuncio::http_request& r) {
    auto promise = self->make_response_promise<nuncio::http_response>();
    self->request(to, std::chrono::seconds{10}, whistle_atom_v, r.query("who").value_or(""))
        .then(
            [promise](std::string said) mutable {
              promise.deliver(nuncio::http_response::text(std::move(said)));
            },
            [promise](const caf::error& e) mutable { promise.deliver(e); });
    return promise;
  }};
}

void caf_main(caf::actor_system& system, const config& settings) {
  const auto board = system.spawn(scoreboard);
  {
    nuncio::host host{
        system,
        {.endpoint = settings.endpoint, .pool = settings.pool, .log = nuncio::stderr_log()}};
    host.serve("player", player, board);
    const auto judge = system.spawn(referee, host.directory());
    host.serve("whistle", whistle, judge);
    host.run_until_signal();
    caf::anon_send_exit(judge, caf::exit_reason::user_shutdown);
  }
  caf::anon_send_exit(board, caf::exit_reason::user_shutdown);
}

}  // namespace

CAF_MAIN()
