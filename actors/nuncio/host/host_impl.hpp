// The data of a host, and how it begins and ends. Private to host.cpp, host_start.cpp and host_signals.cpp.
#pragma once

#include <atomic>
#include <caf/actor.hpp>
#include <caf/actor_system.hpp>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <nuncio/host.hpp>
#include <nuncio/host/bundle.hpp>
#include <optional>
#include <string>
#include <vector>

namespace nuncio {

struct host::impl : std::enable_shared_from_this<impl> {
  enum class phase : std::uint8_t { idle, running, stopping, stopped };

  impl(caf::actor_system& sys, host_options opts);

  // -- start (host_start.cpp)

  /// The link options that follow from the host's, or what is wrong with them.
  outcome<link_options> checked() const;
  serve_result add(serve_options how, internal::factory make);
  serve_result take(serve_options& how, internal::factory make);
  outcome<void> start();
  ingress_options ingress_side();
  outcome<std::string> read_token();
  outcome<std::string> read_token_alone();
  /// Whether the source gives a new token. Not while the links run, since they ask themselves.
  bool token_has_changed();
  /// The terms to dial the engine with, as far as they are known now: the current token, and the version that the engine
  /// reports. `then` is called once, perhaps at once.
  void ask_terms(std::function<void(outcome<dial_terms>)> then);
  /// Answers a link's request for terms, on whichever thread has them.
  void answer_link(std::size_t i);
  /// Asks the engine until it answers, then lets the links dial.
  void prepare(std::chrono::milliseconds retry);
  void prepared(outcome<dial_terms> terms, std::chrono::milliseconds retry);
  /// `then` is called once, unless the host is over.
  void ensure_pool(const dial_terms& terms, std::function<void(outcome<void>)> then);
  [[nodiscard]] engine_access access(std::string token) const;

  // -- calls from bundles, and the end (host.cpp)

  void count_ready();
  void count_done();
  void set_final(const failure& why);
  void stop(std::chrono::milliseconds limit);
  /// @param system_over  the actor system is shutting down: no message may be left in a mailbox that nobody empties, and all
  ///                    handles are released
  void end(bool system_over);
  caf::actor the_directory();

  caf::actor_system* system;
  host_options options;
  internal::factories factories;                 // under `mutex` until the start
  std::optional<failure> not_served;             // the first failure of serve()
  std::vector<std::string> keys;                 // one for each link
  std::vector<std::unique_ptr<bundle>> bundles;  // set once, by start()
  std::shared_ptr<http_client> client;
  engine_endpoint endpoint;  // set once, by start()
  caf::actor directory;      // made on first use; ends when nothing refers to it
  std::atomic<std::uint16_t> dialled_version = 0;
  std::mutex token_mutex;  // one reader at a time
  std::string last_token;

  std::mutex starting, ending;
  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  phase now_in = phase::idle;
  bool links_started = false;
  std::size_t ready = 0, done = 0;  ///< counts of bundles
  std::optional<failure> final;
};

}  // namespace nuncio
