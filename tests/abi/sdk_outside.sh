#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An application's way: installs the SDK from BUILD to a new prefix, checks that the shared library shows all that public
# headers declare and nothing else, that each header stands alone, and builds and runs the examples on it, by CMake with the
# components that each uses, and a C and a C++ one by pkg-config; all of it shared and static. Examples that talk to
# servers are only built here: see sdk_servers.sh.
#
#   tests/abi/sdk_outside.sh SOURCE BUILD
set -euo pipefail
source=$1
build=$2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { printf '%s\n' "$*" >&2; exit 1; }
quietly() { "$@" > "$work/log" 2>&1 || { cat "$work/log" >&2; say "failed: $*"; }; }

quietly cmake --install "$build" --prefix "$work/sdk" --component sdk
include=$work/sdk/include
library=$(find "$work/sdk" -name 'libsluice.so')

# Only declared symbols: each name that the library shows is a word of a public header.
cat "$include"/sluice/*.h "$include"/sluice/c/*.h "$include"/sluice/*.hpp | grep -oE '[A-Za-z_][A-Za-z0-9_]*' | sort -u > "$work/declared"
nm -DC --defined-only "$library" | awk '$2 != "A" { $1 = $2 = ""; print }' \
  | sed -E 's/@@.*//; s/^ *(typeinfo( name)?|vtable|VTT|guard variable) for //; s/\[abi:[a-z0-9]+\]//g; s/\(.*//; s/<.*//; s/.*:://; s/^ *~?//; s/ *$//' \
  | grep -vE '^operator' | sort -u > "$work/shown"
undeclared=$(comm -13 "$work/declared" "$work/shown")
[ -z "$undeclared" ] || say "libsluice.so shows what no public header declares: $undeclared"
# And all that is declared: where there is a clang, which can tell.
if clang=$(command -v clang++-16 || command -v clang++); then
  quietly "$source/tests/abi/exported" "$clang" "$include" "$library"
fi

for header in "$include"/sluice/*.hpp; do
  quietly g++ -std=c++20 -Wall -Wextra -Werror -fsyntax-only -I"$include" -include "$header" -x c++ /dev/null
done
# All of them together: no two headers may declare one name.
(cd "$include" && printf '#include <%s>\n' sluice/*.hpp sluice/*.h) > "$work/all.cc"
quietly g++ -std=c++20 -Wall -Wextra -Werror -fsyntax-only -I"$include" "$work/all.cc"
for header in "$include"/sluice/sluice.h "$include"/sluice/c/*.h; do
  quietly cc -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$include" -include "$header" -x c /dev/null
  quietly g++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only -I"$include" -include "$header" -x c++ /dev/null
done

for static in OFF ON; do
  quietly cmake -G Ninja -S "$source/sdk/examples" -B "$work/examples-$static" -DCMAKE_PREFIX_PATH="$work/sdk" -DSluice_USE_STATIC_LIBS=$static \
    -DCMAKE_CXX_COMPILER_LAUNCHER="$(command -v ccache || true)" -DCMAKE_C_COMPILER_LAUNCHER="$(command -v ccache || true)"
  quietly cmake --build "$work/examples-$static"
  # Adapters are not part of the SDK: those of the build.
  SLUICE_PLUGIN_DIRECTORY=$build/plugins quietly ctest --test-dir "$work/examples-$static" --output-on-failure
done
# Not by a pipe: who finds what he looks for leaves before the other has written all, which pipefail takes for a failure.
needs_shared() { [[ $(ldd "$1") == *libsluice.so* ]]; }
needs_shared "$work/examples-OFF/consumer" || say "an example that was to be linked with libsluice.so is not"
! needs_shared "$work/examples-ON/consumer" || say "an example that was to be linked statically needs libsluice.so"

# Each component is some example's, and one that is not there is told by its name.
offered=$(sed -n 's/^set(.*_COMPONENTS_THERE \(.*\))$/\1/p' "$(find "$work/sdk" -name sluice-config.cmake)" | tr ';' ' ')
for component in $offered; do
  grep -qE "^set\(components_of_[a-z_]+ (.* )?$component[ )]" "$source/sdk/examples/CMakeLists.txt" || say "no example uses the component $component"
done
mkdir "$work/absent"
cat > "$work/absent/CMakeLists.txt" << 'END'
cmake_minimum_required(VERSION 3.25)
project(absent LANGUAGES CXX)
find_package(Sluice REQUIRED COMPONENTS consumer nosuch)
END
if cmake -S "$work/absent" -B "$work/absent/build" -DCMAKE_PREFIX_PATH="$work/sdk" > "$work/log" 2>&1; then say "a component that is not there is found"; fi
[[ $(tr -s '[:space:]' ' ' < "$work/log") == *"it has no component \"nosuch\"; there are filter,"* ]] \
  || { cat "$work/log" >&2; say "a component that is not there is not named"; }

# By pkg-config: shared, and from a prefix where there is only libsluice.a.
PKG_CONFIG_PATH=$(dirname "$(find "$work/sdk" -name sluice.pc)")
export PKG_CONFIG_PATH
build_by_pkg_config() { # NAME OPTION...
  # shellcheck disable=SC2046
  quietly cc -std=c11 -Wall -Wextra -Werror "$source/sdk/examples/version.c" -o "$work/version-$1" $(pkg-config --cflags --libs "${@:2}" sluice)
  # shellcheck disable=SC2046
  quietly g++ -std=c++20 -Wall -Wextra -Werror "$source/sdk/examples/consumer.cc" -o "$work/consumer-$1" $(pkg-config --cflags --libs "${@:2}" sluice)
}
build_by_pkg_config shared
LD_LIBRARY_PATH=$(dirname "$library") quietly "$work/version-shared"
LD_LIBRARY_PATH=$(dirname "$library") quietly "$work/consumer-shared"
find "$work/sdk" -name 'libsluice.so*' -delete
build_by_pkg_config static --static
quietly "$work/version-static"
quietly "$work/consumer-static"
echo "the examples build and run outside the tree"
