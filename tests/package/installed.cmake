# An installation can be used wherever it is moved to: by find_package as documented, inside a user's shared library,
# and as a program. Missing dependencies are named, and unknown components are refused.
include(${CMAKE_CURRENT_LIST_DIR}/steps.cmake)

step("installing" ${CMAKE_COMMAND} --install ${build} --prefix ${work}/prefix)
file(RENAME ${work}/prefix ${work}/moved)
step("running the program" ${work}/moved/bin/nuncio --version)
expect_equal("the program's version" "${said}" "nuncio ${version}\n")
step("comparing the licence" ${CMAKE_COMMAND} -E compare_files ${source}/LICENSE ${work}/moved/share/doc/nuncio/LICENSE)

# Whatever of ours an installed header includes is installed too.
file(GLOB_RECURSE headers ${work}/moved/include/nuncio/*.hpp)
foreach(header IN LISTS headers)
  file(STRINGS ${header} includes REGEX "^#include <nuncio/")
  foreach(include IN LISTS includes)
    string(REGEX REPLACE ".*<(.*)>.*" "\\1" name "${include}")
    if(NOT EXISTS ${work}/moved/include/${name})
      message(FATAL_ERROR "${header} includes ${name}, which is not installed")
    endif()
  endforeach()
endforeach()
# What is installed of headers is what docs/install.md lists, and what those need.
documented_headers(listed)
file(GLOB headers RELATIVE ${work}/moved/include/nuncio ${work}/moved/include/nuncio/*.hpp)
expect_equal("what is installed for users" "${headers}" "${listed}")
file(GLOB details RELATIVE ${source}/include/nuncio ${source}/include/nuncio/detail/*.hpp)
file(GLOB headers RELATIVE ${work}/moved/include/nuncio ${work}/moved/include/nuncio/detail/*.hpp)
expect_equal("what is installed for those headers" "${headers}" "${details}")

write_game(find_package)
step("configuring" ${configure} -S ${work}/game -B ${work}/game/build -D CMAKE_PREFIX_PATH=${work}/moved)
step("building" ${CMAKE_COMMAND} --build ${work}/game/build)
step("running" ${work}/game/build/game)

# Tests of a user's actors.
documented(Building cmake text testing.md)
file(WRITE ${work}/own_test/CMakeLists.txt "${text}")
configure_file(${source}/examples/own_test.cpp ${work}/own_test/own_test.cpp COPYONLY)
step("configuring a user's tests" ${configure} -S ${work}/own_test -B ${work}/own_test/build
     -D CMAKE_PREFIX_PATH=${work}/moved)
step("building them" ${CMAKE_COMMAND} --build ${work}/own_test/build)
step("running them" ${CMAKE_CTEST_COMMAND} --test-dir ${work}/own_test/build --output-on-failure --timeout 60)

# All of the static libraries go into a shared one, and may be asked for by component.
set(ask ${configure} -S ${source}/tests/package/plugin -B ${work}/plugin -D CMAKE_PREFIX_PATH=${work}/moved)
string(REGEX MATCH "^([0-9]+)\\.([0-9]+)" ours ${version})
math(EXPR next "${CMAKE_MATCH_2} + 1")
set(next ${CMAKE_MATCH_1}.${next})
step("configuring the plugin" ${ask} -D WANTED=${ours} "-DCOMPONENTS=protocol\;runtime\;actors\;testing")
step("building the plugin" ${CMAKE_COMMAND} --build ${work}/plugin)
refused("a newer version" "compatible with requested version \"${next}\"" ${ask} -D WANTED=${next})
refused("an unknown component" "nuncio has no component 'wings': it has protocol, runtime, actors and testing" ${ask}
        -D WANTED=${ours} -D COMPONENTS=wings)
refused("a machine without fmt" "nuncio needs what was not found: fmt 9 (Debian: libfmt-dev)" ${ask}
        -D WANTED=${ours} -D COMPONENTS= -D CMAKE_DISABLE_FIND_PACKAGE_fmt=ON)
refused("a machine without CAF's headers" "nuncio needs what was not found: CAF 0.17.6 (Debian: libcaf-dev) or CAF 1.1" ${ask}
        -D WANTED=${ours} -D COMPONENTS= -D CMAKE_DISABLE_FIND_PACKAGE_fmt=OFF -U CAF_* -D CMAKE_IGNORE_PREFIX_PATH=/usr)
# A package like CAF's own of 1.1 comes first in the search.
file(WRITE ${work}/caf1/lib/cmake/CAF/CAFConfig.cmake "add_library(CAF::core INTERFACE IMPORTED)\n")
file(WRITE ${work}/caf1/lib/cmake/CAF/CAFConfigVersion.cmake
     "set(PACKAGE_VERSION 1.1.9)\nset(PACKAGE_VERSION_COMPATIBLE TRUE)\n")
refused("another CAF than nuncio's" "nuncio was built with CAF 0.17, but what is found here is CAF 1.1.9" ${ask}
        -D WANTED=${ours} -D COMPONENTS= -U CMAKE_IGNORE_PREFIX_PATH "-DCMAKE_PREFIX_PATH=${work}/moved\;${work}/caf1")

# The documented packages are those that tools/dev installs on a bare machine, but for what only tests and benchmarks use.
documented("What it needs" sh line)
string(REGEX MATCHALL "[a-z0-9][^ \\\n]+" line "${line}")
list(REMOVE_ITEM line apt-get install)
list(SORT line)
file(READ ${source}/tools/dev tools)
string(REGEX MATCH "build_packages=\\([^)]*" known "${tools}")
string(REGEX MATCHALL "[a-z0-9][^ (\n]+" known "${known}")
list(REMOVE_ITEM known build_packages= pkg-config doctest-dev libbenchmark-dev)
list(SORT known)
expect_equal("the packages that docs/install.md names" "${line}" "${known}")

# To build what is installed takes nothing that only tests and benchmarks use.
documented(find_package sh lines)
string(REGEX MATCH "^cmake -S nuncio [^\n]*" line "${lines}")
file(CREATE_LINK ${source} ${work}/nuncio SYMBOLIC)
step("configuring nuncio as documented" ${CMAKE_COMMAND} -E chdir ${work} sh -c
     "${line} -G Ninja -D CMAKE_DISABLE_FIND_PACKAGE_doctest=ON -D CMAKE_DISABLE_FIND_PACKAGE_benchmark=ON")
