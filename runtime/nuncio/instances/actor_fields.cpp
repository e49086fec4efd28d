// See actor_fields.hpp.
#include <fmt/format.h>

#include <nuncio/instances/actor_fields.hpp>
#include <string_view>

namespace nuncio::internal {
namespace {

// Empty if `said` hides no error.
std::string_view error_id_in(std::string_view said) {
  const auto at = said.find(hidden_error_text);
  if (at == std::string_view::npos) return {};
  said.remove_prefix(at + hidden_error_text.size());
  return said.substr(0, said.find(')'));
}

}  // namespace

std::vector<log_field> with_actor(const start_info& who, std::initializer_list<log_field> more) {
  std::vector<log_field> out{{"name", who.name.str()}};
  if (who.key) out.push_back({"key", who.key->str()});
  out.push_back({"actor", who.self.actor.str()});
  out.push_back({"generation", fmt::to_string(who.self.generation)});
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

std::vector<log_field> with_reason(const start_info& who, const std::string& why) {
  auto out = with_actor(who, {});
  if (const auto id = error_id_in(why); !id.empty()) out.push_back({"error_id", std::string{id}});
  out.push_back({"reason", why});
  return out;
}

}  // namespace nuncio::internal
