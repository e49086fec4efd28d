// Whom TLS believes and who we are in it: one set of options for link and HTTP client. Value; any thread.
//
//   options.tls = {.ca_file = "/etc/game/ca.pem"};
#pragma once

#include <nuncio/outcome.hpp>
#include <string>

namespace nuncio {

struct tls_options {
  std::string
      ca_file{};  ///< PEM, authorities believed besides the system's; empty: the system's alone
  std::string cert_file{};  ///< PEM, shown to engines that ask for a certificate; with key_file
  std::string key_file{};   ///< PEM, without a passphrase
  /// The name that is sent, verified and put into the Host header instead of the endpoint's; empty:
  /// the endpoint's. For an endpoint that is an address.
  std::string server_name{};
  /// For development only: no certificate is verified, so that anybody in between can read and
  /// answer.
  bool insecure = false;

  bool operator==(const tls_options&) const = default;
};

/// Whether the files can be read and belong together.
/// @returns errc::invalid_argument naming the option
outcome<void> check(const tls_options& options);

}  // namespace nuncio
