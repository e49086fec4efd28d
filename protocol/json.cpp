// Derives JSON in both directions from the descriptions of wire.hpp. nlohmann's header is included
// here only.
#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <nuncio/hex.hpp>
#include <nuncio/json.hpp>

namespace nuncio::protocol {
namespace {

using json = nlohmann::ordered_json;

class json_reader;

// Records and unions are walked by tables of one row for each field or alternative: code of its own for each walk of
// each of the two hundred types takes a compiler half a minute, and JSON is not on the way of a command.
struct field_row {
  std::string_view name;
  wire::presence when;
  json (*render)(const void* record, std::uint16_t version);
  void (*get)(json_reader& reader, const json& from, void* record);
};

struct alternative_row {
  std::string_view name;
  json (*render)(const void* alternative, std::uint16_t version);
  void (*get)(
      json_reader& reader, const json& from, void* variant);  // makes it the alternative first
};

template <class T, std::size_t I>
json render_field(const void* record, std::uint16_t version);
template <class T, std::size_t I>
void get_field(json_reader& reader, const json& from, void* record);
template <class T>
json render_erased(const void* x, std::uint16_t version);
template <class T, std::size_t I>
void get_alternative(json_reader& reader, const json& from, void* variant);

template <class T, std::size_t... Is>
constexpr std::array<field_row, sizeof...(Is)> make_fields(std::index_sequence<Is...>) {
  return {field_row{
      std::get<Is>(T::wire.fields).name,
      std::get<Is>(T::wire.fields).when,
      render_field<T, Is>,
      get_field<T, Is>}...};
}

template <class T, std::size_t... Is>
constexpr std::array<alternative_row, sizeof...(Is)> make_alternatives(std::index_sequence<Is...>) {
  return {alternative_row{
      std::variant_alternative_t<Is, T>::wire.name,
      render_erased<std::variant_alternative_t<Is, T>>,
      get_alternative<T, Is>}...};
}

template <class T>
constexpr auto fields_of =
    make_fields<T>(std::make_index_sequence<std::tuple_size_v<decltype(T::wire.fields)>>{});

template <class T>
constexpr auto alternatives_of =
    make_alternatives<T>(std::make_index_sequence<std::variant_size_v<T>>{});

bool has_fields(std::span<const field_row> fields, std::uint16_t version) {
  return std::any_of(
      fields.begin(), fields.end(), [&](const auto& f) { return f.when.covers(version); });
}

// -- value to JSON ------------------------------------------------------------

json render_record(std::span<const field_row> fields, const void* x, std::uint16_t version) {
  if (!has_fields(fields, version)) return json{};
  auto out = json::object();
  for (const auto& f : fields)
    if (f.when.covers(version)) out.emplace(f.name, f.render(x, version));
  return out;
}

json render_alternative(const alternative_row& row, const void* x, std::uint16_t version) {
  auto out = json::object();
  out.emplace("tag", row.name);
  out.emplace("val", row.render(x, version));
  return out;
}

template <class T>
const void* address_in(const T& variant) {
  return std::visit([](const auto& x) -> const void* { return &x; }, variant);
}

template <class T>
json render(const T& x, std::uint16_t version) {
  if constexpr (std::is_same_v<T, bool>) {
    return x;
  } else if constexpr (std::is_arithmetic_v<T> && sizeof(T) == 8) {
    return fmt::to_string(x);
  } else if constexpr (std::is_arithmetic_v<T>) {
    return x;
  } else if constexpr (wire::enum_type<T>) {
    const auto number = static_cast<std::size_t>(x);
    const auto& values = wire_enum(x).values;
    return number < values.size() ? json(values[number]) : json(number);
  } else if constexpr (std::is_same_v<T, bytes>) {
    return to_hex(x.span());
  } else if constexpr (std::is_same_v<T, text> || std::is_same_v<T, actor_id>) {
    return std::string{x.view()};
  } else if constexpr (wire::fixed_type<T>) {
    return to_hex(x);
  } else if constexpr (wire::optional_type<T>) {
    return x ? render(*x, version) : json{};
  } else if constexpr (wire::list_type<T>) {
    auto out = json::array();
    for (const auto& y : x) out.push_back(render(y, version));
    return out;
  } else if constexpr (wire::map_type<T>) {
    auto out = json::array();
    for (const auto& [k, v] : x.entries)
      out.push_back(json::array({render(k, version), render(v, version)}));
    return out;
  } else if constexpr (wire::newtype_type<T>) {
    return render(x.*(T::wire.member), version);
  } else if constexpr (wire::record_type<T>) {
    return render_record(fields_of<T>, &x, version);
  } else {
    return render_alternative(alternatives_of<T>[x.index()], address_in(x), version);
  }
}

template <class T>
json render_erased(const void* x, std::uint16_t version) {
  return render(*static_cast<const T*>(x), version);
}

template <class T, std::size_t I>
json render_field(const void* record, std::uint16_t version) {
  return render(static_cast<const T*>(record)->*(std::get<I>(T::wire.fields).member), version);
}

// -- JSON to value ------------------------------------------------------------

class json_reader {
public:
  explicit json_reader(std::uint16_t version) : version_(version) {}

  /// Empty as long as all went well, else where and why.
  [[nodiscard]] const std::string& error() const { return error_; }

  template <class T>
  void get(const json& from, T& x) {
    if (!error_.empty()) return;
    if constexpr (std::is_same_v<T, bool>) {
      if (!from.is_boolean()) return fail("expected true or false");
      x = from.get<bool>();
    } else if constexpr (std::is_arithmetic_v<T> && sizeof(T) == 8) {
      get_wide(from, x);
    } else if constexpr (std::is_arithmetic_v<T>) {
      if (!from.is_number_unsigned() || from.get<std::uint64_t>() > std::numeric_limits<T>::max())
        return fail(fmt::format("expected a number from 0 to {}", std::numeric_limits<T>::max()));
      x = static_cast<T>(from.get<std::uint64_t>());
    } else if constexpr (wire::enum_type<T>) {
      get_enum(from, x);
    } else if constexpr (std::is_same_v<T, bytes>) {
      if (auto raw = get_hex(from)) x = bytes{std::move(*raw)};
    } else if constexpr (std::is_same_v<T, text> || std::is_same_v<T, actor_id>) {
      if (!from.is_string()) return fail("expected a string");
      x = T{from.get<std::string>()};
    } else if constexpr (wire::fixed_type<T>) {
      auto raw = get_hex(from);
      if (!raw) return;
      if (raw->size() != x.size()) return fail(fmt::format("expected {} bytes as hex", x.size()));
      std::copy(raw->begin(), raw->end(), x.begin());
    } else if constexpr (wire::optional_type<T>) {
      if (!from.is_null()) get(from, x.emplace());
    } else if constexpr (wire::list_type<T>) {
      if (!from.is_array()) return fail("expected an array");
      for (std::size_t i = 0; i < from.size(); ++i)
        inside(fmt::to_string(i), [&] { get(from[i], x.emplace_back()); });
    } else if constexpr (wire::map_type<T>) {
      get_map(from, x);
    } else if constexpr (wire::newtype_type<T>) {
      get(from, x.*(T::wire.member));
    } else if constexpr (wire::record_type<T>) {
      get_record(from, T::wire.name, fields_of<T>, &x);
    } else {
      get_union(from, alternatives_of<T>, &x);
    }
  }

private:
  template <class T>
  void get_wide(const json& from, T& x) {
    if (!from.is_string()) return fail("expected a 64-bit integer as a decimal string");
    const auto& digits = from.get_ref<const std::string&>();
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), x);
    if (code != std::errc{} || end != digits.data() + digits.size())
      fail(fmt::format("'{}' is no 64-bit integer of this kind", digits));
  }

  template <class T>
  void get_enum(const json& from, T& x) {
    if (from.is_string()) {
      const auto& values = wire_enum(T{}).values;
      for (std::size_t i = 0; i < values.size(); ++i) {
        if (values[i] != from.get_ref<const std::string&>()) continue;
        x = static_cast<T>(i);
        return;
      }
    }
    fail(fmt::format("expected one of {}", fmt::join(wire_enum(T{}).values, ", ")));
  }

  std::optional<std::vector<std::uint8_t>> get_hex(const json& from) {
    if (!from.is_string()) {
      fail("expected hex digits");
      return std::nullopt;
    }
    const auto& digits = from.get_ref<const std::string&>();
    std::vector<std::uint8_t> out(digits.size() / 2);
    bool good = digits.size() % 2 == 0;
    for (std::size_t i = 0; good && i < digits.size(); ++i) {
      const auto nibble = hex_digits.find(digits[i]);
      good = nibble != std::string_view::npos;
      if (good) out[i / 2] = static_cast<std::uint8_t>(std::size_t{out[i / 2]} << 4U | nibble);
    }
    if (good) return out;
    fail("expected an even number of lower-case hex digits");
    return std::nullopt;
  }

  template <class K, class V>
  void get_map(const json& from, wire::map_of<K, V>& x) {
    if (!from.is_array()) return fail("expected an array of [key, value]");
    for (std::size_t i = 0; i < from.size(); ++i) {
      inside(fmt::to_string(i), [&] {
        if (!from[i].is_array() || from[i].size() != 2) return fail("expected [key, value]");
        auto& [k, v] = x.entries.emplace_back();
        inside("0", [&, &key = k] { get(from[i][0], key); });
        inside("1", [&, &value = v] { get(from[i][1], value); });
      });
    }
    std::vector<std::string_view> keys;
    for (const auto& [k, v] : x.entries) keys.push_back(k);
    std::sort(keys.begin(), keys.end());
    if (std::adjacent_find(keys.begin(), keys.end()) != keys.end()) fail("duplicate map key");
  }

  void get_record(
      const json& from, std::string_view name, std::span<const field_row> fields, void* x) {
    if (from.is_null() && !has_fields(fields, version_)) return;
    if (!from.is_object()) return fail(fmt::format("expected {} as an object", name));
    std::size_t known = 0;
    for (const auto& f : fields) {
      const auto at = from.find(f.name);
      if (at != from.end()) {
        ++known;
        inside(f.name, [&] { f.get(*this, *at, x); });
      } else if (f.when.covers(version_)) {
        fail(fmt::format("{} lacks '{}'", name, f.name));
      }
    }
    if (error_.empty() && known != from.size())
      fail(fmt::format("{} has a field that it does not know", name));
  }

  void get_union(const json& from, std::span<const alternative_row> alternatives, void* x) {
    if (!from.is_object() || from.size() != 2 || !from.contains("tag") || !from.contains("val") ||
        !from["tag"].is_string())
      return fail("expected {\"tag\", \"val\"}");
    const auto& tag = from["tag"].get_ref<const std::string&>();
    const auto row = std::find_if(
        alternatives.begin(), alternatives.end(), [&](const auto& a) { return a.name == tag; });
    if (row == alternatives.end()) return fail(fmt::format("unknown tag '{}'", tag));
    inside("val", [&] { row->get(*this, from["val"], x); });
  }

  template <class F>
  void inside(std::string_view step, F&& f) {
    const auto size = path_.size();
    path_ += '/';
    path_ += step;
    f();
    path_.resize(size);
  }

  void fail(std::string why) {
    if (error_.empty())
      error_ = fmt::format("at {}: {}", path_.empty() ? std::string{"the top"} : path_, why);
  }

  std::uint16_t version_;
  std::string path_;
  std::string error_;
};

template <class T, std::size_t I>
void get_field(json_reader& reader, const json& from, void* record) {
  reader.get(from, static_cast<T*>(record)->*(std::get<I>(T::wire.fields).member));
}

template <class T, std::size_t I>
void get_alternative(json_reader& reader, const json& from, void* variant) {
  reader.get(from, static_cast<T*>(variant)->template emplace<I>());
}

template <class T>
std::string print(const T& x, std::uint16_t version) {
  // Text of our own making may be no UTF-8; a log line about it must not throw.
  return render(x, version).dump(-1, ' ', false, json::error_handler_t::replace);
}

// Finds a name that stands twice in one object, where the library would keep the last.
class twice_finder {
public:
  bool operator()(int depth, json::parse_event_t event, json& x) {
    const auto level = static_cast<std::size_t>(depth);
    if (event == json::parse_event_t::object_start) {
      if (names_.size() <= level + 1) names_.resize(level + 2);
      names_[level + 1].clear();
    } else if (event == json::parse_event_t::key) {
      auto& seen = names_[level];
      const auto& name = x.get_ref<const std::string&>();
      if (std::find(seen.begin(), seen.end(), name) != seen.end()) found_ = name;
      seen.push_back(name);
    }
    return true;
  }

  [[nodiscard]] const std::optional<std::string>& found() const { return found_; }

private:
  std::vector<std::vector<std::string>> names_;  // by depth
  std::optional<std::string> found_;
};

template <class T>
outcome<T> parse(std::string_view line, std::uint16_t version) {
  if (version < wire::version_min || version > wire::version_max)
    return failure{
        errc::unsupported_version, fmt::format("protocol version {} is not spoken", version)};
  json tree;
  twice_finder twice;
  try {
    tree = json::parse(line, std::ref(twice));
  } catch (const json::exception& e) {
    const auto* syntax = dynamic_cast<const json::parse_error*>(&e);
    return failure{
        errc::malformed,
        fmt::format("offset {}: not JSON: {}", syntax != nullptr ? syntax->byte : 0, e.what())};
  }
  if (twice.found())
    return failure{errc::malformed, fmt::format("'{}' stands twice in one object", *twice.found())};
  json_reader reader{version};
  outcome<T> x{T{}};
  reader.get(tree, *x);
  if (!reader.error().empty()) return failure{errc::malformed, reader.error()};
  return x;
}

}  // namespace

std::string to_json(const to_rivet& x, std::uint16_t version) { return print(x, version); }

std::string to_json(const to_envoy& x, std::uint16_t version) { return print(x, version); }

outcome<to_rivet> to_rivet_from_json(std::string_view line, std::uint16_t version) {
  return parse<to_rivet>(line, version);
}

outcome<to_envoy> to_envoy_from_json(std::string_view line, std::uint16_t version) {
  return parse<to_envoy>(line, version);
}

}  // namespace nuncio::protocol
