// The sub-commands of `nuncio`: each adds its flags to the command line and returns an exit status when it is chosen.
// Exit status: 0 done, 1 failed, 2 usage, 3 refused by the engine.
#pragma once

#include <CLI/CLI.hpp>

namespace nuncio {

void add_serve(CLI::App& app, int& status);
void add_engine(CLI::App& app, int& status);
void add_codec(CLI::App& app, int& status);
void add_demo(CLI::App& app, int& status);

}  // namespace nuncio
