// See client_request.hpp.
#include "simulation/client_request.hpp"

#include <array>
#include <charconv>

namespace nuncio::simulation {

text client_request::path() const {
  return text{fmt::format(
      "/{}/{}/{}/{}/{}/{}/{}/{}",
      static_cast<int>(mode),
      static_cast<int>(plan),
      static_cast<int>(early),
      said,
      upload_at,
      upload,
      response_at,
      response)};
}

client_request client_request::of(std::string_view path) {
  std::array<std::uint64_t, 8> all{};
  for (auto& x : all) {
    must(path.starts_with('/'), "HTTP", "a handler got another path");
    path.remove_prefix(1);
    const auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), x);
    must(error == std::errc{}, "HTTP", "a handler got another path");
    path.remove_prefix(static_cast<std::size_t>(end - path.data()));
  }
  client_request out;
  out.mode = static_cast<http_mode>(all[0]);
  out.plan = static_cast<answer_plan>(all[1]);
  out.early = all[2] != 0;
  out.said = static_cast<std::uint16_t>(all[3]);
  out.upload_at = all[4];
  out.upload = all[5];
  out.response_at = all[6];
  out.response = all[7];
  return out;
}

void body_check::take(const request_part& part) {
  must(!over_, "request", "a part after the end");
  must(
      taken_ + part.data.size() <= of_.upload &&
          pattern().part(of_.upload_at + taken_, part.data.size()) == part.data,
      "request",
      "the handler got other bytes than were sent");
  taken_ += part.data.size();
  over_ = part.last || part.failed;
  must(!part.last || !part.failed, "request", "a part that is two ends");
  must(!part.last || taken_ == of_.upload, "request", "an end before all was given");
}

}  // namespace nuncio::simulation
