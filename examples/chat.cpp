// A chat room: WebSockets that stay open while the room sleeps, and a history in the room's own SQLite database, which the
// engine keeps. Run it against an engine and connect with a client that offers the subprotocol `rivet`, in a browser:
//   new WebSocket("ws://127.0.0.1:6420/gateway/room/websocket/?name=ann&rvt-namespace=default&rvt-method=getOrCreate" +
//                 "&rvt-runner=game&rvt-key=lobby", ["rivet"])
//
//   nuncio engine & example_chat --endpoint=http://127.0.0.1:6420
#include <caf/all.hpp>
#include <nuncio/host.hpp>
#include <nuncio/socket.hpp>
#include <nuncio/sql.hpp>

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

caf::behavior room(nuncio::engine_actor* self) {
  // An error of storage ends the room; the next client message starts it again.
  self->sql()
      .exec("create table if not exists message (id integer primary key, who text, said text)")
      .then([](const nuncio::sql_result&) {});
  return {
      // A newcomer gets the last twenty messages before it joins, so messages stored meanwhile come once, after them. Its name
      // is kept with its connection, through sleep and crash.
      [self](nuncio::socket_opened& s) {
        self->sql()
            .execute(
                "select who || ': ' || said from (select * from message order by id desc limit 20) "
                "order by id")
            .then([socket = s.socket](const nuncio::sql_result& history) {
              const auto name = socket.query("name").value_or("somebody");
              if (!socket.accept({.hibernate = true, .state = nuncio::bytes{name}})) return;
              for (const auto& row : history.rows)
                socket.send(nuncio::text{row[0].string().value_or("")});
            });
      },
      // A message is broadcast once it is stored.
      [self](const nuncio::socket_message& m) {
        const std::string who{m.socket.state().view()}, said{m.text()};
        self->sql()
            .execute("insert into message (who, said) values (?, ?)", who, said)
            .then([self, who, said](const nuncio::sql_result&) {
              self->broadcast(nuncio::text{who + ": " + said});
            });
      },
      [](const nuncio::socket_restored&) {},  // its name is in its state
      [](const nuncio::socket_closed&) {},
      // The history over HTTP.
      [self](const nuncio::http_request&) {
        return self->sql()
            .execute("select who || ': ' || said from message order by id")
            .answer([](const nuncio::sql_result& history) {
              std::string out;
              for (const auto& row : history.rows)
                out += std::string{row[0].string().value_or("")} + '\n';
              return nuncio::http_response::text(out);
            });
      },
  };
}

void caf_main(caf::actor_system& system, const config& settings) {
  nuncio::host host{
      system, {.endpoint = settings.endpoint, .pool = settings.pool, .log = nuncio::stderr_log()}};
  host.serve("room", room);
  host.run_until_signal();
}

}  // namespace

CAF_MAIN()
