# Installs the three libraries with a config package, so that find_package(nuncio CONFIG) works elsewhere.
# nuncio::nuncio is all of them; nuncio::protocol, nuncio::runtime and nuncio::actors are the rooms.
include(CMakePackageConfigHelpers)

add_library(nuncio_all INTERFACE)
add_library(nuncio::nuncio ALIAS nuncio_all)
set_target_properties(nuncio_all PROPERTIES EXPORT_NAME nuncio)
target_link_libraries(nuncio_all INTERFACE nuncio_protocol nuncio_runtime nuncio_actors)

install(
  TARGETS nuncio_protocol nuncio_runtime nuncio_actors
  EXPORT nuncioTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS nuncio_all EXPORT nuncioTargets)
install(
  EXPORT nuncioTargets
  NAMESPACE nuncio::
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nuncio)

configure_package_config_file(
  ${CMAKE_CURRENT_LIST_DIR}/nuncio-config.cmake.in ${PROJECT_BINARY_DIR}/nuncio-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nuncio)
# Before 1.0 a minor release may break what was.
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/nuncio-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/nuncio-config.cmake
              ${PROJECT_BINARY_DIR}/nuncio-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nuncio)
