// The variables of this process that a host reads: none is set before and after. Readers start later and end earlier; one at a
// time.
#pragma once

#include <stdlib.h>

#include <string>

namespace nuncio::test {

class environment {
public:
  environment() { clear(); }

  ~environment() { clear(); }

  environment(const environment&) = delete;
  environment& operator=(const environment&) = delete;

  void set(const char* name, const std::string& value) const { ::setenv(name, value.c_str(), 1); }

private:
  static void clear() {
    for (const auto* name :
         {"http_proxy",
          "https_proxy",
          "no_proxy",
          "HTTP_PROXY",
          "HTTPS_PROXY",
          "NO_PROXY",
          "REQUEST_METHOD",
          "RIVET_TOKEN",
          "RIVET_TOKEN_FILE"})
      ::unsetenv(name);
  }
};

}  // namespace nuncio::test
