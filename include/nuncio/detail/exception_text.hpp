// The text of an exception. Any thread.
#pragma once

#include <exception>
#include <string>

namespace nuncio::internal {

/// The text of an exception of any type.
std::string describe(const std::exception_ptr& e);

}  // namespace nuncio::internal
