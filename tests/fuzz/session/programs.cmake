# The programs that play sessions, with a fuzzer (..) or without (../storm).
set(session_folder ${CMAKE_CURRENT_LIST_DIR}/..)

# nuncio_make_sessions([EXCLUDE_FROM_ALL])
function(nuncio_make_sessions)
  add_executable(make_sessions ${ARGN} ${session_folder}/make_sessions.cpp)
  target_include_directories(make_sessions PRIVATE ${session_folder})
  target_link_libraries(make_sessions PRIVATE nuncio_warnings)
endfunction()

# nuncio_session_program(name [EXCLUDE_FROM_ALL] [file...])
function(nuncio_session_program name)
  add_executable(
    ${name} ${ARGN} ${session_folder}/session.fuzz.cpp ${session_folder}/session/guest.cpp
            ${session_folder}/session/judge.cpp ${session_folder}/session/session_world.cpp)
  target_include_directories(${name} PRIVATE ${session_folder} ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE DOCTEST_CONFIG_DISABLE)  # for what it shares with doctest suites
  target_link_libraries(${name} PRIVATE nuncio::actors fmt::fmt nlohmann_json::nlohmann_json nuncio_warnings)
endfunction()
