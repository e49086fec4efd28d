# Runs a fuzz target for a bounded number of inputs, with a fresh folder for its findings, and prints the two numbers
# that show whether it worked. With `expect`, the run must end with that text instead.
set(found ${work}/found_${name})
file(REMOVE_RECURSE ${found})
file(MAKE_DIRECTORY ${found})
execute_process(
  COMMAND ${program} -runs=${runs} -seed=1 -max_len=${bytes_max} -print_final_stats=1 ${option}
          -artifact_prefix=${found}/ ${found} ${corpus}
  RESULT_VARIABLE status
  ERROR_VARIABLE log
  OUTPUT_VARIABLE log)
if(expect)
  if(status EQUAL 0 OR NOT log MATCHES "${expect}")
    message(FATAL_ERROR "${name}: '${expect}' was not reported; status ${status}\n${log}")
  endif()
  string(REGEX MATCH "ERROR: [^\n]*" report "${log}")
  message("${name}: found the planted fault: ${report}")
  return()
endif()
string(REGEX MATCH "number_of_executed_units: *([0-9]+)" executed "${log}")
set(executions "${CMAKE_MATCH_1}")
string(REGEX MATCH "DONE +cov: ([0-9]+)" done "${log}")
set(edges "${CMAKE_MATCH_1}")
message("${name}: executions ${executions}, edges ${edges}")
if(NOT status EQUAL 0 OR NOT executions GREATER_EQUAL runs OR NOT edges GREATER edges_min)
  message(FATAL_ERROR "${name}: status ${status}\n${log}")
endif()
