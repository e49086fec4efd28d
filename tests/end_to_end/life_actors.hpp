// Actors for the cases about an actor's life, and what a case learns of them besides their answers. Any thread.
//
// brief: falls asleep after one idle second; a request may take half of one. POST /keep and /let-go hold and drop a
// keep_awake(), POST /destroy destroys, GET /never is not answered, POST /quit-error quits with an error, POST /message has a plain message sent
// to the actor, whose handler throws. Anything else: the generation.
//
// gate, detached: POST /wait, /wait-quit and /wait-throw block until `let_go`, and the last two then quit or throw. Every
// answer, and anything else's: the generation.
//
// late: its start waits for storage. Every request: which of this instance's it is, and the generation.
//
// timeless: POST /min and /max set an alarm at the ends of time, POST /sleep sleeps. Every answer: how many alarms have come to
// this instance, and the generation.
#pragma once

#include <string>
#include <vector>

namespace nuncio {
class host;
}

namespace nuncio::e2e {

void serve_life_actors(host& to);

/// The reasons in the stop_commands that an actor was told, in order, as the wire names them.
std::vector<std::string> stops_told(const std::string& actor_id);

/// Opens the gate of an actor, for good.
void let_go(const std::string& actor_id);

}  // namespace nuncio::e2e
