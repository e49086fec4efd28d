// The `nuncio` command line.
#include <cstdio>
#include <exception>
#include <string>

#include "commands.hpp"

namespace {

// An error for an unknown sub-command. The parser only says that one is required.
std::string unknown_command(const CLI::App& app) {
  const auto rest = app.get_subcommands().empty() ? app.remaining() : std::vector<std::string>{};
  if (rest.empty()) return {};
  std::string out = "nuncio: '" + rest.front() + "' is not a command; there are";
  const auto all = app.get_subcommands([](const CLI::App*) { return true; });
  for (std::size_t i = 0; i < all.size(); ++i)
    out += (i == 0 ? " " : i + 1 == all.size() ? " and " : ", ") + all[i]->get_name();
  return out;
}

}  // namespace

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
      const auto unknown = e.get_exit_code() == 0 ? std::string{} : unknown_command(app);
      if (unknown.empty()) return app.exit(e) == 0 ? 0 : 2;
      std::fprintf(stderr, "%s\n", unknown.c_str());
      return 2;
    }
    return status;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "nuncio: %s\n", e.what());
    return 1;
  }
}
