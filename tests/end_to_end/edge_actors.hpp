// `edges`: an actor that responds as requested, right or wrong, and can fail in every way. Any thread.
//
// A request's header x-answer is JSON: {"status", "headers": [[name, value], ...], "body"}, with "chunks": [text, ...] for a
// response that is streamed. {"fails": HOW} instead is one of the words in edge_actors.cpp; each failure says
// `edge_secret`. Without the header: method, target and headers, a line each. WebSockets: /websocket/throw fails to open;
// else a message that is such a word fails so.
#pragma once

namespace nuncio {
class host;
}

namespace nuncio::e2e {

inline constexpr auto edge_secret = "secret-4711";

void serve_edge_actors(host& to);

}  // namespace nuncio::e2e
