# What every target of ours compiles with. Private: consumers choose their own warnings. Inside another project there are
# none but its own, which may be errors there, from a compiler that we never tried.
add_library(nuncio_warnings INTERFACE)
target_compile_features(nuncio_warnings INTERFACE cxx_std_20)
if(PROJECT_IS_TOP_LEVEL)
  target_compile_options(
    nuncio_warnings
    INTERFACE -Wall
              -Wextra
              -Wpedantic
              -Wshadow
              -Wconversion
              -Wsign-conversion
              -Wnon-virtual-dtor
              -Woverloaded-virtual
              -Wimplicit-fallthrough
              $<$<BOOL:${NUNCIO_WERROR}>:-Werror>)
endif()
# What CAF 0.17 calls so, CAF 1.1 still has, and calls outdated.
if(CAF_VERSION AND CAF_VERSION VERSION_GREATER_EQUAL 1)
  target_compile_options(nuncio_warnings INTERFACE -Wno-deprecated-declarations)
endif()
# A unity build compiles several files of a target as one, in a third of the time; a file's anonymous namespace then is
# visible to the next. What these two say of that is no matter: builds without it, as the debug preset, heed them.
if(CMAKE_UNITY_BUILD OR NUNCIO_FUZZ)
  target_compile_options(nuncio_warnings INTERFACE -Wno-shadow $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()
if(NUNCIO_SANITIZE)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU") # its flow analysis sees what sanitizers add, and is often wrong then
    target_compile_options(nuncio_warnings INTERFACE -Wno-maybe-uninitialized)
  endif()
  target_compile_options(nuncio_warnings INTERFACE -fsanitize=${NUNCIO_SANITIZE}
                                                   -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(nuncio_warnings INTERFACE -fsanitize=${NUNCIO_SANITIZE})
endif()
if(NUNCIO_FUZZ)  # so that a fuzzer sees which edges of the libraries are reached
  target_compile_options(nuncio_warnings INTERFACE -fsanitize=fuzzer-no-link)
endif()
