// TLS: which peers are trusted, and our own identity. One set of options for link and HTTP client. Value; any thread.
//
//   options.tls = {.ca_file = "/etc/game/ca.pem"};
#pragma once

#include <nuncio/outcome.hpp>
#include <string>

namespace nuncio {

struct tls_options {
  std::string
      ca_file{};  ///< PEM, authorities trusted besides the system's; empty: the system's only
  std::string cert_file{};  ///< PEM, shown to engines that request a certificate; needs key_file
  std::string key_file{};   ///< PEM, without a passphrase
  /// The name that is sent, verified and put into the Host header instead of the endpoint's; empty: the endpoint's. For an
  /// endpoint that is an address.
  std::string server_name{};
  /// For development only: no certificate is verified, so anyone in between can read and answer.
  bool insecure = false;

  bool operator==(const tls_options&) const = default;
};

/// Checks that the files can be read and belong together.
/// @returns errc::invalid_argument naming the option
outcome<void> check(const tls_options& options);

}  // namespace nuncio
