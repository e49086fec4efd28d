// The smallest host: one actor that counts. The README shows this file.
#include <caf/all.hpp>
#include <nuncio/host.hpp>

struct count {
  int n = 0;
};

caf::behavior counter(caf::stateful_actor<count, nuncio::engine_actor>* self) {
  return {
      [self](const nuncio::http_request& r) -> caf::result<nuncio::http_response> {
        if (r.method == "POST") ++state_of(self).n;
        return nuncio::http_response::text(std::to_string(state_of(self).n));
      },
  };
}

int main() {
  caf::actor_system_config config;
  nuncio::recommended(config);
  caf::actor_system system{config};
  nuncio::host host{
      system, {.endpoint = "http://127.0.0.1:6420", .pool = "game", .log = nuncio::stderr_log()}};
  host.serve("counter", counter);
  return host.run_until_signal();
}
