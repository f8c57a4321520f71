# What every target of the project shares: warnings, sanitizers, ccache, and the functions that make the targets.

find_program(SLUICE_CCACHE ccache)
if(SLUICE_CCACHE)
  set(launcher ${SLUICE_CCACHE})
  if(SLUICE_PRECOMPILE)
    # What it asks for before it keeps anything that a precompiled header was used for.
    set(launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${SLUICE_CCACHE})
  endif()
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

# Everything of a kind: `ninja plugins`, `ninja fuzzers`, and `ninja local_tests`: those that need no server of another engine.
add_custom_target(plugins)
add_custom_target(fuzzers)
add_custom_target(local_tests)
# Names of tests that do need one, which ctest labels "servers" too.
set(SLUICE_SERVER_TESTS "redis|jetstream|kafka")

add_library(sluice_options INTERFACE)
target_compile_options(sluice_options INTERFACE
  -Wall -Wextra -Werror -Wshadow -fvisibility=hidden
  $<$<COMPILE_LANGUAGE:CXX>:-fvisibility-inlines-hidden -Wnon-virtual-dtor -Woverloaded-virtual>)
if(SLUICE_SANITIZE)
  # Lines are all that a report needs of debug information; types double the time of a build.
  target_compile_options(sluice_options INTERFACE -fsanitize=${SLUICE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -g1)
  target_link_options(sluice_options INTERFACE -fsanitize=${SLUICE_SANITIZE})
endif()
# Of what fuzzers run; their library watches which ways its input takes.
add_library(sluice_traced INTERFACE)
if(SLUICE_FUZZ)
  target_compile_options(sluice_traced INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(SLUICE_SANITIZE MATCHES "thread")
  # Asio's fences are not modelled by ThreadSanitizer, and GCC says so as an error.
  target_compile_definitions(sluice_options INTERFACE BOOST_ASIO_DISABLE_FENCED_BLOCK)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # Boost 1.74 does not recognise clang's coroutines by itself.
  target_compile_definitions(sluice_options INTERFACE BOOST_ASIO_HAS_CO_AWAIT BOOST_ASIO_HAS_STD_COROUTINE)
endif()

# Builds that are made from nothing again and again read the large headers of others once (clang: it takes half the time). The release build
# does not, so that a file that does not include what it uses does not compile there. One for each set of flags.
if(SLUICE_PRECOMPILE)
  set(CMAKE_PCH_INSTANTIATE_TEMPLATES ON)
  target_compile_options(sluice_options INTERFACE -pthread)  # some need it, and all must have the same
  function(sluice_precompiled name header)
    set(source ${CMAKE_SOURCE_DIR}/tools/cmake/precompiled/empty.cc)
    if(name STREQUAL "test")  # compilers want to know whether it is for a program
      add_executable(sluice_precompiled_${name} EXCLUDE_FROM_ALL ${source})
    else()
      add_library(sluice_precompiled_${name} OBJECT EXCLUDE_FROM_ALL ${source})
    endif()
    target_link_libraries(sluice_precompiled_${name} PRIVATE sluice_options ${ARGN})
    target_precompile_headers(sluice_precompiled_${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${CMAKE_SOURCE_DIR}/tools/cmake/precompiled/${header}>)
  endfunction()
endif()
function(sluice_use_precompiled target name)
  if(SLUICE_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM sluice_precompiled_${name})
    get_target_property(sources ${target} SOURCES)
    list(FILTER sources INCLUDE REGEX "\\.c$")
    set_source_files_properties(${sources} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
  endif()
endfunction()

# sluice_folder(NAME [NOT_PRECOMPILED] [DEPENDS target...] [PRIVATE_DEPENDS target...] [SOURCES file...])
#
# A static library from the *.cc and *.c of the current folder (or the given SOURCES), whose headers others include as
# "NAME/header.hpp" once they link NAME's target, sluice_NAME. NOT_PRECOMPILED: it is compiled with macros that change what others' headers say.
function(sluice_folder name)
  cmake_parse_arguments(ARG "NOT_PRECOMPILED" "" "DEPENDS;PRIVATE_DEPENDS;SOURCES" ${ARGN})
  set(root ${CMAKE_BINARY_DIR}/include/${name})
  file(MAKE_DIRECTORY ${root})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${root}/${name} SYMBOLIC)
  if(ARG_SOURCES)
    set(sources ${ARG_SOURCES})
  else()
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  endif()
  if(sources)
    add_library(sluice_${name} STATIC ${sources})
    target_include_directories(sluice_${name} PUBLIC ${root})
    target_link_libraries(sluice_${name} PUBLIC ${ARG_DEPENDS} PRIVATE sluice_options sluice_traced ${ARG_PRIVATE_DEPENDS})
    if(NOT ARG_NOT_PRECOMPILED)
      sluice_use_precompiled(sluice_${name} folder)
    endif()
  else()
    add_library(sluice_${name} INTERFACE)
    target_include_directories(sluice_${name} INTERFACE ${root})
    target_link_libraries(sluice_${name} INTERFACE ${ARG_DEPENDS})
  endif()
endfunction()

# sluice_plugin(NAME [DEPENDS target...] [SOURCES file...])
#
# A storage adapter: lib NAME.so in the plugin folder, exporting sluice_plugin_entry alone, with no undefined symbol.
function(sluice_plugin name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;SOURCES" ${ARGN})
  if(ARG_SOURCES)
    set(sources ${ARG_SOURCES})
  else()
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  endif()
  add_library(sluice_plugin_${name} MODULE ${sources})
  set_target_properties(sluice_plugin_${name} PROPERTIES
    OUTPUT_NAME ${name} PREFIX lib LIBRARY_OUTPUT_DIRECTORY ${SLUICE_PLUGIN_DIRECTORY})
  target_include_directories(sluice_plugin_${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(sluice_plugin_${name} PRIVATE sluice_options ${ARG_DEPENDS})
  add_dependencies(plugins sluice_plugin_${name})
  set(script ${CMAKE_SOURCE_DIR}/sdk/plugin/exports.map)
  target_link_options(sluice_plugin_${name} PRIVATE -Wl,--version-script=${script} -Wl,--exclude-libs,ALL)
  if(NOT SLUICE_SANITIZE)
    target_link_options(sluice_plugin_${name} PRIVATE -Wl,-z,defs)
  endif()
endfunction()

# sluice_test(NAME [DEPENDS target...] [LABEL label] [TIMEOUT seconds] SOURCES file...)
#
# A GoogleTest program. ctest runs it as one test; its label (default: unit) says which part of tools/test it belongs to.
# TIMEOUT (default: 120) is three times as long where sanitizers are on.
function(sluice_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "DEPENDS;SOURCES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE sluice_options GTest::gmock GTest::gtest_main ${ARG_DEPENDS})
  if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    # What is tested is optimised; the test's own code is run once and compiled often.
    target_compile_options(${name} PRIVATE -O1 -g1)
  endif()
  sluice_use_precompiled(${name} test)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  if(name MATCHES "${SLUICE_SERVER_TESTS}")
    list(APPEND ARG_LABEL servers)
  else()
    add_dependencies(local_tests ${name})
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(SLUICE_SANITIZE)
    math(EXPR ARG_TIMEOUT "3 * ${ARG_TIMEOUT}")  # seconds; sanitizers are slow, the more so on a busy machine
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT ${ARG_TIMEOUT}
    ENVIRONMENT "SLUICE_PLUGIN_DIRECTORY=${SLUICE_PLUGIN_DIRECTORY}")
endfunction()

# sluice_fuzzer(NAME DEPENDS target... SOURCES file...): a libFuzzer program in the asan preset, nothing elsewhere.
function(sluice_fuzzer name)
  if(NOT SLUICE_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "DEPENDS;SOURCES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE sluice_options sluice_traced ${ARG_DEPENDS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  add_dependencies(fuzzers ${name})
endfunction()
