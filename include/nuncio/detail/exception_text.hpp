// What an exception says. Any thread.
#pragma once

#include <exception>
#include <string>

namespace nuncio::internal {

/// The text of an exception, whatever it is.
std::string describe(const std::exception_ptr& e);

}  // namespace nuncio::internal
