// A value or a failure: how everything outside CAF reports errors. Never throws, never loses the reason.
// Values; any thread.
//
//   if (auto started = host.start(); !started) fmt::print("{}\n", started.error().message);
#pragma once

#include <cassert>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace nuncio {

/// The kind of a failure, for programs to switch on.
enum class errc : std::uint8_t {
  invalid_argument,     ///< a setting, flag or argument is wrong; retrying does not help
  malformed,            ///< bytes or JSON that are not what they should be
  not_in_version,       ///< the protocol version in use has no such message or field
  unsupported_version,  ///< a protocol version that we do not speak
  too_large,            ///< over a limit, which the message names
  queue_full,           ///< a bounded queue has no room; try again later
  link_lost,            ///< the connection ended first
  timed_out,            ///< a deadline passed
  unreachable,          ///< nobody answers at that address
  refused,              ///< the other side said no
  not_found,            ///< what was asked for does not exist
  evicted,              ///< another host took over this envoy key
  cancelled,            ///< we ended it ourselves
  internal,             ///< a bug or a broken environment
};

/// The name of `code`, as in the enumeration.
std::string_view to_string(errc code);

/// A failure: a code for programs and a sentence that a person can act on.
struct failure {
  errc code = errc::internal;
  std::string message;

  bool operator==(const failure&) const = default;
};

/// "code: message".
std::string to_string(const failure& x);

/// Either a `T` or a failure. Reading the wrong half is a bug and asserts.
template <class T>
class [[nodiscard]] outcome {
public:
  outcome(T value) : content_(std::in_place_index<0>, std::move(value)) {}

  outcome(failure why) : content_(std::in_place_index<1>, std::move(why)) {}

  explicit operator bool() const { return content_.index() == 0; }

  [[nodiscard]] bool ok() const { return content_.index() == 0; }

  T& operator*() & { return get(); }

  const T& operator*() const& { return get(); }

  T&& operator*() && { return std::move(get()); }

  T* operator->() { return &get(); }

  const T* operator->() const { return &get(); }

  [[nodiscard]] const failure& error() const {
    assert(content_.index() == 1);
    return *std::get_if<1>(&content_);
  }

private:
  T& get() {
    assert(content_.index() == 0);
    return *std::get_if<0>(&content_);
  }

  const T& get() const {
    assert(content_.index() == 0);
    return *std::get_if<0>(&content_);
  }

  std::variant<T, failure> content_;
};

/// Success without a value, or a failure.
template <>
class [[nodiscard]] outcome<void> {
public:
  outcome() = default;

  outcome(failure why) : error_(std::move(why)), ok_(false) {}

  explicit operator bool() const { return ok_; }

  [[nodiscard]] bool ok() const { return ok_; }

  [[nodiscard]] const failure& error() const {
    assert(!ok_);
    return error_;
  }

private:
  failure error_;
  bool ok_ = true;
};

}  // namespace nuncio
