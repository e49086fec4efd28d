# What nuncio's libraries need, for their build and, installed beside nuncio-config.cmake, for whoever links them. Each
# version is the oldest that nuncio was built with: Debian 12's. Sets nuncio_missing, a list of what was not found, each
# with the Debian package that has it.
set(nuncio_missing)

# nuncio_need(debian-package name version [argument of find_package...])
macro(nuncio_need debian name version)
  find_package(${name} ${version} ${ARGN} QUIET)
  if(NOT ${name}_FOUND)
    list(APPEND nuncio_missing "${name} ${version} (Debian: ${debian})")
  endif()
endmacro()

find_package(Threads QUIET)
if(NOT Threads_FOUND)
  list(APPEND nuncio_missing "Threads (Debian: libc6-dev)")
endif()
nuncio_need(nlohmann-json3-dev nlohmann_json 3.11)
nuncio_need(libfmt-dev fmt 9)
nuncio_need(libwebsockets-dev libwebsockets 4.1 CONFIG)
nuncio_need(libssl-dev OpenSSL 3.0)
nuncio_need(libcurl4-openssl-dev CURL 7.88)
nuncio_need(libsqlite3-dev SQLite3 3.40)

# CAF 1.1 brings CAF::core itself; CAF 0.17 ships no CMake config.
find_package(CAF 1.1 CONFIG QUIET COMPONENTS core)
set(nuncio_caf_version "${CAF_VERSION}")
if(NOT TARGET CAF::core)
  set(nuncio_caf_version 0.17)
  find_library(CAF_CORE_LIBRARY caf_core)
  find_path(CAF_INCLUDE_DIR caf/all.hpp)
  mark_as_advanced(CAF_CORE_LIBRARY CAF_INCLUDE_DIR)
  set(nuncio_caf 0)
  if(CAF_CORE_LIBRARY AND CAF_INCLUDE_DIR) # version 0.17.6 calls itself 1706
    file(STRINGS "${CAF_INCLUDE_DIR}/caf/config.hpp" nuncio_caf REGEX "define CAF_VERSION [0-9]+")
    string(REGEX REPLACE ".* " "" nuncio_caf "${nuncio_caf}")
  endif()
  if(nuncio_caf GREATER_EQUAL 1706)
    add_library(CAF::core UNKNOWN IMPORTED)
    set_target_properties(
      CAF::core
      PROPERTIES IMPORTED_LOCATION "${CAF_CORE_LIBRARY}"
                 INTERFACE_INCLUDE_DIRECTORIES "${CAF_INCLUDE_DIR}"
                 INTERFACE_LINK_LIBRARIES Threads::Threads)
  else()
    list(APPEND nuncio_missing "CAF 0.17.6 (Debian: libcaf-dev) or CAF 1.1")
  endif()
endif()
