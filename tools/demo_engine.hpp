// The engine that the demo runs against: the embedded one in this process, or the real one as a child process.
#pragma once

#include <cstdint>
#include <memory>
#include <nuncio/outcome.hpp>
#include <nuncio/testing/dev_engine.hpp>
#include <optional>
#include <string>

#include "rivet_engine.hpp"

namespace nuncio {

class demo_engine {
public:
  virtual ~demo_engine() = default;
  virtual outcome<void> start() = 0;
  virtual void stop() = 0;
  [[nodiscard]] virtual std::uint16_t port() const = 0;
  /// The engine's own counters; none for the real one.
  [[nodiscard]] virtual std::optional<testing::dev_engine_stats> stats() const = 0;
};

class embedded_demo_engine final : public demo_engine {
public:
  explicit embedded_demo_engine(std::uint64_t seed) : engine_(seeded(seed)) {}

  outcome<void> start() override {
    if (auto started = engine_.start(); !started) return started.error();
    return {};
  }

  void stop() override { engine_.stop(); }

  [[nodiscard]] std::uint16_t port() const override { return engine_.port(); }

  [[nodiscard]] std::optional<testing::dev_engine_stats> stats() const override {
    return engine_.stats();
  }

private:
  static testing::dev_engine_options seeded(std::uint64_t seed) {
    testing::dev_engine_options out;
    out.seed = seed;
    return out;
  }

  testing::dev_engine engine_;
};

class rivet_demo_engine final : public demo_engine {
public:
  outcome<void> start() override { return engine_.start(); }

  void stop() override { engine_.stop(); }

  [[nodiscard]] std::uint16_t port() const override { return engine_.port(); }

  [[nodiscard]] std::optional<testing::dev_engine_stats> stats() const override {
    return std::nullopt;
  }

private:
  rivet_engine engine_;
};

}  // namespace nuncio
