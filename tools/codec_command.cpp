// `nuncio codec`: converts messages between JSON and hex, line by line.
#include <iostream>

#include "commands.hpp"
#include "line_codec.hpp"
#include "number_in.hpp"

namespace nuncio {

void add_codec(CLI::App& app, int& status) {
  auto options = std::make_shared<tools::codec_options>();
  auto direction = std::make_shared<std::string>();
  auto type = std::make_shared<std::string>();
  auto* command =
      app.add_subcommand("codec", "Convert messages between JSON and hex, line by line");
  command->add_option("direction", *direction, "encode (JSON to hex) or decode (hex to JSON)")
      ->required()
      ->check(CLI::IsMember({"encode", "decode"}));
  command->add_option("--type", *type, "to-rivet or to-envoy")
      ->required()
      ->check(CLI::IsMember({"to-rivet", "to-envoy"}));
  command->add_option("--version", options->version, "Protocol version, 3 to 8")
      ->check(number_in(3, 8))
      ->capture_default_str();
  command->callback([=, &status] {
    using options_type = tools::codec_options;
    options->action =
        *direction == "encode" ? options_type::direction::encode : options_type::direction::decode;
    options->type =
        *type == "to-rivet" ? options_type::message::to_rivet : options_type::message::to_envoy;
    status = tools::run_codec(*options, std::cin, std::cout, std::cerr);
  });
}

}  // namespace nuncio
