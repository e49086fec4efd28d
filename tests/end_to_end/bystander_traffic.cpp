// See bystander_traffic.hpp.
#include "bystander_traffic.hpp"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <charconv>
#include <nuncio/testing/socket_client.hpp>
#include <optional>
#include <thread>

#include "bystander_actors.hpp"

namespace nuncio::e2e {
namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr auto answer_limit = 10s;
constexpr auto alarm_after = 1000ms;
constexpr std::size_t body_bytes = 65536;
constexpr std::size_t notes_max = 8;

milliseconds since(steady::time_point t) {
  return std::chrono::duration_cast<milliseconds>(steady::now() - t);
}

struct plain_reply {
  unsigned status = 0;
  std::string body;
};

// An HTTP client that keeps its connection.
class kept_client {
public:
  explicit kept_client(std::uint16_t port) : port_(port) {}

  // None when there was no whole answer.
  std::optional<plain_reply> ask(std::string_view method, std::string target, std::string body) {
    namespace http = boost::beast::http;
    if (!stream_ && !connect()) return std::nullopt;
    http::request<http::string_body> request;
    request.method_string({method.data(), method.size()});
    request.target(target);
    request.set(http::field::host, "127.0.0.1");
    request.body() = std::move(body);
    request.prepare_payload();
    http::response_parser<http::string_body> parser;
    parser.body_limit(std::uint64_t{64} << 20U);
    const auto end = steady::now() + answer_limit;
    const bool whole =
        run(end, [&](auto done) { http::async_write(*stream_, request, std::move(done)); }) &&
        run(end, [&](auto done) { http::async_read(*stream_, buffer_, parser, std::move(done)); });
    if (!whole || !parser.keep_alive()) stream_.reset();
    if (!whole) return std::nullopt;
    return plain_reply{parser.get().result_int(), std::move(parser.get().body())};
  }

private:
  using error_code = boost::system::error_code;

  template <class Start>
  bool run(steady::time_point end, Start start) {
    const auto result = std::make_shared<std::optional<error_code>>();
    start([result](error_code ec, auto&&...) { *result = ec; });
    io_.restart();
    while (!*result && steady::now() < end)
      if (io_.run_one_until(end) == 0) io_.restart();
    if (!*result) {  // what was begun must not outlive what it writes to
      stream_->cancel();
      io_.restart();
      io_.run();
      return false;
    }
    return !**result;
  }

  bool connect() {
    buffer_.clear();
    stream_.emplace(io_);
    const boost::asio::ip::tcp::endpoint to{boost::asio::ip::address_v4::loopback(), port_};
    const bool connected = run(steady::now() + answer_limit, [&](auto done) {
      stream_->async_connect(to, std::move(done));
    });
    if (connected)
      stream_->socket().set_option(boost::asio::ip::tcp::no_delay{true});
    else
      stream_.reset();
    return connected;
  }

  std::uint16_t port_;
  boost::asio::io_context io_{1};
  std::optional<boost::beast::tcp_stream> stream_;
  boost::beast::flat_buffer buffer_;
};

// A WebSocket, and what was said on it.
struct spoken {
  std::string path;
  std::optional<socket_client> socket{};
  std::uint64_t said = 0, heard = 0;
};

std::optional<std::uint64_t> leading_number(std::string_view x) {
  std::uint64_t n = 0;
  const auto [end, bad] = std::from_chars(x.data(), x.data() + x.size(), n);
  if (bad != std::errc{}) return std::nullopt;
  return n;
}

}  // namespace

struct bystander_client::impl {
  impl(std::uint16_t at, std::string who, unsigned index, milliseconds between)
      : port(at), id(std::move(who)), number(index), pace(between), http(at) {}

  template <class... Args>
  void note(fmt::format_string<Args...> how, Args&&... args) {
    if (tally.notes.size() < notes_max)
      tally.notes.push_back(
          fmt::format("bystander {}: ", number) + fmt::format(how, std::forward<Args>(args)...));
  }

  void waited(
      steady::time_point from, std::string_view what, steady::time_point until = steady::now()) {
    const auto took = std::chrono::duration_cast<milliseconds>(until - from);
    if (took <= tally.silence) return;
    tally.silence = took;
    tally.silent_at = what;
  }

  // The answer, if it has status 200.
  std::optional<std::string> ask(
      std::string_view method, const std::string& path, std::string body = {}) {
    const auto from = steady::now();
    auto reply = http.ask(method, fmt::format("/gateway/{}{}", id, path), std::move(body));
    ++tally.requests;
    waited(from, path);
    if (reply && reply->status == 200) return std::move(reply->body);
    ++tally.failed;
    if (reply)
      note("{} is answered {}: {}", path, reply->status, reply->body.substr(0, 200));
    else
      note("{} is not answered, after {} ms", path, since(from).count());
    return std::nullopt;
  }

  void judge(const std::optional<std::string>& answer, std::string_view want, const char* what) {
    if (!answer || *answer == want) return;
    ++tally.failed;
    note("{} is answered wrongly, with {} bytes", what, answer->size());
  }

  // What has come of a thing that is numbered from 1.
  void judge_number(std::uint64_t& last, std::uint64_t n, const char* what) {
    if (n != last + 1) note("{} {} after {}", what, n, last);
    if (n > last + 1) tally.lost += n - last - 1;
    if (n <= last) ++tally.repeated;
    last = n;
  }

  void count() {
    const bool arms = !alarm_due && open.socket;
    const auto answer =
        ask("POST", arms ? fmt::format("/count?alarm={}", alarm_after.count()) : "/count");
    if (arms && answer) alarm_due = steady::now() + alarm_after;
    if (!answer) {  // it may have been counted, and the alarm set
      counted_known = alarms_known = false;
      return;
    }
    const auto n = leading_number(*answer).value_or(0);
    const auto instance = answer->substr(answer->find(' ') + 1);
    if (!generation.empty() && instance != generation) {
      note("generation {} after {}", instance, generation);
      ++tally.lost;
      counted_known = alarms_known = false;
    }
    generation = instance;
    const auto want = std::exchange(counted_known, true) ? counted + 1 : n;
    if (n != want) note("{} counted instead of {}", n, want);
    if (n > want) tally.repeated += n - want;
    if (n < want) tally.lost += want - n;
    counted = n;
  }

  // Which came at the latest when `by`.
  void take(spoken& on, const std::string& message, steady::time_point by = steady::now()) {
    if (message.starts_with("alarm ")) {
      const auto n = leading_number(std::string_view{message}.substr(6)).value_or(0);
      if (!std::exchange(alarms_known, true)) alarms = n - 1;
      judge_number(alarms, n, "alarm");
      if (alarm_due) waited(*alarm_due, "an alarm", by);
      return alarm_due.reset();
    }
    const auto n = leading_number(message).value_or(0);
    judge_number(on.heard, n, on.path.c_str());
    if (message != fmt::format("{} {}.{}", n, number, n)) {
      ++tally.failed;
      note("{}: '{}' comes back", on.path, message.substr(0, 100));
    }
  }

  void give_up(spoken& on, const char* what) {
    ++tally.closed;
    note(
        "{} {}, code {} {}",
        on.path,
        what,
        on.socket->close_code().value_or(0),
        on.socket->close_reason());
    on.socket.reset();
    if (&on == &open) {
      alarms_known = false;
      alarm_due.reset();
    }
  }

  bool begin(spoken& on) {
    on.socket.emplace(port, fmt::format("/gateway/{}{}", id, on.path));
    on.said = on.heard = 0;
    if (on.socket->http_status() == 101) return true;
    ++tally.failed;
    note("{} is refused with {}", on.path, on.socket->http_status());
    on.socket.reset();
    return false;
  }

  void say(spoken& on) {
    const auto from = steady::now();
    if (!on.socket && !begin(on)) return waited(from, on.path);
    for (int i = 0; i < 3; ++i) {
      ++tally.requests;
      if (!on.socket->send(fmt::format("{}.{}", number, ++on.said)))
        return give_up(on, "takes nothing");
    }
    while (on.heard < on.said) {
      const auto left = answer_limit - since(from);
      const auto got = on.socket->receive(std::max(left, milliseconds{0}));
      if (!got) {
        waited(from, on.path);
        tally.lost += on.said - on.heard;
        return give_up(on, since(from) < answer_limit ? "is closed" : "does not answer");
      }
      take(on, got->data);
    }
    waited(from, on.path);
  }

  // The next that comes until then, between two turns: an alarm, or the end of its WebSocket.
  void hear_until(steady::time_point t) {
    const auto left = std::chrono::ceil<milliseconds>(t - steady::now());
    if (const auto got = open.socket->receive(left)) return take(open, got->data);
    if (steady::now() < t) give_up(open, "is closed");
  }

  void rest_until(steady::time_point t) {
    while (open.socket && steady::now() < t) hear_until(t);
    std::this_thread::sleep_until(t);
  }

  // While a turn waited for its own answer, of which it has noted how long that took.
  void hear_what_came(steady::time_point turn_from) {
    if (!open.socket) return;
    while (const auto got = open.socket->receive(0ms)) take(open, got->data, turn_from);
  }

  void judge_alarm() {
    if (!alarm_due || since(*alarm_due) < answer_limit) return;
    ++tally.lost;
    note("alarm {} does not come", alarms + 1);
    alarms_known = false;
    alarm_due.reset();
  }

  void await_alarm() {
    while (open.socket && alarm_due && since(*alarm_due) < answer_limit)
      hear_until(*alarm_due + answer_limit);
    judge_alarm();
  }

  void put() {
    kept = fmt::format("{} of {}", ++puts, number);
    kept_known = ask("PUT", "/kv", kept).has_value();
  }

  void get() {
    if (!kept_known) return put();
    const auto answer = ask("GET", "/kv");
    judge(answer, kept, "GET /kv");
  }

  void down() {
    const auto seed = ++bodies % 251;
    judge(
        ask("GET", fmt::format("/down?bytes={}&seed={}", body_bytes, seed)),
        seeded_body(body_bytes, seed),
        "/down");
  }

  void up() {
    auto body = seeded_body(body_bytes, ++bodies % 251);
    const auto want = receipt_of(body.size(), summed(0, body));
    judge(ask("POST", "/up", std::move(body)), want, "/up");
  }

  void act(unsigned turn) {
    switch (turn % 7) {
      case 0:
        return count();
      case 1:
        return say(open);
      case 2:
        return put();
      case 3:
        return say(hibernating);
      case 4:
        return get();
      case 5:
        return down();
      default:
        return up();
    }
  }

  std::uint16_t port;
  std::string id;
  unsigned number;
  milliseconds pace;
  kept_client http;
  spoken open{"/open"}, hibernating{"/hibernate"};
  std::uint64_t counted = 0, alarms = 0, puts = 0, bodies = 0;
  bool counted_known = true, alarms_known = true, kept_known = false;
  std::string kept, generation;
  std::optional<steady::time_point> alarm_due;
  traffic_tally tally;
};

void traffic_tally::add(const traffic_tally& more) {
  requests += more.requests;
  failed += more.failed;
  closed += more.closed;
  lost += more.lost;
  repeated += more.repeated;
  if (more.silence > silence) {
    silence = more.silence;
    silent_at = more.silent_at;
  }
  for (const auto& x : more.notes)
    if (notes.size() < 3 * notes_max) notes.push_back(x);
}

bystander_client::bystander_client(
    std::uint16_t port, std::string id, unsigned number, milliseconds pace)
    : impl_(std::make_unique<impl>(port, std::move(id), number, pace)) {}

bystander_client::~bystander_client() = default;

bystander_client::bystander_client(bystander_client&&) noexcept = default;

traffic_tally bystander_client::run(const std::atomic<bool>& over) {
  auto& x = *impl_;
  x.tally = {};
  // Not all at the same moment, nor the same at any.
  auto next = steady::now() + x.number * x.pace / 20;
  for (unsigned turn = x.number; !over; ++turn) {
    x.rest_until(next);
    const auto from = steady::now();
    x.act(turn);
    x.hear_what_came(from);
    x.judge_alarm();
    next = std::max(next + x.pace, steady::now());
  }
  x.await_alarm();
  return std::exchange(x.tally, {});
}

}  // namespace nuncio::e2e
