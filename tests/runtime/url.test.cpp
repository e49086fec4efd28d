// Encoding into URLs and decoding from them, for any bytes.
#include <doctest/doctest.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <nuncio/engine/url.hpp>
#include <nuncio/http.hpp>
#include <string>

namespace url_test {

using namespace nuncio;

namespace {

std::string every_byte() {
  std::string out;
  for (int c = 0; c < 256; ++c) out += static_cast<char>(c);
  return out;
}

}  // namespace

TEST_CASE("every byte comes back from a URL and from base64") {
  const auto all = every_byte();
  CHECK(percent_decoded(percent_encoded(all), false) == all);
  CHECK(percent_decoded(percent_encoded(all), true) == all);
  for (std::size_t n = 0; n <= all.size(); ++n)
    CHECK(base64_decoded(base64(all.substr(0, n))) == all.substr(0, n));
}

TEST_CASE("a percent sign that encodes nothing is kept") {
  CHECK(percent_decoded("100%", false) == "100%");
  CHECK(percent_decoded("%4", false) == "%4");
  CHECK(percent_decoded("%zz%41", false) == "%zzA");
}

TEST_CASE("base64 is read in both alphabets, with padding and without, and nothing else is") {
  CHECK(base64_decoded("-_8=") == base64_decoded("+/8"));
  CHECK(base64_decoded("YQ==") == "a");
  CHECK(base64_decoded("YQ") == "a");
  CHECK(base64_decoded("Y Q") == std::nullopt);
}

TEST_CASE("a request's query is read by name, the first of several") {
  http_request r;
  r.path = text{"/x?a=1%202&b&a=3&c=x+y&n=-7&far=99999999999999999999&%6e2=1"};
  CHECK(r.query("a") == "1 2");
  CHECK(r.query("b") == "");
  CHECK(r.query("c") == "x y");
  CHECK(r.query("n2") == "1");
  CHECK(r.query("d") == std::nullopt);
  CHECK(query_number<int>(r.path, "n") == -7);
  CHECK(query_number<unsigned>(r.path, "n") == std::nullopt);
  CHECK(query_number<std::int64_t>(r.path, "far") == std::nullopt);
  CHECK(query_number<int>(r.path, "c") == std::nullopt);
}

TEST_CASE("a text or JSON response has its content type") {
  const auto plain = http_response::text("no such room", 404);
  CHECK(plain.status == 404);
  CHECK(plain.headers.front().second == "text/plain; charset=utf-8");
  CHECK(plain.body.view() == "no such room");
  const auto document = http_response::json(nlohmann::json{{"name", "\xff"}});
  CHECK(document.status == 200);
  CHECK(document.headers.front().second == "application/json");
  CHECK(document.body.view() == "{\"name\":\"\xef\xbf\xbd\"}");
  CHECK(http_response::json("[1]").body.view() == "[1]");
}

}  // namespace url_test
