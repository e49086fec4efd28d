# nuncio_library(room): the library of a room, nuncio_<room>, or nuncio::<room>, as it is installed. The room adds its
# sources, headers and what it links. Everything is said on the target: a project that has us inside keeps its own settings.
function(nuncio_library room)
  set(name nuncio_${room})
  add_library(${name})
  add_library(nuncio::${room} ALIAS ${name})
  set_target_properties(
    ${name}
    PROPERTIES EXPORT_NAME ${room}
               CXX_EXTENSIONS OFF
               VERSION ${PROJECT_VERSION}
               SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}) # as package.cmake says of versions
  if(NOT NUNCIO_FUZZ) # a static one may become part of a user's shared library; for a fuzzer clang's code would be slower
    set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  endif()
  set_property(TARGET ${name} APPEND PROPERTY INSTALL_RPATH $ORIGIN) # shared ones lie side by side
  # A room's own headers are for what is built with NUNCIO_ROOMS, see the top level.
  target_include_directories(
    ${name}
    PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}
    INTERFACE $<BUILD_INTERFACE:$<$<BOOL:$<TARGET_PROPERTY:NUNCIO_ROOMS>>:${CMAKE_CURRENT_SOURCE_DIR}>>)
  target_compile_features(${name} PUBLIC cxx_std_20)
  # Nobody replaces one of our functions at load time. g++ would heed that some may and inline less; clang never does.
  target_compile_options(${name} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fno-semantic-interposition>)
  target_link_libraries(${name} PUBLIC nuncio_headers PRIVATE $<BUILD_INTERFACE:nuncio_warnings>)
endfunction()
