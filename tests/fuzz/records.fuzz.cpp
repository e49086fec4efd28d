// libFuzzer target for everything else that reads foreign input: the engine's HTTP responses, records in an actor's store,
// keys, endpoints, the environment's proxy, URLs. The first byte selects one; accepted input must survive being written again.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <nuncio/actor/socket_record.hpp>
#include <nuncio/actor_key.hpp>
#include <nuncio/detail/state_record.hpp>
#include <nuncio/engine/actor_calls.hpp>
#include <nuncio/engine/engine_api.hpp>
#include <nuncio/engine/proxy.hpp>
#include <nuncio/engine/url.hpp>
#include <nuncio/http.hpp>
#include <string>
#include <string_view>

namespace {

using namespace nuncio;

// What every call is answered with.
outcome<http_reply> next_reply = failure{errc::internal, ""};

}  // namespace

// In the place of the real one: answers at once.
struct nuncio::http_client::impl {};

nuncio::http_client::http_client(http_client_options) {}

nuncio::http_client::~http_client() = default;

void nuncio::http_client::send(http_call, callback done) { done(next_reply); }

namespace {

void expect(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "property violated: %s\n", what);
  std::abort();
}

void check_endpoint(std::string_view text) {
  const auto x = parse_endpoint(text);
  if (!x) return;
  const auto again = parse_endpoint(x->base_url());
  expect(again.ok() && *again == *x, "an endpoint's URL is that endpoint");
}

void check_key(std::string_view text) {
  const auto key = key_from_text(text);
  expect(key_from_text(to_text(key)) == key, "a key's text is that key");
  static_cast<void>(nuncio::check(key));
}

// "proxy\nexceptions\nhost"
void check_proxy(std::string_view text) {
  const auto first = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), first.size() + 1));
  const auto second = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), second.size() + 1));
  proxy_environment from;
  from.https_proxy = std::string{first};
  from.no_proxy = std::string{second};
  const auto chosen = choose_proxy(text, 443, true, from);
  if (chosen && *chosen) expect(!(*chosen)->host.empty(), "a proxy has a host");
}

void check_socket_record(const bytes& x) {
  static_cast<void>(internal::socket_record_id(x));
  const auto record = internal::decode_socket_record(x);
  if (record) expect(internal::encode(*record) == x, "a socket's record has one form");
}

// Two parts: the first byte is the first one's length.
void check_state_record(const bytes& x) {
  std::vector<bytes> parts;
  const auto size = x.size() == 0 ? 0 : std::min<std::size_t>(*x.begin(), x.size() - 1);
  parts.push_back(bytes{x.part(std::min<std::size_t>(1, x.size()), size)});
  if (x.size() > size + 1) parts.push_back(bytes{x.part(size + 1)});
  const auto record = join(parts);
  if (!record) return;
  const auto again = split(*record, 64, 255);
  if (!again) return;
  const auto same = join(*again);
  expect(same.ok() && *same == *record, "a state is what its parts were");
}

// The first byte gives the status, a second bit whether the gateway's header of errors is there.
void check_reply(const bytes& x) {
  if (x.size() == 0) return;
  constexpr int statuses[] = {200, 201, 400, 401, 404, 429, 500, 503};
  http_reply reply;
  reply.status = statuses[*x.begin() % 8];
  if ((*x.begin() & 8) != 0) reply.headers.emplace_back("x-rivet-error", "guard.a");
  reply.body = std::string{bytes{x.part(1)}.view()};
  next_reply = reply;
  static_cast<void>(read_actor(next_reply));
  static_cast<void>(read_page(next_reply));
  static_cast<void>(read_destroyed(next_reply));
  static_cast<void>(read_called(next_reply));
  http_client client{{}};
  const engine_api api{client, {}};
  int told = 0;
  api.get_metadata([&](const outcome<engine_metadata>&) { ++told; });
  api.ensure_pool("p", [&](const outcome<bool>&) { ++told; });
  expect(told == 2, "each question is answered once");
}

// Of a client.
void check_url(std::string_view text) {
  expect(percent_decoded(percent_encoded(text), true) == text, "what is encoded is decoded");
  expect(percent_decoded(text, true).size() <= text.size(), "decoding makes nothing longer");
  expect(base64_decoded(base64(text)) == text, "what is base64 is decoded");
  static_cast<void>(base64_decoded(text));
  static_cast<void>(query_value(text, "a"));
  static_cast<void>(query_number<int>(text, "a"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // A copy of exactly this size, so that any step beyond it is seen.
  const auto input = bytes::copy_of({data + 1, size - 1});
  switch (static_cast<std::uint8_t>(*data - '0') % 7) {
    case 0:
      check_endpoint(input.view());
      break;
    case 1:
      check_key(input.view());
      break;
    case 2:
      check_proxy(input.view());
      break;
    case 3:
      check_socket_record(input);
      break;
    case 4:
      check_state_record(input);
      break;
    case 5:
      check_reply(input);
      break;
    default:
      check_url(input.view());
  }
  return 0;
}
