// See edge_actors.hpp.
#include "edge_actors.hpp"

#include <fmt/format.h>

#include <caf/all.hpp>
#include <nlohmann/json.hpp>
#include <nuncio/host.hpp>

namespace nuncio::e2e {
namespace {

using nlohmann::json;

std::runtime_error secret() { return std::runtime_error{edge_secret}; }

caf::result<http_response> fail(engine_actor* self, const http_request& r, const std::string& how) {
  if (how == "throw") throw secret();
  if (how == "throw a text") throw std::string{edge_secret};
  if (how == "throw http_error") throw http_error{409, "said aloud"};
  if (how == "return") return caf::make_error(caf::sec::runtime_error, edge_secret);
  if (how == "return http_error") return make_error(http_error{410, "said aloud"});
  if (how == "quit") {
    self->quit(caf::make_error(caf::sec::runtime_error, edge_secret));
    return self->make_response_promise();
  }
  if (how == "key-value store")
    return self->kv().put(std::string{edge_secret} + std::string(4000, 'x'), "v").answer([] {
      return http_response{};
    });
  if (how == "sql")
    return self->sql()
        .execute(fmt::format("select * from \"{}\"", edge_secret))
        .answer([](const sql_result&) { return http_response{}; });
  if (how == "in a stream") {
    const auto out = self->stream(r, {.status = 200, .headers = {}, .body = {}});
    self->on_writable(out, [](body_writer&) { throw secret(); });
    return self->make_response_promise();
  }
  return make_error(http_error{400, "no such failure"});
}

caf::result<http_response> answer(engine_actor* self, const http_request& r) {
  const auto told = r.header("x-answer");
  http_response out;
  if (!told) {
    auto text = fmt::format("{} {}\n", r.method.view(), r.path.view());
    for (const auto& [name, value] : r.headers.entries)
      text += fmt::format("{}: {}\n", name.view(), value.view());
    out.body = fmt::format("{}\n{}", text, r.body.view());
    return out;
  }
  const auto spec = json::parse(*told);
  if (const auto how = spec.value("fails", ""); !how.empty()) return fail(self, r, how);
  out.status = spec.value("status", std::uint16_t{200});
  for (const auto& header : spec.value("headers", json::array()))
    out.headers.emplace_back(header[0].get<std::string>(), header[1].get<std::string>());
  if (!spec.contains("chunks")) {
    out.body = spec.value("body", "");
    return out;
  }
  const auto writer = self->stream(r, std::move(out));
  for (const auto& part : spec["chunks"]) static_cast<void>(writer.write(part.get<std::string>()));
  writer.finish();
  return self->make_response_promise();
}

caf::behavior edges(engine_actor* self) {
  return {
      [self](const http_request& r) { return answer(self, r); },
      [](const socket_opened& s) {
        if (s.socket.path() == "/websocket/throw") throw secret();
        s.socket.accept({});
      },
      [self](const socket_message& m) {
        if (m.text() == "throw") throw secret();
        if (m.text() == "quit") self->quit(caf::make_error(caf::sec::runtime_error, edge_secret));
      },
  };
}

}  // namespace

void serve_edge_actors(host& to) { to.serve("edges", edges); }

}  // namespace nuncio::e2e
