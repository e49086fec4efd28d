# Installs the libraries with a config package, so that find_package(nuncio CONFIG) works elsewhere, and with the
# program and the licence. nuncio::nuncio is what a program links: nuncio::protocol, nuncio::runtime and nuncio::actors.
# These and nuncio::testing are the components that may be asked for.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/nuncio)

install(
  TARGETS nuncio_headers nuncio_protocol nuncio_runtime nuncio_actors nuncio_all
  EXPORT nuncioTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TARGET nuncio_testing)
  install(
    TARGETS nuncio_testing
    EXPORT nuncioTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endif()
install(EXPORT nuncioTargets NAMESPACE nuncio:: DESTINATION ${package})

configure_package_config_file(
  ${CMAKE_CURRENT_LIST_DIR}/nuncio-config.cmake.in ${PROJECT_BINARY_DIR}/nuncio-config.cmake
  INSTALL_DESTINATION ${package})
# Before 1.0 a minor release may break what was.
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/nuncio-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/nuncio-config.cmake ${PROJECT_BINARY_DIR}/nuncio-config-version.cmake
              ${CMAKE_CURRENT_LIST_DIR}/nuncio-dependencies.cmake
        DESTINATION ${package})

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/nuncio)
if(TARGET nuncio)
  if(BUILD_SHARED_LIBS)
    file(RELATIVE_PATH libraries ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
    set_property(TARGET nuncio APPEND PROPERTY INSTALL_RPATH $ORIGIN/${libraries})
  endif()
  install(TARGETS nuncio RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
