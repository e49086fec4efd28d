// See bystander_actors.hpp.
#include "bystander_actors.hpp"

#include <fmt/format.h>

#include <caf/all.hpp>
#include <nuncio/host.hpp>
#include <nuncio/kv.hpp>
#include <thread>

namespace nuncio::e2e {
namespace {

constexpr std::size_t bystander_chunk = 16384;

http_response with_status(std::uint16_t status, std::string body = {}) {
  return {.status = status, .headers = {}, .body = std::move(body)};
}

http_response generation_of(const engine_actor* self) {
  return with_status(200, std::to_string(self->start().self.generation));
}

std::uint64_t asked_for(const http_request& r, std::string_view name) {
  return query_number<std::uint64_t>(r.path, name).value_or(0);
}

struct bystander_state {
  std::uint64_t counted = 0, alarms = 0, heard = 0;
  connection open;
};

using bystander_self = caf::stateful_actor<bystander_state, engine_actor>;

http_response count_one(bystander_self* self, const http_request& r) {
  if (const auto in = query_number<std::uint64_t>(r.path, "alarm"))
    self->set_alarm(std::chrono::system_clock::now() + std::chrono::milliseconds{*in});
  return with_status(
      200, fmt::format("{} {}", ++state_of(self).counted, self->start().self.generation));
}

void send_down(bystander_self* self, const http_request& r) {
  const auto body = seeded_body(asked_for(r, "bytes"), asked_for(r, "seed"));
  const auto out = self->stream(r, {.status = 200, .headers = {}, .body = {}});
  self->on_writable(out, [body, sent = std::size_t{0}](const body_writer& to) mutable {
    while (to.is_open() && sent < body.size()) {
      const auto size = std::min({bystander_chunk, body.size() - sent, to.room()});
      if (size == 0 || !to.write(bytes{body.substr(sent, size)})) return;
      sent += size;
    }
    if (to.is_open()) to.finish();
  });
}

caf::result<http_response> take_up(bystander_self* self, const http_request& r) {
  struct progress {
    std::size_t size = 0;
    std::uint64_t sum = 0;
  };

  auto answer = self->make_response_promise<http_response>();
  static_cast<void>(self->on_body(r, [answer, so_far = progress{}](const request_part& x) mutable {
    so_far.size += x.data.size();
    so_far.sum = summed(so_far.sum, x.data.view());
    if (x.last) answer.deliver(with_status(200, receipt_of(so_far.size, so_far.sum)));
  }));
  return answer;
}

caf::result<http_response> handle_kept(bystander_self* self, const http_request& r) {
  auto answer = self->make_response_promise<http_response>();
  const auto failed = [answer](const caf::error& e) mutable {
    answer.deliver(with_status(500, caf::to_string(e)));
  };
  if (r.method == "GET") {
    self->kv().get("kept").then(
        [answer](const std::optional<bytes>& x) mutable {
          answer.deliver(with_status(x ? 200 : 404, std::string{x ? x->view() : ""}));
        },
        failed);
    return answer;
  }
  const auto all = std::make_shared<std::string>();
  static_cast<void>(self->on_body(r, [=](const request_part& part) mutable {
    all->append(part.data.view());
    if (part.last)
      self->kv()
          .put("kept", *all)
          .then([answer]() mutable { answer.deliver(with_status(200)); }, failed);
  }));
  return answer;
}

std::uint64_t number_kept(const connection& socket) {
  const auto kept = socket.state();
  std::uint64_t n = 0;
  std::from_chars(kept.view().data(), kept.view().data() + kept.size(), n);
  return n;
}

void answer_message(bystander_self* self, const socket_message& m) {
  auto& heard = state_of(self).heard;
  const auto n = m.socket.hibernates() ? number_kept(m.socket) + 1 : ++heard;
  if (m.socket.hibernates()) m.socket.set_state(bytes{std::to_string(n)});
  m.socket.send(text{fmt::format("{} {}", n, m.text())});
}

caf::behavior bystander(bystander_self* self) {
  return {
      [self](const http_request& r) -> caf::result<http_response> {
        const auto path = r.path_only();
        if (path == "/count") return count_one(self, r);
        if (path == "/up") return take_up(self, r);
        if (path == "/kv") return handle_kept(self, r);
        if (path != "/down") return with_status(404);
        send_down(self, r);
        return caf::delegated<http_response>{};
      },
      [self](const socket_opened& s) {
        const bool hibernate = s.socket.path() == "/hibernate";
        s.socket.accept({.hibernate = hibernate, .state = {}});
        if (hibernate) return;
        state_of(self).open = s.socket;
        state_of(self).heard = 0;
      },
      [self](const socket_message& m) { answer_message(self, m); },
      [self](const alarm_due&) {
        static_cast<void>(
            state_of(self).open.send(text{fmt::format("alarm {}", ++state_of(self).alarms)}));
      }};
}

http_response crooked(engine_actor* self, const http_request& r) {
  const auto path = r.path_only();
  if (path == "/throw") throw std::runtime_error{"the crook threw"};
  if (path == "/block") std::this_thread::sleep_for(std::chrono::milliseconds{asked_for(r, "ms")});
  if (path == "/quit") self->quit();
  if (path == "/sleep") self->sleep();
  auto out = generation_of(self);
  if (path == "/lie")
    out = {
        .status = 200,
        .headers = {{"content-length", std::to_string(asked_for(r, "length"))}},
        .body = std::string{"x"}};
  if (path == "/status") out.status = static_cast<std::uint16_t>(asked_for(r, "is"));
  if (path == "/headers")
    for (std::uint64_t i = 0; i < asked_for(r, "bytes") / 1000; ++i)
      out.headers.emplace_back(fmt::format("x-crook-{}", i), std::string(1000, 'x'));
  return out;
}

caf::behavior crook(engine_actor* self) {
  return {
      [self](const http_request& r) { return crooked(self, r); },
      [](const socket_opened& s) { s.socket.accept(); },
      [](const socket_message&) { throw std::runtime_error{"the crook threw at a message"}; }};
}

caf::behavior sluggard(engine_actor* self) {
  return {
      [self](const http_request&) { return generation_of(self); },
      [](const socket_opened& s) { s.socket.accept(); },
      [](const socket_message&) { std::this_thread::sleep_for(std::chrono::milliseconds{20}); }};
}

// The engine gives a start 30 s.
caf::behavior laggard(engine_actor* self) {
  std::this_thread::sleep_for(std::chrono::seconds{32});
  return {[self](const http_request&) { return generation_of(self); }};
}

caf::behavior dozer(engine_actor* self) {
  return {
      [self](const http_request&) { return generation_of(self); },
      [](const socket_opened& s) { s.socket.accept(); },
      [](const socket_message& m) { m.socket.send(m.data, m.binary); }};
}

caf::behavior mayfly(engine_actor* self) {
  return {[self](const http_request& r) {
    if (r.path_only() == "/sleep") self->sleep();
    if (r.path_only() == "/destroy") self->destroy();
    return generation_of(self);
  }};
}

// Tells all its clients as many bytes as one of them says.
caf::behavior crier(engine_actor* self) {
  return {
      [self](const http_request&) { return generation_of(self); },
      [](const socket_opened& s) {
        s.socket.accept();
        s.socket.send(text{"welcome"});
      },
      [self](const socket_message& m) {
        std::uint64_t size = 0;
        const auto said = m.text();
        std::from_chars(said.data(), said.data() + said.size(), size);
        self->broadcast(bytes{std::string(size, 'x')});
      }};
}

}  // namespace

void serve_bystander_actors(host& to) {
  to.serve(serve_options{.name = "bystander", .stream_requests = true}, bystander);
  to.serve("crook", crook);
  to.serve(serve_options{.name = "sluggard", .detached = true}, sluggard);
  to.serve(serve_options{.name = "dozer", .idle_timeout = std::chrono::seconds{1}}, dozer);
  to.serve(serve_options{.name = "laggard", .detached = true}, laggard);
  to.serve("mayfly", mayfly);
  to.serve("crier", crier);
}

std::string seeded_body(std::size_t size, std::size_t seed) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>((i + seed) % 251);
  return out;
}

std::string receipt_of(std::size_t size, std::uint64_t sum) {
  return fmt::format("{} {:016x}", size, sum);
}

std::uint64_t summed(std::uint64_t sum, std::string_view more) {
  for (const char c : more) sum = (sum ^ static_cast<unsigned char>(c)) * 1099511628211ULL + 1;
  return sum;
}

}  // namespace nuncio::e2e
