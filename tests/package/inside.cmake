# nuncio inside a parent project (`way`: add_subdirectory or FetchContent) with its own settings: they stay unchanged,
# the parent's files with names like ours are left alone, and the parent's install installs the parent.
include(${CMAKE_CURRENT_LIST_DIR}/steps.cmake)

write_game(${way})
if(way STREQUAL FetchContent)
  # A repository of the sources as they are now, whatever is committed.
  set(git git --git-dir=${work}/origin/.git --work-tree=${source} -c user.name=test -c user.email=test@localhost
          -c commit.gpgsign=false -c core.hooksPath=/dev/null)
  step("making a repository" git init --quiet --initial-branch=main ${work}/origin)
  step("adding the sources" ${git} add --all)
  step("committing them" ${git} commit --quiet --message sources)
else()
  file(CREATE_LINK ${source} ${work}/game/nuncio SYMBOLIC)
endif()
file(GLOB ours RELATIVE ${source}/cmake ${source}/cmake/*.cmake)
foreach(name IN LISTS ours)
  file(WRITE ${work}/namesakes/${name} "message(FATAL_ERROR \"${name} of the parent was taken for nuncio's\")\n")
endforeach()

step("configuring the parent" ${configure} -S ${work}/game -B ${work}/build -D NAMESAKES=${work}/namesakes
     -D CMAKE_PROJECT_game_INCLUDE=${source}/tests/package/parent.cmake)
if(way STREQUAL add_subdirectory)
  step("compiling the parent's program and a file of ours" ${CMAKE_COMMAND} --build ${work}/build --target
       CMakeFiles/game.dir/main.cpp.o nuncio/runtime/CMakeFiles/nuncio_runtime.dir/nuncio/engine/actor_key.cpp.o)
endif()
step("installing the parent" ${CMAKE_COMMAND} --install ${work}/build --prefix ${work}/prefix)
file(GLOB_RECURSE installed RELATIVE ${work}/prefix ${work}/prefix/*)
expect_equal("what the parent installs" "${installed}" "share/game/CMakeLists.txt")
