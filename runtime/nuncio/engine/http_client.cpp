// The only file that knows libcurl. `mutex` guards the inbox only; everything else belongs to the thread.
#include <curl/curl.h>
#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <deque>
#include <mutex>
#include <nuncio/engine/http_client.hpp>
#include <nuncio/engine/proxy.hpp>
#include <nuncio/support/number_range.hpp>
#include <nuncio/tunnel/http_fields.hpp>
#include <thread>
#include <unordered_map>

namespace nuncio {

namespace {

struct transfer {
  http_call call;
  http_client::callback done;
  http_reply reply;
  std::size_t body_bytes_max = 0;
  bool too_large = false;
  const char* proxy_variable = nullptr;  // the variable that named the proxy; null: there is none
  curl_slist* headers = nullptr;
  curl_slist* connect_to = nullptr;
  char error[CURL_ERROR_SIZE] = {};

  transfer() = default;
  transfer(const transfer&) = delete;
  transfer& operator=(const transfer&) = delete;

  ~transfer() {
    curl_slist_free_all(headers);
    curl_slist_free_all(connect_to);
  }
};

std::size_t on_body(char* data, std::size_t, std::size_t size, void* user) {
  auto& t = *static_cast<transfer*>(user);
  if (t.reply.body.size() + size > t.body_bytes_max) {
    t.too_large = true;
    return 0;
  }
  t.reply.body.append(data, size);
  return size;
}

std::size_t on_header(char* data, std::size_t, std::size_t size, void* user) {
  auto& t = *static_cast<transfer*>(user);
  std::string_view line{data, size};
  if (line.starts_with("HTTP/")) t.reply.headers.clear();  // after 100 Continue or from a proxy
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || t.reply.headers.size() >= 256) return size;
  auto name = lowered(line.substr(0, colon));
  auto value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && static_cast<unsigned char>(value.back()) <= ' ') value.remove_suffix(1);
  t.reply.headers.emplace_back(std::move(name), std::string{value});
  return size;
}

struct url_address {
  std::string scheme, host, port;
};

// @returns nothing if it is not a URL, which libcurl itself will report
std::optional<url_address> address_of(const std::string& url) {
  const std::unique_ptr<CURLU, void (*)(CURLU*)> parts{curl_url(), &curl_url_cleanup};
  if (!parts ||
      curl_url_set(parts.get(), CURLUPART_URL, url.c_str(), CURLU_PATH_AS_IS) != CURLUE_OK)
    return std::nullopt;
  const auto part = [&](CURLUPart which) {
    char* text = nullptr;
    if (curl_url_get(parts.get(), which, &text, CURLU_DEFAULT_PORT) != CURLUE_OK)
      return std::string{};
    std::string out{text};
    curl_free(text);
    return out;
  };
  return url_address{part(CURLUPART_SCHEME), part(CURLUPART_HOST), part(CURLUPART_PORT)};
}

// The URL with `name` in place of its host.
std::string with_host(const std::string& url, const std::string& name) {
  const std::unique_ptr<CURLU, void (*)(CURLU*)> parts{curl_url(), &curl_url_cleanup};
  char* text = nullptr;
  if (!parts ||
      curl_url_set(parts.get(), CURLUPART_URL, url.c_str(), CURLU_PATH_AS_IS) != CURLUE_OK ||
      curl_url_set(parts.get(), CURLUPART_HOST, name.c_str(), 0) != CURLUE_OK ||
      curl_url_get(parts.get(), CURLUPART_URL, &text, 0) != CURLUE_OK)
    return url;
  std::string out{text};
  curl_free(text);
  return out;
}

// For messages: the rest of a URL may hold a token and a client's text.
std::string origin_of(const std::string& url) {
  const auto mark = url.find("://");
  return mark == std::string::npos ? "the URL" : url.substr(0, url.find_first_of("/?#", mark + 3));
}

// Checks that the call is a single request whatever its texts contain: a line end in one of them would begin another header.
outcome<void> check(const http_call& call) {
  if (!is_token(call.method))
    return failure{errc::invalid_argument, "the method is not a valid token"};
  const auto in_url = [](char c) { return c > ' ' && c < 127; };
  if (!std::all_of(call.url.begin(), call.url.end(), in_url))
    return failure{errc::invalid_argument, "a URL has a character that must be percent-encoded"};
  for (const auto& [name, value] : call.headers)
    if (!is_token(name) || !is_field_value(value))
      return failure{errc::invalid_argument, "the header '" + name + "' is not valid HTTP"};
  return check_ranges({time_range("timeout", call.timeout, 1, day_ms)});
}

outcome<void> check(const http_client_options& o) {
  return check_ranges(
      {count_range("calls_max", o.calls_max, 1, many),
       count_range("connections_max", o.connections_max, 1, UINT16_MAX),
       count_range("body_bytes_max", o.body_bytes_max, 1, many)});
}

// Reported as an error, since the response is not from the server. A server may send 407 too, but not with this header.
bool refused_by_proxy(CURL* easy, int status, const transfer& t) {
  if (t.proxy_variable == nullptr) return false;
  long connect_status = 0;
  curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &connect_status);
  return connect_status == 407 || (status == 407 && !t.reply.header("proxy-authenticate").empty());
}

// With TLS 1.3 a client that has shown no certificate learns this only when it reads.
bool wants_certificate(const transfer& t) {
  return std::string_view{t.error}.find("alert certificate required") != std::string_view::npos;
}

failure failure_of(CURLcode code, const transfer& t) {
  if (t.too_large)
    return {
        errc::too_large,
        "the reply of " + origin_of(t.call.url) + " is longer than " +
            std::to_string(t.body_bytes_max) + " bytes"};
  const std::string why =
      origin_of(t.call.url) + ": " + (t.error[0] != 0 ? t.error : curl_easy_strerror(code));
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return {errc::timed_out, why};
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_SSL_CACERT_BADFILE:
      return {errc::invalid_argument, why};
    case CURLE_PEER_FAILED_VERIFICATION:
      return {errc::refused, why + "; check tls.ca_file and tls.server_name"};
    case CURLE_SSL_CONNECT_ERROR:
      return {
          errc::refused,
          why + "; check whether the URL is one for TLS, and tls.ca_file and tls.cert_file"};
    case CURLE_OUT_OF_MEMORY:
      return {errc::internal, why};
    default:
      if (wants_certificate(t))
        return {errc::refused, why + "; set tls.cert_file and tls.key_file"};
      return {errc::unreachable, why};
  }
}

// The thread's state. The thread itself holds it, so that the client may be destroyed in one of its callbacks.
struct worker {
  explicit worker(http_client_options o) : options(std::move(o)) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = curl_multi_init();
    const auto most = static_cast<long>(options.connections_max);
    curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, most);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, most);
  }

  ~worker() {
    curl_multi_cleanup(multi);
    curl_global_cleanup();
  }

  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  void stop() {
    const std::lock_guard guard{mutex};
    stopping = true;
    curl_multi_wakeup(multi);
  }

  void run() {
    pthread_setname_np(pthread_self(), "nuncio-http");
    for (;;) {
      std::deque<std::unique_ptr<transfer>> fresh;
      bool stop = false;
      {
        const std::lock_guard guard{mutex};
        fresh.swap(inbox);
        stop = stopping;
      }
      if (stop) {
        cancel_all(std::move(fresh));
        return;
      }
      for (auto& t : fresh) begin(std::move(t));
      int running = 0;
      curl_multi_perform(multi, &running);
      collect();
      curl_multi_poll(multi, nullptr, 0, 1000, nullptr);
    }
  }

  void begin(std::unique_ptr<transfer> t) {
    if (auto good = check(t->call); !good) {
      finish(std::move(t), good.error());
      return;
    }
    CURL* easy = curl_easy_init();
    if (easy == nullptr) {
      finish(std::move(t), failure{errc::internal, "libcurl could not create a handle"});
      return;
    }
    curl_easy_setopt(easy, CURLOPT_URL, t->call.url.c_str());
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error);
    const auto limit = static_cast<long>(t->call.timeout.count());
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, limit);
    // libcurl tries a name's address families in parallel, and within one gives each address half of the remaining time. So
    // several silent addresses leave time for the next one, and for the call.
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, std::max(limit / 2, 1L));
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    if (t->call.method == "HEAD")
      curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else
      curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, t->call.method.c_str());
    if (!t->call.body.empty() || t->call.method == "POST" || t->call.method == "PUT") {
      curl_easy_setopt(
          easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(t->call.body.size()));
      curl_easy_setopt(easy, CURLOPT_POSTFIELDS, t->call.body.c_str());
      t->headers = curl_slist_append(t->headers, "Expect:");
    }
    std::string line;
    for (const auto& [name, value] : t->call.headers) {
      // A name with a colon and no value would remove a header instead.
      line.assign(name).append(value.empty() ? ";" : ": ").append(value);
      t->headers = curl_slist_append(t->headers, line.c_str());
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t.get());
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t.get());
    if (auto ready = set_route(easy, *t); !ready) {
      curl_easy_cleanup(easy);
      finish(std::move(t), ready.error());
      return;
    }
    if (curl_multi_add_handle(multi, easy) != CURLM_OK) {
      curl_easy_cleanup(easy);
      finish(std::move(t), failure{errc::internal, "libcurl rejected the call"});
      return;
    }
    active.emplace(easy, std::move(t));
  }

  // Proxy and TLS.
  outcome<void> set_route(CURL* easy, transfer& t) {
    curl_easy_setopt(easy, CURLOPT_PROXY, "");  // libcurl must not read the environment
    const auto to = address_of(t.call.url);
    if (!to) return {};
    const bool tls = to->scheme == "https";
    const auto port = static_cast<std::uint16_t>(std::strtoul(to->port.c_str(), nullptr, 10));
    if (options.proxy_from_environment) {
      auto proxy = choose_proxy(to->host, port, tls, proxy_environment::read());
      if (!proxy) return proxy.error();
      if (const auto& via = *proxy) {
        const auto v6 = via->host.find(':') != std::string::npos;
        curl_easy_setopt(easy, CURLOPT_PROXY, (v6 ? "[" + via->host + "]" : via->host).c_str());
        curl_easy_setopt(easy, CURLOPT_PROXYPORT, static_cast<long>(via->port));
        curl_easy_setopt(easy, CURLOPT_PROXYTYPE, static_cast<long>(CURLPROXY_HTTP));
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
        t.proxy_variable = tls ? "https_proxy" : "http_proxy";
        if (!via->user.empty()) {
          curl_easy_setopt(easy, CURLOPT_PROXYUSERNAME, via->user.c_str());
          curl_easy_setopt(easy, CURLOPT_PROXYPASSWORD, via->password.c_str());
        }
      }
    }
    if (!tls) return {};
    const auto& o = options.tls;
    if (!o.server_name.empty()) {
      t.connect_to = curl_slist_append(nullptr, ("::" + to->host + ":" + to->port).c_str());
      curl_easy_setopt(easy, CURLOPT_CONNECT_TO, t.connect_to);
      curl_easy_setopt(easy, CURLOPT_URL, with_host(t.call.url, o.server_name).c_str());
    }
    // The system's certificate folder stays set, so these authorities are additional.
    if (!o.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, o.ca_file.c_str());
    if (!o.cert_file.empty()) curl_easy_setopt(easy, CURLOPT_SSLCERT, o.cert_file.c_str());
    if (!o.key_file.empty()) curl_easy_setopt(easy, CURLOPT_SSLKEY, o.key_file.c_str());
    if (o.insecure) {
      curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
      curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    return {};
  }

  void collect() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      CURL* easy = message->easy_handle;
      const CURLcode code = message->data.result;
      auto node = active.extract(easy);
      auto t = std::move(node.mapped());
      long status = 0;
      curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
      t->reply.status = static_cast<int>(status);
      const bool by_proxy = refused_by_proxy(easy, t->reply.status, *t);
      curl_multi_remove_handle(multi, easy);
      curl_easy_cleanup(easy);
      if (by_proxy) {
        failure why{
            errc::refused,
            origin_of(t->call.url) +
                ": the proxy does not accept the user name and password; check " +
                t->proxy_variable};
        finish(std::move(t), std::move(why));
      } else if (code == CURLE_OK) {
        auto reply = std::move(t->reply);
        finish(std::move(t), std::move(reply));
      } else {
        auto why = failure_of(code, *t);
        finish(std::move(t), std::move(why));
      }
    }
  }

  void finish(std::unique_ptr<transfer> t, outcome<http_reply> result) {
    {
      const std::lock_guard guard{mutex};
      --outstanding;
    }
    t->done(std::move(result));
  }

  void cancel_all(std::deque<std::unique_ptr<transfer>> fresh) {
    for (auto& [easy, t] : active) {
      curl_multi_remove_handle(multi, easy);
      curl_easy_cleanup(easy);
      fresh.push_back(std::move(t));
    }
    active.clear();
    for (auto& t : fresh)
      finish(std::move(t), failure{errc::cancelled, "the HTTP client was stopped"});
  }

  const http_client_options options;
  const outcome<void> usable = check(options);
  CURLM* multi = nullptr;
  std::unordered_map<CURL*, std::unique_ptr<transfer>> active;

  std::mutex mutex;
  std::deque<std::unique_ptr<transfer>> inbox;
  std::size_t outstanding = 0;
  bool stopping = false;
};

}  // namespace

struct http_client::impl {
  explicit impl(http_client_options options) : to(std::make_shared<worker>(std::move(options))) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread = std::thread([own = to] { own->run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  ~impl() {
    to->stop();
    // The last reference may be dropped by a callback on this thread: then the thread ends by itself afterwards.
    if (thread.get_id() == std::this_thread::get_id())
      thread.detach();
    else
      thread.join();
  }

  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;

  std::shared_ptr<worker> to;
  std::thread thread;
};

http_client::http_client(http_client_options options)
    : impl_(std::make_unique<impl>(std::move(options))) {}

http_client::~http_client() = default;

void http_client::send(http_call call, callback done) {
  auto& to = *impl_->to;
  const auto refusal = [&]() -> std::optional<failure> {
    const std::lock_guard guard{to.mutex};
    if (!to.usable) return to.usable.error();
    if (to.stopping) return failure{errc::cancelled, "the HTTP client was stopped"};
    if (to.outstanding >= to.options.calls_max)
      return failure{
          errc::queue_full,
          "more than " + std::to_string(to.options.calls_max) + " HTTP calls are under way"};
    ++to.outstanding;
    auto& t = *to.inbox.emplace_back(std::make_unique<transfer>());
    t.call = std::move(call);
    t.done = std::move(done);
    t.body_bytes_max = to.options.body_bytes_max;
    return std::nullopt;
  }();
  if (refusal) return done(*refusal);
  curl_multi_wakeup(to.multi);
}

}  // namespace nuncio
