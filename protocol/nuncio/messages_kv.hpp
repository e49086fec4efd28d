// Key-value storage requests and responses, and the values that a Start may bring along. Values;
// any thread.
#pragma once

#include <array>
#include <cstdint>
#include <nuncio/bytes.hpp>
#include <nuncio/detail/wire.hpp>
#include <nuncio/ids.hpp>
#include <optional>
#include <variant>
#include <vector>

namespace nuncio::protocol {

using wire::enumerate;
using wire::field;
using wire::newtype;
using wire::record;
using wire::since;
using wire::since_droppable;

struct kv_metadata {
  bytes version;
  std::int64_t update_ts = 0;

  static constexpr auto wire = record(
      "KvMetadata",
      field("version", &kv_metadata::version),
      field("updateTs", &kv_metadata::update_ts));
  bool operator==(const kv_metadata&) const = default;
};

struct kv_list_all_query {
  static constexpr auto wire = record("KvListAllQuery");
  bool operator==(const kv_list_all_query&) const = default;
};

struct kv_list_range_query {
  bytes start;
  bytes end;
  bool exclusive = false;

  static constexpr auto wire = record(
      "KvListRangeQuery",
      field("start", &kv_list_range_query::start),
      field("end", &kv_list_range_query::end),
      field("exclusive", &kv_list_range_query::exclusive));
  bool operator==(const kv_list_range_query&) const = default;
};

struct kv_list_prefix_query {
  bytes key;

  static constexpr auto wire =
      record("KvListPrefixQuery", field("key", &kv_list_prefix_query::key));
  bool operator==(const kv_list_prefix_query&) const = default;
};

using kv_list_query = std::variant<kv_list_all_query, kv_list_range_query, kv_list_prefix_query>;

struct kv_get_request {
  std::vector<bytes> keys;

  static constexpr auto wire = record("KvGetRequest", field("keys", &kv_get_request::keys));
  bool operator==(const kv_get_request&) const = default;
};

struct kv_list_request {
  kv_list_query query;
  std::optional<bool> reverse;
  std::optional<std::uint64_t> limit;

  static constexpr auto wire = record(
      "KvListRequest",
      field("query", &kv_list_request::query),
      field("reverse", &kv_list_request::reverse),
      field("limit", &kv_list_request::limit));
  bool operator==(const kv_list_request&) const = default;
};

struct kv_put_request {
  std::vector<bytes> keys;
  std::vector<bytes> values;

  static constexpr auto wire = record(
      "KvPutRequest",
      field("keys", &kv_put_request::keys),
      field("values", &kv_put_request::values));
  bool operator==(const kv_put_request&) const = default;
};

struct kv_delete_request {
  std::vector<bytes> keys;

  static constexpr auto wire = record("KvDeleteRequest", field("keys", &kv_delete_request::keys));
  bool operator==(const kv_delete_request&) const = default;
};

struct kv_delete_range_request {
  bytes start;
  bytes end;

  static constexpr auto wire = record(
      "KvDeleteRangeRequest",
      field("start", &kv_delete_range_request::start),
      field("end", &kv_delete_range_request::end));
  bool operator==(const kv_delete_range_request&) const = default;
};

struct kv_drop_request {
  static constexpr auto wire = record("KvDropRequest");
  bool operator==(const kv_drop_request&) const = default;
};

struct kv_error_response {
  text message;

  static constexpr auto wire =
      record("KvErrorResponse", field("message", &kv_error_response::message));
  bool operator==(const kv_error_response&) const = default;
};

struct kv_get_response {
  std::vector<bytes> keys;
  std::vector<bytes> values;
  std::vector<kv_metadata> metadata;

  static constexpr auto wire = record(
      "KvGetResponse",
      field("keys", &kv_get_response::keys),
      field("values", &kv_get_response::values),
      field("metadata", &kv_get_response::metadata));
  bool operator==(const kv_get_response&) const = default;
};

struct kv_list_response {
  std::vector<bytes> keys;
  std::vector<bytes> values;
  std::vector<kv_metadata> metadata;

  static constexpr auto wire = record(
      "KvListResponse",
      field("keys", &kv_list_response::keys),
      field("values", &kv_list_response::values),
      field("metadata", &kv_list_response::metadata));
  bool operator==(const kv_list_response&) const = default;
};

struct kv_put_response {
  static constexpr auto wire = record("KvPutResponse");
  bool operator==(const kv_put_response&) const = default;
};

struct kv_delete_response {
  static constexpr auto wire = record("KvDeleteResponse");
  bool operator==(const kv_delete_response&) const = default;
};

struct kv_drop_response {
  static constexpr auto wire = record("KvDropResponse");
  bool operator==(const kv_drop_response&) const = default;
};

using kv_request_data = std::variant<
    kv_get_request,
    kv_list_request,
    kv_put_request,
    kv_delete_request,
    kv_delete_range_request,
    kv_drop_request>;

using kv_response_data = std::variant<
    kv_error_response,
    kv_get_response,
    kv_list_response,
    kv_put_response,
    kv_delete_response,
    kv_drop_response>;

struct preloaded_kv_entry {
  bytes key;
  bytes value;
  kv_metadata metadata;

  static constexpr auto wire = record(
      "PreloadedKvEntry",
      field("key", &preloaded_kv_entry::key),
      field("value", &preloaded_kv_entry::value),
      field("metadata", &preloaded_kv_entry::metadata));
  bool operator==(const preloaded_kv_entry&) const = default;
};

struct preloaded_kv {
  std::vector<preloaded_kv_entry> entries;
  std::vector<bytes> requested_get_keys;
  std::vector<bytes> requested_prefixes;

  static constexpr auto wire = record(
      "PreloadedKv",
      field("entries", &preloaded_kv::entries),
      field("requestedGetKeys", &preloaded_kv::requested_get_keys),
      field("requestedPrefixes", &preloaded_kv::requested_prefixes));
  bool operator==(const preloaded_kv&) const = default;
};

}  // namespace nuncio::protocol
