// A CAF application that hosts engine actors beside its own: a `scoreboard` of its own, which every engine actor tells
// of its hits, and which answers over HTTP through any of them. Run it against an engine:
//
//   nuncio engine & example_embed --endpoint=http://127.0.0.1:6420
#include <caf/all.hpp>
#include <iostream>
#include <map>
#include <nuncio/host.hpp>

CAF_BEGIN_TYPE_ID_BLOCK(embed, caf::first_custom_type_id)
  CAF_ADD_ATOM(embed, embed, hit_atom, "hit")
  CAF_ADD_ATOM(embed, embed, top_atom, "top")
CAF_END_TYPE_ID_BLOCK(embed)

namespace {

using namespace embed;

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

// An actor of the application: knows nothing of engines.
struct scores {
  std::map<std::string, int> by_player;
};

caf::behavior scoreboard(caf::stateful_actor<scores>* self) {
  return {
      [self](hit_atom, const std::string& player) { return ++self->state.by_player[player]; },
      [self](top_atom) {
        std::string out;
        for (const auto& [player, n] : self->state.by_player) out += player + " " + std::to_string(n) + "\n";
        return out;
      },
  };
}

// An engine actor: POST hits, GET shows everybody's score. Both are answered when the scoreboard has answered, by a
// promise; meanwhile the actor goes on with other requests.
caf::behavior player(nuncio::engine_actor* self, const caf::actor& board) {
  return {
      [self, board](const nuncio::http_request& r) -> caf::result<nuncio::http_response> {
        auto promise = self->make_response_promise<nuncio::http_response>();
        const auto fail = [promise](const caf::error& e) mutable { promise.deliver(e); };
        if (r.method == "POST") {
          const auto name = std::string{self->start().key.value_or("anonymous")};
          self->request(board, std::chrono::seconds{5}, hit_atom_v, name)
              .then([promise](int n) mutable { promise.deliver(nuncio::http_response{.body = std::to_string(n)}); }, fail);
        } else {
          self->request(board, std::chrono::seconds{5}, top_atom_v)
              .then([promise](const std::string& all) mutable { promise.deliver(nuncio::http_response{.body = all}); }, fail);
        }
        return promise;
      },
  };
}

void caf_main(caf::actor_system& system, const config& settings) {
  const auto board = system.spawn(scoreboard);
  {
    nuncio::host host{
        system,
        {.endpoint = settings.endpoint,
         .pool = settings.pool,
         .log = [](nuncio::log_level, std::string_view message, std::span<const nuncio::log_field> fields) {
           std::cerr << message;
           for (const auto& f : fields) std::cerr << ' ' << f.name << '=' << f.value;
           std::cerr << '\n';
         }}};
    host.serve("player", player, board);
    host.run_until_signal();
  }
  caf::anon_send_exit(board, caf::exit_reason::user_shutdown);
}

}  // namespace

CAF_MAIN()
