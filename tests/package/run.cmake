# The package test: install, find_package from outside, build, run. Any step that fails fails the test.
function(step what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${what} failed: ${status}")
  endif()
endfunction()

file(REMOVE_RECURSE ${work}/prefix ${work}/consumer)
step("installing" ${CMAKE_COMMAND} --install ${build} --prefix ${work}/prefix)
step("configuring the consumer" ${CMAKE_COMMAND} -G Ninja -S ${source} -B ${work}/consumer
     -DCMAKE_PREFIX_PATH=${work}/prefix -DCMAKE_CXX_COMPILER=${compiler} -DCMAKE_BUILD_TYPE=${type})
step("building the consumer" ${CMAKE_COMMAND} --build ${work}/consumer)
step("running the consumer" ${work}/consumer/consumer)

# The version file must refuse what we are not.
execute_process(
  COMMAND ${CMAKE_COMMAND} -G Ninja -S ${source} -B ${work}/refused -DWANTED=0.2
          -DCMAKE_PREFIX_PATH=${work}/prefix -DCMAKE_CXX_COMPILER=${compiler}
  RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
if(status EQUAL 0)
  message(FATAL_ERROR "a consumer that asks for nuncio 0.2 was given this one")
endif()
