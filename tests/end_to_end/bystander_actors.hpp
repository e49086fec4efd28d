// Actors for the cases about bystanders.
//
// bystander: does a little of everything, so that its client can tell whether anything was lost or repeated. POST
// /count[?alarm=ms]: the number of POSTs, and the generation; the alarm is reported as "alarm K" on the last opened WebSocket
// that does not hibernate. GET /down?bytes=N&seed=S, POST /up, PUT and GET /kv. WebSockets /open and /hibernate answer with the
// number of the message on it, and the message.
//
// crook: does what no actor should. GET /lie?length=N: one byte under a content-length of N; /status?is=N; /headers?bytes=N:
// that many bytes of headers, 1,000 bytes each; /throw; /block?ms=N: blocks its thread, which others need; /quit: before the
// response; /sleep. Its WebSocket /throw throws at each message.
//
// sluggard, detached: its WebSockets take 20 ms for each message.
//
// laggard, detached: its start takes 32 s.
//
// dozer: falls asleep after one idle second; takes WebSockets.
//
// mayfly: POST /sleep and /destroy; anything else its generation.
#pragma once

#include <cstddef>
#include <string>

namespace nuncio {
class host;
}

namespace nuncio::e2e {

void serve_bystander_actors(host& to);

/// What a bystander streams: no two seeds below 251 look alike.
std::string seeded_body(std::size_t size, std::size_t seed);

/// What it answers to an upload.
std::string receipt_of(std::size_t size, std::uint64_t sum);
/// Of what has come until now; begins at 0.
std::uint64_t summed(std::uint64_t sum, std::string_view more);

}  // namespace nuncio::e2e
