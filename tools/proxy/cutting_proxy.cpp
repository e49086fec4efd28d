// The proxy's sockets: the only file here that includes Asio. One io_context, one thread; the audit is behind a mutex.
#include "proxy/cutting_proxy.hpp"

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <condition_variable>
#include <mutex>
#include <nuncio/codec.hpp>
#include <random>
#include <set>
#include <thread>
#include <utility>

#include "proxy/frame_splitter.hpp"

namespace nuncio {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using proxy::audit_stats;
using proxy::frame_piece;
using proxy::passage;
using proxy::wire_audit;
using tcp = asio::ip::tcp;

constexpr std::size_t head_bytes_max = 64UL << 10U;
constexpr std::size_t queued_bytes_max = 8UL << 20U;  ///< beyond it the other side is not read
constexpr auto drain_limit = std::chrono::seconds{2};
constexpr int swallow_ms_max = 150;

/// The audit, behind a mutex for readers on other threads.
class shared_audit {
public:
  template <class F>
  auto with(F f) {
    const std::lock_guard guard{mutex_};

    struct waker {
      std::condition_variable& changed;

      ~waker() { changed.notify_all(); }
    } wake{changed_};

    return f(audit_);
  }

  bool wait_for(
      const std::function<bool(const audit_stats&)>& good, std::chrono::milliseconds limit) {
    std::unique_lock guard{mutex_};
    return changed_.wait_for(guard, limit, [&] { return good(audit_.stats()); });
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  wire_audit audit_;
};

struct house {
  std::set<class tunnel*> tunnels;
  shared_audit* audit = nullptr;
  tcp::endpoint engine;
  std::mt19937_64 random;
};

std::string lower(std::string_view x) {
  std::string out{x};
  for (auto& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::uint16_t version_of(std::string_view head) {
  constexpr std::string_view name = "protocol_version=";
  const auto at = head.find(name);
  if (at == head.npos || at + name.size() >= head.size()) return 8;
  const char digit = head[at + name.size()];
  return digit >= '2' && digit <= '8' ? static_cast<std::uint16_t>(digit - '0') : std::uint16_t{8};
}

/// One connection of the host and its counterpart to the engine.
class tunnel : public std::enable_shared_from_this<tunnel> {
public:
  tunnel(tcp::socket host, house& home)
      : home_(home),
        host_(std::move(host)),
        engine_(host_.get_executor()),
        timer_(host_.get_executor()) {
    home_.tunnels.insert(this);
  }

  tunnel(const tunnel&) = delete;
  tunnel& operator=(const tunnel&) = delete;

  ~tunnel() { home_.tunnels.erase(this); }

  void run() {
    engine_.async_connect(home_.engine, [self = shared_from_this()](error_code ec) {
      if (ec || self->over_) return self->end();
      error_code ignored;
      self->host_.set_option(tcp::no_delay(true), ignored);
      self->engine_.set_option(tcp::no_delay(true), ignored);
      self->read(self->to_engine_);
      self->read(self->to_host_);
    });
  }

  [[nodiscard]] bool cuttable() const { return upgraded_ && !cutting_ && !over_; }

  /// What is on its way to the host is still delivered; the engine sees a reset.
  void cut() {
    if (!cuttable()) return;
    cutting_ = true;
    home_.audit->with([](auto& a) { a.handle_cut(); });
    error_code ignored;
    engine_.set_option(asio::socket_base::linger(true, 0), ignored);
    engine_.close(ignored);
    to_host_.source_ended = true;
    write(to_host_);
    timer_.expires_after(drain_limit);
    timer_.async_wait([self = shared_from_this()](error_code ec) {
      if (!ec) self->end();
    });
  }

  void end() {
    over_ = true;
    error_code ignored;
    timer_.cancel();
    host_.close(ignored);
    engine_.close(ignored);
  }

private:
  struct direction {
    direction(tcp::socket& source, tcp::socket& sink, bool host)
        : from(source), to(sink), towards_host(host) {}

    tcp::socket& from;
    tcp::socket& to;
    const bool towards_host;
    std::array<char, 65536> chunk{};
    std::string head;  ///< of the first request or response, until it is complete
    bool head_seen = false;
    std::string queue;
    std::string writing;
    bool reading = false;
    bool source_ended = false;
    bool shut = false;
    proxy::frame_splitter splitter;
  };

  void read(direction& d) {
    if (d.reading || d.source_ended || over_ || d.queue.size() > queued_bytes_max) return;
    d.reading = true;
    d.from.async_read_some(
        asio::buffer(d.chunk), [self = shared_from_this(), &d](error_code ec, std::size_t n) {
          d.reading = false;
          self->taken(d, ec, n);
        });
  }

  void taken(direction& d, error_code ec, std::size_t n) {
    if (over_) return;
    if (ec) {
      d.source_ended = true;
      if (cutting_) return d.towards_host ? void() : end();
      if (ec != asio::error::eof) return end();
      return write(d);
    }
    if (!cutting_) accept(d, {d.chunk.data(), n});
    read(d);
  }

  void accept(direction& d, std::string_view x) {
    if (upgrade_asked_ && d.head_seen) return frames(d, x);
    if (d.head_seen) {
      d.queue += x;
      return write(d);
    }
    d.head += x;
    const auto end_of_head = d.head.find("\r\n\r\n");
    if (end_of_head == d.head.npos) {
      if (d.head.size() > head_bytes_max) end();
      return;
    }
    d.head_seen = true;
    const auto head = d.head.substr(0, end_of_head + 4);
    const auto rest = d.head.substr(end_of_head + 4);
    if (!d.towards_host) {
      upgrade_asked_ = lower(head).find("upgrade: websocket") != head.npos;
      version_ = version_of(head);
    } else if (upgrade_asked_ && head.starts_with("HTTP/1.1 101")) {
      upgraded_ = true;
      home_.audit->with([](auto& a) { a.handle_connection(); });
    }
    d.queue += head;
    write(d);
    if (!rest.empty()) accept(d, rest);
  }

  void frames(direction& d, std::string_view x) {
    std::vector<frame_piece> pieces;
    if (!d.splitter.feed(x, pieces)) return end();
    for (auto& piece : pieces) {
      const auto what = piece.message ? judge(d, piece) : passage::forward;
      const bool forward = what == passage::forward || what == passage::forward_then_cut;
      if (forward) d.queue += piece.raw;
      if (what == passage::forward_then_cut) return cut();
      if (what == passage::swallow_then_cut) cut_soon();
    }
    write(d);
  }

  passage judge(const direction& d, frame_piece& piece) {
    const bytes payload{std::move(piece.payload)};
    return home_.audit->with([&](wire_audit& audit) {
      if (d.towards_host) {
        if (const auto x = protocol::decode_to_envoy(payload, version_))
          return audit.handle_to_host(*x);
      } else {
        if (const auto x = protocol::decode_to_rivet(payload, version_))
          return audit.handle_to_engine(*x);
      }
      audit.handle_undecodable();
      return passage::forward;
    });
  }

  void cut_soon() {
    const auto ms = std::uniform_int_distribution<int>{0, swallow_ms_max}(home_.random);
    timer_.expires_after(std::chrono::milliseconds{ms});
    timer_.async_wait([self = shared_from_this()](error_code ec) {
      if (!ec) self->cut();
    });
  }

  void write(direction& d) {
    if (over_ || !d.writing.empty()) return;
    if (d.queue.empty()) {
      if (d.source_ended && !d.shut) shut(d);
      return;
    }
    d.writing.swap(d.queue);
    asio::async_write(
        d.to, asio::buffer(d.writing), [self = shared_from_this(), &d](error_code ec, std::size_t) {
          d.writing.clear();
          if (ec && self->cutting_ && !d.towards_host) return;
          if (ec) return self->end();
          self->write(d);
          self->read(d);
        });
  }

  void shut(direction& d) {
    d.shut = true;
    error_code ignored;
    d.to.shutdown(tcp::socket::shutdown_send, ignored);
    if (to_host_.shut && to_engine_.shut) end();
  }

  house& home_;
  tcp::socket host_;
  tcp::socket engine_;
  asio::steady_timer timer_;
  direction to_engine_{host_, engine_, false};
  direction to_host_{engine_, host_, true};
  std::uint16_t version_ = 8;
  bool upgrade_asked_ = false;
  bool upgraded_ = false;
  bool cutting_ = false;
  bool over_ = false;
};

}  // namespace

struct cutting_proxy::implementation {
  void accept() {
    acceptor.async_accept([this](error_code ec, tcp::socket socket) {
      if (ec == asio::error::operation_aborted) return;
      if (!ec) std::make_shared<tunnel>(std::move(socket), home)->run();
      if (acceptor.is_open()) accept();
    });
  }

  shared_audit audit;
  house home;  // outlives the tunnels, which the io_context owns
  asio::io_context context{1};
  tcp::acceptor acceptor{context};
  std::uint16_t port = 0;
  std::thread thread;
};

cutting_proxy::cutting_proxy(cutting_proxy_options options)
    : implementation_(std::make_unique<implementation>()) {
  auto& home = implementation_->home;
  home.audit = &implementation_->audit;
  home.engine = {asio::ip::address_v4::loopback(), options.engine_port};
  home.random.seed(options.seed);
}

cutting_proxy::~cutting_proxy() { stop(); }

outcome<std::uint16_t> cutting_proxy::start() {
  auto& me = *implementation_;
  if (me.thread.joinable()) return me.port;
  error_code ec;
  const tcp::endpoint at{asio::ip::address_v4::loopback(), 0};
  me.acceptor.open(at.protocol(), ec);
  if (!ec) me.acceptor.bind(at, ec);
  if (!ec) me.acceptor.listen(128, ec);
  if (ec) return failure{errc::unreachable, "the proxy can't listen on 127.0.0.1: " + ec.message()};
  me.port = me.acceptor.local_endpoint().port();
  me.accept();
  me.thread = std::thread{[&me] { me.context.run(); }};
  return me.port;
}

void cutting_proxy::stop() {
  auto& me = *implementation_;
  if (!me.thread.joinable()) return;
  asio::post(me.context, [&me] {
    error_code ignored;
    me.acceptor.close(ignored);
    for (auto* t : std::set<tunnel*>{me.home.tunnels}) t->end();
    me.context.stop();
  });
  me.thread.join();
}

std::string cutting_proxy::endpoint() const {
  return "http://127.0.0.1:" + std::to_string(implementation_->port);
}

void cutting_proxy::arm(proxy::cut_moment at) {
  implementation_->audit.with([&](auto& a) { a.arm(at); });
}

void cutting_proxy::disarm() {
  implementation_->audit.with([](auto& a) { a.disarm(); });
}

void cutting_proxy::cut() {
  auto& me = *implementation_;
  asio::post(me.context, [&me] {
    for (auto* t : std::set<tunnel*>{me.home.tunnels}) t->cut();
  });
}

audit_stats cutting_proxy::stats() const {
  return implementation_->audit.with([](auto& a) { return a.stats(); });
}

bool cutting_proxy::wait_for(
    const std::function<bool(const audit_stats&)>& good, std::chrono::milliseconds limit) const {
  return implementation_->audit.wait_for(good, limit);
}

}  // namespace nuncio
