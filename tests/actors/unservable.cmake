# Compiles unservable.cpp, which must fail with exactly these sentences.
list(TRANSFORM includes PREPEND -I)
execute_process(COMMAND ${compiler} -std=c++20 -fsyntax-only -fdiagnostics-color=never ${includes} ${source}
                RESULT_VARIABLE status ERROR_VARIABLE said)
if(status EQUAL 0)
  message(FATAL_ERROR "it compiled")
endif()
string(REPLACE ";" "," said "${said}")  # or lists would take it for an end
function(expect count sentence)
  string(REGEX MATCHALL "error: [^\n]*${sentence}" found "${said}")
  list(LENGTH found n)
  if(NOT n EQUAL count)
    message(FATAL_ERROR "'${sentence}': said ${n} times, not ${count}:\n${said}")
  endif()
endfunction()
expect(1 "not 'auto'")
expect(3 "the first parameter of an actor must be nuncio::engine_actor")
expect(2 "an actor must return caf::behavior")
expect(3 "the arguments after the actor must be those that it takes")
expect(1 "T must be derived from nuncio::engine_actor")
expect(1 "the arguments must be those that T's constructor takes")
expect(11 "")  # nothing else
