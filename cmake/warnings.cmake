# What every target of ours compiles with. Private: consumers choose their own warnings.
add_library(nuncio_warnings INTERFACE)
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
if(NUNCIO_SANITIZE)
  target_compile_options(nuncio_warnings INTERFACE -fsanitize=${NUNCIO_SANITIZE}
                                                   -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(nuncio_warnings INTERFACE -fsanitize=${NUNCIO_SANITIZE})
endif()
