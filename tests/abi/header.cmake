# Compiles the header by itself: COMPILER, LANGUAGE (c or c++), STANDARD, FILE, INCLUDE are given.
execute_process(
  COMMAND ${COMPILER} -x ${LANGUAGE} -std=${STANDARD} -fsyntax-only -I ${INCLUDE}
    -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wpadded -Wundef ${FILE}
  RESULT_VARIABLE result ERROR_VARIABLE errors)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${COMPILER} -x ${LANGUAGE} -std=${STANDARD}:\n${errors}")
endif()
