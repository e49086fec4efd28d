# nuncio as shared libraries, built inside a parent that also installs nuncio: each library finds the others wherever
# they are moved to, without any trace of the build folder.
include(${CMAKE_CURRENT_LIST_DIR}/steps.cmake)

write_game(add_subdirectory)
file(CREATE_LINK ${source} ${work}/game/nuncio SYMBOLIC)
# The parent's program alone says where it finds libraries: ours find each other without its help.
file(WRITE ${work}/install_game.cmake [[
cmake_language(DEFER CALL set_target_properties game PROPERTIES INSTALL_RPATH $ORIGIN/../lib)
cmake_language(DEFER CALL install TARGETS game)
]])
step("configuring the parent" ${configure} -S ${work}/game -B ${work}/build -D BUILD_SHARED_LIBS=ON
     -D CMAKE_UNITY_BUILD=ON -D NUNCIO_INSTALL=ON -D NUNCIO_TOOLS=ON
     -D CMAKE_PROJECT_game_INCLUDE=${work}/install_game.cmake)
step("building everything" ${CMAKE_COMMAND} --build ${work}/build --parallel 2)
step("running the parent's program" ${work}/build/game)
step("installing" ${CMAKE_COMMAND} --install ${work}/build --prefix ${work}/prefix)
file(RENAME ${work}/prefix ${work}/moved)
file(REMOVE_RECURSE ${work}/build)

step("running the installed parent" ${work}/moved/bin/game)
step("running the program" ${work}/moved/bin/nuncio --version)
expect_equal("the program's version" "${said}" "nuncio ${version}\n")
string(REGEX REPLACE "\\.[0-9]+$" "" compatible ${version})
foreach(room IN ITEMS protocol runtime actors testing)
  set(library ${work}/moved/lib/libnuncio_${room}.so)
  step("what lib${room} needs" ldd ${library}.${version})
  if(said MATCHES "not found")
    message(FATAL_ERROR "a library that lib${room} needs is not found")
  endif()
  file(READ_SYMLINK ${library} name)
  expect_equal("${library}" "${name}" "libnuncio_${room}.so.${compatible}")
endforeach()

file(REMOVE_RECURSE ${work}/game)
write_game(find_package)
step("configuring" ${configure} -S ${work}/game -B ${work}/game/build -D CMAKE_PREFIX_PATH=${work}/moved)
step("building" ${CMAKE_COMMAND} --build ${work}/game/build)
step("running" ${work}/game/build/game)
