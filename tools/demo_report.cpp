// See demo_report.hpp.
#include "demo_report.hpp"

#include <fmt/format.h>

namespace nuncio {
namespace {

using proxy::cut_moment;

constexpr cut_moment all_moments[] = {
    cut_moment::after_delivery, cut_moment::ack_in_flight, cut_moment::during_stop};

class judge {
public:
  void equal(std::string_view what, std::uint64_t a, std::string_view other, std::uint64_t b) {
    if (a != b) out.push_back(fmt::format("{} ({}) is not {} ({})", what, a, other, b));
  }

  void none(std::string_view what, std::uint64_t n) {
    if (n != 0) out.push_back(fmt::format("{}: {}, must be 0", what, n));
  }

  void some(std::string_view what, std::uint64_t n) {
    if (n == 0) out.push_back(fmt::format("{}: none", what));
  }

  std::vector<std::string> out;
};

struct row {
  std::string what, engine_side, host_side;
};

std::string number(std::uint64_t n) { return fmt::format("{}", n); }

}  // namespace

std::vector<std::string> objections(const demo_numbers& x) {
  judge j;
  const auto& in = x.host.ingress;
  const auto& ledger = x.host.ledger;
  const auto& wire = x.wire;
  j.equal("commands received by the host", in.commands, "deliveries on the wire", wire.deliveries);
  j.equal("dispatched", in.dispatched, "distinct commands delivered", wire.commands);
  j.equal(
      "dispatched + duplicates + superseded + expired",
      in.dispatched + ledger.duplicates + ledger.superseded + ledger.expired,
      "deliveries",
      wire.deliveries);
  j.equal("Starts dispatched", in.starts, "distinct Starts delivered", wire.starts);
  j.equal("Stops dispatched", in.stops, "distinct Stops delivered", wire.stops);
  j.equal("factory calls", x.factory_calls, "distinct Starts delivered", wire.starts);
  j.none("repeated factory calls", x.factory_calls_repeated);
  j.none("Starts too old to run", ledger.expired);
  for (const auto at : all_moments)
    j.some(
        fmt::format("duplicates after a cut {}", to_string(at)),
        wire.duplicates_of[static_cast<std::size_t>(at)]);
  j.none("commands replayed on the last reconnect", wire.replayed_last);
  j.none("commands whose ack never reached the engine", wire.unacked_engine);
  j.none("acks for commands that were never delivered", wire.acks_unfounded);
  j.none("Stopped sent twice on one connection", wire.stopped_twice);
  j.none("actors that the engine gave up as lost", wire.lost);
  j.none("messages that do not decode", wire.undecodable + x.host.link.bad_frames);
  j.none("instances left in the host", in.instances);
  j.none("ledger entries of actors that live", ledger.entries - ledger.gone);
  j.equal("actors destroyed", x.work.destroyed, "actors created", x.work.created);
  j.some("HTTP requests answered", x.work.answered);
  j.none("HTTP requests without any answer", x.work.silent);
  j.none("HTTP requests with a wrong answer", x.work.wrong);
  j.equal(
      "HTTP requests",
      x.work.requests,
      "answered + failed with a reason",
      x.work.answered + x.work.failed);
  if (x.engine) {
    j.equal(
        "commands issued by the engine",
        x.engine->commands_issued,
        "distinct commands delivered",
        wire.commands);
    j.none("commands that the engine still holds", x.engine->commands_left);
    j.none("actors lost, as the engine counts", x.engine->actors_lost);
  }
  return j.out;
}

std::string table(const demo_numbers& x) {
  const auto& in = x.host.ingress;
  const auto& ledger = x.host.ledger;
  const auto& wire = x.wire;
  const std::string no;
  std::vector<row> rows{
      {"commands issued", x.engine ? number(x.engine->commands_issued) : "(unknown)", no},
      {"distinct commands, dispatched", number(wire.commands), number(in.dispatched)},
      {"  Starts", number(wire.starts), number(in.starts)},
      {"  Stops", number(wire.stops), number(in.stops)},
      {"deliveries", number(wire.deliveries), number(in.commands)},
      {"duplicates", number(wire.duplicates), number(ledger.duplicates)},
      {"superseded", no, number(ledger.superseded)},
      {"expired", no, number(ledger.expired)},
      {"acks (checkpoints)", number(wire.acks), number(x.host.acks_sent)},
      {"ack frames, swallowed", fmt::format("{}, {}", wire.ack_frames, wire.acks_swallowed), no},
      {"commands re-acked", number(wire.re_acked), no},
      {"factory calls", no, number(x.factory_calls)},
      {"repeated factory calls", no, number(x.factory_calls_repeated)},
      {"Stopped events, re-sent events",
       no,
       fmt::format("{}, {}", x.host.outbox.stopped, x.host.outbox.resent)},
      {"connections, cuts",
       fmt::format("{}, {}", wire.connections, wire.cuts),
       number(x.host.link.connections)}};
  for (const auto at : all_moments) {
    const auto i = static_cast<std::size_t>(at);
    rows.push_back(
        {fmt::format("  cuts {}", to_string(at)),
         fmt::format("{} gave {} duplicates", wire.cuts_at[i], wire.duplicates_of[i]),
         no});
  }
  rows.push_back({"longest outage", fmt::format("{} ms", x.longest_outage.count()), no});
  rows.push_back(
      {"HTTP requests answered",
       fmt::format("{} of {}", x.work.answered, x.work.requests),
       number(x.host.responses)});
  rows.push_back({"HTTP requests failed with a reason", number(x.work.failed), no});
  rows.push_back(
      {"actors created, put to sleep, destroyed",
       fmt::format("{}, {}, {}", x.work.created, x.work.sleeps, x.work.destroyed),
       fmt::format("{} left", in.instances)});
  rows.push_back(
      {"ledger entries left, of gone actors",
       no,
       fmt::format("{}, {}", ledger.entries, ledger.gone)});
  rows.push_back(
      {"commands that the engine still holds",
       x.engine ? fmt::format("{}, replayed {}", x.engine->commands_left, wire.replayed_last)
                : fmt::format("replayed {}", wire.replayed_last),
       no});
  auto out = fmt::format("{:<46}{:>24}{:>22}\n", "", "engine and proxy", "host and actors");
  for (const auto& r : rows)
    out += fmt::format("{:<46}{:>24}{:>22}\n", r.what, r.engine_side, r.host_side);
  for (const auto& [reason, n] : x.work.reasons) out += fmt::format("  {} x {}\n", n, reason);
  return out;
}

}  // namespace nuncio
