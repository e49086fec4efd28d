// A host's counters since it was made, and its current state: the result of host::stats(). Values; any thread.
//
//   const auto now = host.stats();
//   fmt::print("{} actors, {} requests\n", now.ingress.instances, now.ingress.requests);
//
// With several links, numbers are sums.
#pragma once

#include <cstdint>

namespace nuncio {

struct ingress_stats {
  std::uint64_t commands = 0;      ///< commands received, replays included
  std::uint64_t dispatched = 0;    ///< fresh commands carried out
  std::uint64_t starts = 0;        ///< of these, Starts
  std::uint64_t stops = 0;         ///< of these, Stops
  std::uint64_t orphan_stops = 0;  ///< Stops for an unknown generation
  std::uint64_t barriers = 0;      ///< replay barriers passed
  std::uint64_t instances = 0;     ///< now, including those that are down and wait for the engine
  std::uint64_t actors_started = 0;
  std::uint64_t actors_failed = 0;
  std::uint64_t actors_abandoned = 0;  ///< did not react to exit
  std::uint64_t requests = 0;          ///< HTTP requests handed to actors
  std::uint64_t requests_open = 0;
  std::uint64_t requests_rejected = 0;  ///< answered 503 at a limit
  std::uint64_t requests_aborted = 0;   ///< left to the next generation
  std::uint64_t requests_late = 0;      ///< answered 504: the actor did not answer in time
  std::uint64_t requests_silent = 0;    ///< answered 408 at a limit: their bodies stopped arriving
  std::uint64_t clients_doubted =
      0;  ///< ended at a limit, WebSockets included: silent since a reconnect
  std::uint64_t requests_replaced = 0;  ///< a repeated start of a live exchange
  std::uint64_t sockets = 0;            ///< client WebSockets handed to actors
  std::uint64_t sockets_open = 0;
  std::uint64_t sockets_refused =
      0;  ///< at a limit, not accepted in time, or for an actor that is ending
  std::uint64_t too_long =
      0;  ///< messages for requests and WebSockets that were too long to accept
  std::uint64_t sockets_flooded = 0;  ///< closed because more arrived than their actor could handle
  std::uint64_t socket_bytes_waiting =
      0;  ///< from clients and not handled yet, beyond what each may always have
  std::uint64_t socket_messages = 0;  ///< handed to actors
};

struct ledger_stats {
  std::uint64_t entries = 0;
  std::uint64_t gone = 0;   ///< of these, for actors that are gone
  std::uint64_t bytes = 0;  ///< estimated heap of the entries
  std::uint64_t fresh = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t superseded = 0;
  std::uint64_t expired = 0;
  std::uint64_t further_starts = 0;  ///< of the duplicates: Starts with a new index
  std::uint64_t gaps = 0;            ///< fresh indexes that skipped one or more
  std::uint64_t forgotten = 0;       ///< entries dropped after forget_after
  std::uint64_t dropped_at_cap = 0;  ///< entries dropped earlier because of bytes_max
  std::uint64_t over_cap = 0;        ///< times that bytes_max was exceeded with nothing to drop
};

struct outbox_stats {
  std::uint64_t actors = 0;     ///< (actor, generation) pairs with stored events
  std::uint64_t kept = 0;       ///< events kept
  std::uint64_t bytes = 0;      ///< estimated heap of actors and events
  std::uint64_t sent = 0;       ///< events put into frames
  std::uint64_t resent = 0;     ///< of these, on a later connection than their first
  std::uint64_t acked = 0;      ///< events dropped because the engine acked them
  std::uint64_t stopped = 0;    ///< Stopped events recorded
  std::uint64_t forgotten = 0;  ///< Stopped dropped: superseded, or fenced and past their grace
  std::uint64_t dropped_at_cap = 0;
};

struct link_stats {
  std::uint64_t dials = 0;
  std::uint64_t connections = 0;
  std::uint64_t messages_in = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t frames_out = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t pongs = 0;
  std::uint64_t outbound_bytes = 0;  ///< queued or not yet confirmed
  std::uint64_t discarded = 0;   ///< frames that died with their connection or whose gate closed
  std::uint64_t moved = 0;       ///< tunnel messages moved to a later connection
  std::uint64_t bad_frames = 0;  ///< inbound frames that did not decode or came before Init
  std::uint64_t too_long = 0;    ///< inbound messages that were too long to accept
  std::uint64_t leases_ended = 0;
  std::uint64_t reading_paused = 0;  ///< times that the inbound limit was reached
};

struct storage_stats {
  std::uint64_t requests = 0;  ///< accepted or rejected
  std::uint64_t open = 0;      ///< without an answer now
  std::uint64_t open_bytes = 0;
  std::uint64_t answer_bytes = 0;  ///< of answers that are not handled, or may come
  std::uint64_t answered = 0;      ///< the engine did what was asked
  std::uint64_t refused = 0;       ///< the engine answered with an error
  std::uint64_t retried = 0;       ///< sent again on a later connection
  std::uint64_t uncertain = 0;     ///< writes that ended without an answer after they were sent
  std::uint64_t timed_out = 0;
  std::uint64_t rejected = 0;  ///< rejected at a limit
  std::uint64_t too_long = 0;  ///< ended by an answer that was too long to receive or keep
  std::uint64_t strays = 0;    ///< answers that match no open request
};

/// All counters of a host at one moment, over all its links.
struct host_stats {
  ingress_stats ingress;
  ledger_stats ledger;
  outbox_stats outbox;
  link_stats link;
  storage_stats storage;
  std::uint64_t acks_sent = 0;  ///< checkpoints put into frames
  std::uint64_t ack_frames = 0;
  std::uint64_t acks_pending = 0;
  std::uint64_t responses = 0;  ///< HTTP responses handed to the link
  bool engine_acks_events =
      false;  ///< the engine has acked an event: the rule "Running not acked" applies
};

}  // namespace nuncio
