# Shared by the package tests. Each is a script that gets `source` and `build`, the folders of nuncio, `work`, its own
# folder that is empty at first, and `version`, `compiler` and `launcher`.
file(REMOVE_RECURSE ${work})
file(MAKE_DIRECTORY ${work})

# step(what command...): the test fails if the command does. What it prints is left in `said`.
function(step what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said)
  message("== ${what}\n${said}")
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${what} failed: ${status}")
  endif()
  set(said "${said}" PARENT_SCOPE)
endfunction()

# refused(what words command...): the test fails unless the command fails and says these words.
function(refused what words)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said)
  string(REGEX REPLACE "[ \n]+" " " said "${said}") # CMake breaks long lines
  string(FIND "${said}" "${words}" at)
  if(status EQUAL 0 OR at EQUAL -1)
    message(FATAL_ERROR "${what} was not refused with '${words}': ${status} ${said}")
  endif()
  message("== ${what} is refused: ${words}")
endfunction()

function(expect_equal what is wanted)
  if(NOT is STREQUAL wanted)
    message(FATAL_ERROR "${what} is '${is}', not '${wanted}'")
  endif()
endfunction()

# documented(heading language result [page]): the first code block in that language under that heading of docs/install.md,
# or of another page.
function(documented heading language result)
  set(pages install.md ${ARGN})
  list(POP_BACK pages page)
  file(READ ${source}/docs/${page} text)
  string(APPEND text "\n## ")
  set(begins "\n## ${heading}\n" "\n```${language}\n")
  set(ends "\n## " "\n```")
  foreach(begin end IN ZIP_LISTS begins ends)
    string(FIND "${text}" "${begin}" at)
    if(at EQUAL -1)
      message(FATAL_ERROR "docs/${page} has no ${language} block under '${heading}'")
    endif()
    string(LENGTH "${begin}" length)
    math(EXPR at "${at} + ${length}")
    string(SUBSTRING "${text}" ${at} -1 text)
    string(FIND "${text}" "${end}" at)
    string(SUBSTRING "${text}" 0 ${at} text)
  endforeach()
  set(${result} "${text}\n" PARENT_SCOPE)
endfunction()

# documented_headers(result): the public headers that docs/install.md lists, sorted.
function(documented_headers result)
  file(READ ${source}/docs/install.md text)
  string(REGEX MATCHALL "\n\\| `nuncio/[a-z0-9_]+\\.hpp`" lines "${text}")
  list(TRANSFORM lines REPLACE ".*`nuncio/(.*)`" "\\1")
  list(SORT lines)
  set(${result} "${lines}" PARENT_SCOPE)
endfunction()

# A user's project in `work`/game, as documented under the heading, around game.cpp of this folder.
function(write_game heading)
  documented(${heading} cmake text)
  string(REPLACE "https://git.example.org/nuncio.git" "file://${work}/origin" text "${text}")
  file(WRITE ${work}/game/CMakeLists.txt "${text}")
  configure_file(${source}/tests/package/game.cpp ${work}/game/main.cpp COPYONLY)
endfunction()

# The command that configures a user's project, which costs least without optimisation.
set(configure ${CMAKE_COMMAND} -G Ninja -D CMAKE_BUILD_TYPE=Debug -D CMAKE_CXX_FLAGS_DEBUG=-O0
              -D CMAKE_CXX_COMPILER=${compiler} -D CMAKE_CXX_COMPILER_LAUNCHER=${launcher})
