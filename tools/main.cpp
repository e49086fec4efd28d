// The `nuncio` command line.
#include <cstdio>
#include <exception>

#include "commands.hpp"

int main(int argc, char** argv) {
  try {
    CLI::App app{"Hosts stateful CAF actors for a Rivet engine.", "nuncio"};
    app.require_subcommand(1);
    app.set_version_flag("--version", "nuncio " NUNCIO_VERSION);
    int status = 0;
    nuncio::add_serve(app, status);
    nuncio::add_engine(app, status);
    nuncio::add_codec(app, status);
    nuncio::add_demo(app, status);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
      return app.exit(e) == 0 ? 0 : 2;
    }
    return status;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "nuncio: %s\n", e.what());
    return 1;
  }
}
