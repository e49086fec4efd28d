// Streaming responses. GET /request/events is a stream of server-sent events, one for each POST /request/tell by any client;
// GET /request/count?to=N counts as fast as the client reads. The engine's buffered gateway delivers a response only at its
// end, so run the engine with its streaming gateway.
//
//   nuncio engine --streaming & example_stream --endpoint=http://127.0.0.1:6420
#include <caf/all.hpp>
#include <nuncio/host.hpp>
#include <nuncio/socket.hpp>

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

struct listeners {
  std::vector<nuncio::body_writer> all;
  int told = 0;
};

caf::behavior news(caf::stateful_actor<listeners, nuncio::engine_actor>* self) {
  return {[self](const nuncio::http_request& r) -> caf::result<nuncio::http_response> {
    const auto path = r.path_only();
    if (path == "/request/events") {
      nuncio::state_of(self).all.push_back(
          self->stream(r, {.headers = {{"content-type", "text/event-stream"}}}));
      return caf::delegated<nuncio::http_response>{};  // the stream is the response
    }
    if (path == "/request/tell") {
      const auto event = nuncio::bytes{
          "id: " + std::to_string(++nuncio::state_of(self).told) +
          "\ndata: " + std::string{r.body.view()} + "\n\n"};
      // A client that has gone, or reads so slowly that its window is full, is dropped.
      std::erase_if(nuncio::state_of(self).all, [&](const nuncio::body_writer& to) {
        if (to.write(event)) return false;
        to.fail("too slow");
        return true;
      });
      return nuncio::http_response::text(
          std::to_string(nuncio::state_of(self).all.size()) + " listen");
    }
    if (path == "/request/count") {
      const auto to = nuncio::query_number<int>(r.path, "to").value_or(0);
      const auto out = self->stream(r, {.headers = {{"content-type", "text/plain"}}});
      self->on_writable(out, [to, i = 0](nuncio::body_writer& w) mutable {
        while (i < to && w.room() >= 16)
          if (!w.write(nuncio::bytes{std::to_string(++i) + "\n"})) return;
        if (i == to) w.finish();
      });
      return caf::delegated<nuncio::http_response>{};
    }
    return nuncio::http_response{.status = 404};
  }};
}

void caf_main(caf::actor_system& system, const config& settings) {
  nuncio::host host{
      system, {.endpoint = settings.endpoint, .pool = settings.pool, .log = nuncio::stderr_log()}};
  host.serve("news", news);
  host.run_until_signal();
}

}  // namespace

CAF_MAIN()
