// The engine that NUNCIO_E2E_ENGINE names: the embedded dev engine in this process, or the real one as a child process. Cases
// see no difference; they fail if the engine is not available. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace nuncio::e2e {

enum class engine_kind : std::uint8_t { dev, rivet };

/// From NUNCIO_E2E_ENGINE: "dev" (also when unset) or "rivet". Ends the program when it is anything else.
engine_kind kind_under_test();

struct engine_setup {
  bool streaming = false;  ///< the streaming gateway
  bool keep_data = false;  ///< what a kill must not lose; the real one always keeps it
  /// For thousands of WebSockets: the dev engine is a process of its own, with files of its own; the real one, whose pings
  /// and keepalives for each cost it over a millisecond, leaves them out.
  bool crowded = false;
  bool apart = false;  ///< the dev engine is a process of its own, as the real one always is
};

class engine_under_test {
public:
  /// Starts; fails the case when it can't.
  explicit engine_under_test(engine_setup setup = {});
  ~engine_under_test();

  /// As kill -9.
  void kill();
  /// In good order: connections get ws.going_away.
  void stop();
  /// After stop() or kill(), on the same port with the same data.
  void restart();

  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::string endpoint() const;
  /// The end of the log of an engine that is a child; else empty.
  [[nodiscard]] std::string log_tail() const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

/// The buffered engine that cases of one run share; started at first use.
engine_under_test& shared_engine();
/// One with the streaming gateway, likewise.
engine_under_test& shared_streaming_engine();
/// Before main ends.
void end_shared_engines();

}  // namespace nuncio::e2e
