// See tls_options.hpp.
#include <unistd.h>

#include <nuncio/tls_options.hpp>
#include <utility>

namespace nuncio {

outcome<void> check(const tls_options& options) {
  for (const auto& [name, file] :
       {std::pair{"tls.ca_file", &options.ca_file},
        std::pair{"tls.cert_file", &options.cert_file},
        std::pair{"tls.key_file", &options.key_file}})
    if (!file->empty() && access(file->c_str(), R_OK) != 0)
      return failure{
          errc::invalid_argument,
          std::string{name} + ": the TLS file " + *file + " cannot be read"};
  if (options.cert_file.empty() != options.key_file.empty())
    return failure{errc::invalid_argument, "tls.cert_file and tls.key_file are needed together"};
  return {};
}

}  // namespace nuncio
