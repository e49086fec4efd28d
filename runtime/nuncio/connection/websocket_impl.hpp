// The one connection of a websocket and its service thread. Private to websocket.cpp, websocket_dial.cpp and websocket_io.cpp,
// the only files that know libwebsockets 4.1.6. Everything but start, stop and wake runs on the service thread. Callbacks of
// libwebsockets only record what happened; connections are begun, ended and reported in settle(), between two service turns, so
// that the handler may call anything from anywhere and no callback sees its own socket freed. An abandoned socket first loses
// its pointer to its connection, so its later callbacks reach nothing.
#pragma once

#include <libwebsockets.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <chrono>
#include <memory>
#include <nuncio/connection/websocket.hpp>
#include <nuncio/engine/proxy.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace nuncio {

static_assert(websocket_headroom >= LWS_PRE);

inline lws_usec_t to_usec(std::chrono::steady_clock::duration d) {
  return std::max<lws_usec_t>(1, std::chrono::duration_cast<std::chrono::microseconds>(d).count());
}

struct websocket::impl {
  static constexpr std::size_t io_bytes = std::size_t{64} << 10;
  using gone_kind = websocket_gone::kind;

  // From one connect() to its on_gone.
  struct connection {
    impl* owner = nullptr;
    websocket_target target;
    std::string protocols;
    std::string host_header;
    std::optional<http_proxy> proxy;
    bool finding = false;  // an address that answers
    lws* wsi = nullptr;
    int http_status = 0;
    std::string chosen;
    bool opened = false;
    bool closing = false;  // a close frame is sent once the frames before it are written
    bool close_sent = false;
    std::uint16_t close_code = 0;
    std::string close_reason;
    bool paused = false;
    std::vector<std::uint8_t> inbound;
    std::optional<long_message> beyond;  // of the current message, once it is known to be long
    // The frame that is being written, and how much of its payload is.
    websocket_frame outbound;
    std::size_t outbound_done = 0;
    bool outbound_active = false;
    bool outbound_buffered = false;  // handed over, but libwebsockets still holds a part
    bool liveness_ping_due = false;
    clock::time_point last_pong;
    std::optional<websocket_gone> ending;  // set once: the first reason counts
    bool kill_hard = false;                // with a TCP reset
  };

  impl(websocket_handler& h, websocket_options o) : handler(h), options(std::move(o)) {}

  // -- the service thread and the end (websocket.cpp)

  void run();
  /// Everything that must not happen inside a callback of libwebsockets.
  void settle();
  /// Records the end; the first reason counts. The socket itself is removed in finish().
  void end(gone_kind what, std::string reason, bool hard);
  void finish();
  /// A connect() that is cancelled before it was tried still gets its on_gone.
  void give_up_wanted();
  /// With the last log line of libwebsockets on this thread since clear_log().
  static std::string with_log(std::string reason);
  static void clear_log();

  // -- from a target to a handshake (websocket_dial.cpp)

  void begin(websocket_target target);
  /// Continues with an address, or with the reason why there is none.
  void connect_to(outcome<std::string> address);
  outcome<void> choose_proxy(connection& c) const;
  outcome<void> set_proxy(const connection& c, const std::string& address);
  static std::string refusal(const connection& c);
  static void on_tls(const SSL* ssl, int where, int);

  // -- callbacks of libwebsockets, reading and writing (websocket_io.cpp)

  static int on_event(lws* wsi, lws_callback_reasons why, void* user, void* in, std::size_t size);
  int handle(connection& c, lws* wsi, lws_callback_reasons why, const char* in, std::size_t size);
  void handle_failure(connection& c, lws* wsi, std::string text);
  void handle_closed(connection& c);
  void handle_open(connection& c, lws* wsi);
  int handle_data(connection& c, lws* wsi, const char* in, std::size_t size);
  /// Part of a message that is too long to collect.
  void hand_on(connection& c, std::span<const std::uint8_t> part, bool last);
  int write(connection& c, lws* wsi);
  bool next(connection& c);
  std::ptrdiff_t write_piece(connection& c, lws* wsi);
  void written(connection& c);
  /// Its time limit to end starts here. The frame is sent when the socket is writable.
  void begin_close(connection& c);
  /// The caller returns this from its callback: libwebsockets then sends the frame and awaits the peer's.
  int send_close(connection& c, lws* wsi);

  // -- timers (websocket.cpp)

  // The first member, so that a timer's address is its holder's.
  struct timer {
    lws_sorted_usec_list_t sul{};
    impl* owner = nullptr;
  };

  static impl& of(lws_sorted_usec_list_t* sul) { return *lws_container_of(sul, timer, sul)->owner; }

  static void on_deadline(lws_sorted_usec_list_t* sul);
  static void on_owner_timer(lws_sorted_usec_list_t* sul);
  void arm_liveness();
  static void on_liveness(lws_sorted_usec_list_t* sul);

  void assert_service_thread() const { assert(std::this_thread::get_id() == service_thread); }

  websocket_handler& handler;
  const websocket_options options;
  address_finder finder{options.resolver, [this] { lws_cancel_service(context); }};
  lws_context* context = nullptr;
  std::thread thread;
  std::thread::id service_thread;
  std::atomic<bool> stopping{false};
  std::atomic<bool> woken{true};

  // Service thread from here.
  std::unique_ptr<connection> current;
  std::optional<websocket_target> wanted;
  bool batch_open = false;
  bool timer_due = false;
  std::uint64_t bytes_received = 0;
  timer deadline{{}, this};
  timer liveness{{}, this};
  timer owner_timer{{}, this};
  lws_protocols protocols[2] = {
      {"nuncio", &on_event, 0, io_bytes, 0, nullptr, io_bytes},
      {nullptr, nullptr, 0, 0, 0, nullptr, 0}};
  // Liveness is our own: libwebsockets counts in seconds, and cuts a connection while its owner has paused reading.
  lws_retry_bo_t no_validity{};
};

}  // namespace nuncio
