# Everything comes from Debian 12's packages; tools/dev installs them.
find_package(Threads REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(libwebsockets CONFIG REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(CURL REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(Boost 1.81 REQUIRED)

# CAF 0.17 ships no CMake config; CAF 0.18 and later bring CAF::core themselves.
find_package(CAF CONFIG QUIET COMPONENTS core)
if(NOT TARGET CAF::core)
  find_library(CAF_CORE_LIBRARY caf_core REQUIRED)
  find_path(CAF_INCLUDE_DIR caf/all.hpp REQUIRED)
  add_library(CAF::core UNKNOWN IMPORTED)
  set_target_properties(
    CAF::core
    PROPERTIES IMPORTED_LOCATION "${CAF_CORE_LIBRARY}"
               INTERFACE_INCLUDE_DIRECTORIES "${CAF_INCLUDE_DIR}"
               INTERFACE_LINK_LIBRARIES Threads::Threads)
endif()

if(NOT NUNCIO_FUZZ AND (NUNCIO_TOOLS OR NUNCIO_TESTS OR NUNCIO_BENCH))
  find_package(CLI11 REQUIRED)
  find_package(spdlog REQUIRED)
endif()
if(NOT NUNCIO_FUZZ AND NUNCIO_BENCH)
  find_package(benchmark REQUIRED)
endif()
if(NUNCIO_TESTS)
  find_package(doctest REQUIRED)
endif()
