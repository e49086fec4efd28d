// See sample_actors.hpp. Paths begin with /request, where stock clients send requests for a handler.
#include "sample_actors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <caf/all.hpp>
#include <random>

namespace nuncio {
namespace {

http_response plain(std::uint16_t status, std::string body) {
  return {.status = status, .headers = {{"content-type", "text/plain"}}, .body = std::move(body)};
}

http_response no_route(const http_request& r) {
  return plain(404, fmt::format("no route for {} {}\n", r.method.view(), r.path_only()));
}

struct count {
  std::uint64_t n = 0;
};

caf::behavior counter(
    caf::stateful_actor<count, engine_actor>* self, const std::shared_ptr<start_census>& census) {
  census->count(self->start().self);
  return {[self](const http_request& r) -> caf::result<http_response> {
    if (r.method == "GET" && r.path_only() == "/request/count")
      return plain(200, std::to_string(state_of(self).n));
    if (r.method == "POST" && r.path_only() == "/request/increment")
      return plain(200, std::to_string(++state_of(self).n));
    return no_route(r);
  }};
}

caf::behavior echo(engine_actor* self, const std::shared_ptr<start_census>& census) {
  census->count(self->start().self);
  return {[](const http_request& r) -> caf::result<http_response> {
    http_response out{.status = 200, .headers = {}, .body = r.body};
    if (const auto type = r.header("content-type"))
      out.headers.emplace_back("content-type", std::string{*type});
    return out;
  }};
}

caf::behavior bench(engine_actor* self, const std::shared_ptr<start_census>& census) {
  // Read again with each request: a second call may come after this one.
  const auto starts = [census, who = self->start().self, own = census->count(self->start().self)] {
    return std::max(own, census->starts_of(who));
  };
  std::random_device random;
  const auto instance = fmt::format("{:08x}{:08x}", random(), random());
  return {[=](const http_request& r) -> caf::result<http_response> {
    if (r.path_only() == "/request/instance") {
      auto out = plain(200, instance);
      out.headers.emplace_back("x-starts", std::to_string(starts()));
      return out;
    }
    if (r.path_only() != "/request/bench") return no_route(r);
    return http_response{.status = 200, .headers = {}, .body = r.body};
  }};
}

}  // namespace

std::uint64_t start_census::count(const actor_ref& who) {
  const std::lock_guard guard{mutex_};
  ++calls_;
  const auto n = ++starts_[who];
  auto& actor = lives_[who.actor];
  ++actor.starts;
  if (n > 1) {
    ++repeated_;
    return n;
  }
  ++actor.remembered;
  order_.push_back(who);
  if (order_.size() > remembered_max) {
    const auto& oldest = order_.front();
    starts_.erase(oldest);
    const auto its = lives_.find(oldest.actor);
    if (--its->second.remembered == 0) lives_.erase(its);
    order_.pop_front();
  }
  return n;
}

std::uint64_t start_census::starts_of(const actor_ref& who) const {
  const std::lock_guard guard{mutex_};
  const auto at = starts_.find(who);
  return at != starts_.end() ? at->second : 0;
}

std::uint64_t start_census::starts_of(const actor_id& who) const {
  const std::lock_guard guard{mutex_};
  const auto at = lives_.find(who);
  return at != lives_.end() ? at->second.starts : 0;
}

std::uint64_t start_census::repeated() const {
  const std::lock_guard guard{mutex_};
  return repeated_;
}

std::uint64_t start_census::calls() const {
  const std::lock_guard guard{mutex_};
  return calls_;
}

void serve_samples(host& to, const std::shared_ptr<start_census>& census) {
  to.serve("counter", counter, census);
  to.serve("echo", echo, census);
  to.serve("bench", bench, census);
}

}  // namespace nuncio
