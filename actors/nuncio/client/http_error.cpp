// See errors.hpp.
#include <fmt/format.h>

#include <atomic>
#include <mutex>
#include <nuncio/actor/instance_context.hpp>
#include <nuncio/client/error_category.hpp>
#include <nuncio/engine_actor.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/host/error_log.hpp>
#include <nuncio/instances/actor_fields.hpp>
#include <nuncio/outcome.hpp>
#include <nuncio/support/log_limiter.hpp>
#include <random>
#include <span>

namespace nuncio {
namespace {

// Unique in a process, and most likely different in two processes.
std::string new_error_id() {
  static const std::uint32_t process = std::random_device{}();
  static std::atomic<std::uint32_t> last = 0;
  return fmt::format("{:08x}{:08x}", process, ++last);
}

}  // namespace

caf::error make_error(const http_error& why) {
  return internal::make_caf_error(internal::http_error_code, why);
}

std::optional<http_error> http_error_of(const caf::error& e) {
  return internal::value_in<http_error>(e);
}

std::string to_string(const http_error& x) {
  return fmt::format("http_error {}: {}", x.status, x.message);
}

namespace internal {

class error_log {
public:
  explicit error_log(log_sink sink) : limiter_(std::move(sink)) {}

  void write(
      time_point now, log_level level, std::string_view kind, std::span<const log_field> fields) {
    const std::lock_guard guard{mutex_};
    limiter_.log(now, level, kind, fields);
  }

private:
  std::mutex mutex_;
  log_limiter limiter_;
};

std::shared_ptr<error_log> make_error_log(log_sink sink) {
  return std::make_shared<error_log>(std::move(sink));
}

void log_limited(
    const instance_context& of,
    log_level level,
    std::string_view kind,
    std::initializer_list<log_field> more) {
  if (of.errors) of.errors->write(of.now(), level, kind, with_actor(of.start, more));
}

std::string hidden(const instance_context& of, std::string_view real) {
  const auto id = new_error_id();
  log_limited(
      of,
      log_level::error,
      "an error whose text is hidden from clients",
      {{"error_id", id}, {"reason", std::string{real}}});
  return fmt::format("{}{})", hidden_error_text, id);
}

}  // namespace internal
}  // namespace nuncio
