#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An outsider's way: installs the SDK from BUILD to a new prefix, copies plugins/template out of the tree, builds it there
# with CMake and with the bare compiler, and runs the conformance kit on both.
#
#   tests/abi/template_outside.sh SOURCE BUILD CONFORMANCE_CHECK
set -eu
source=$1
build=$2
check=$3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/sdk" --component sdk >/dev/null
cp -r "$source/plugins/template" "$work/mine"

cd "$work/mine"
test "$(wc -l <template.c)" -le 300 || { echo "the template has more than 300 lines"; exit 1; }

cmake -S . -B build -DCMAKE_PREFIX_PATH="$work/sdk" >"$work/log" 2>&1 && cmake --build build >>"$work/log" 2>&1 || {
  cat "$work/log"
  exit 1
}
PKG_CONFIG_PATH=$(dirname "$(find "$work/sdk" -name sluice.pc)")
export PKG_CONFIG_PATH
cc -std=c11 -Wall -Wextra -Werror -fPIC -shared $(pkg-config --cflags sluice) template.c -o libplain.so -lpthread

exported=$(nm -D --defined-only build/libtemplate.so | awk '{print $3}')
test "$exported" = sluice_plugin_entry || { echo "it exports: $exported"; exit 1; }

"$check" "$work/mine/build/libtemplate.so" '{"max_bytes": "64MiB"}' >"$work/log" || { cat "$work/log"; exit 1; }
"$check" "$work/mine/libplain.so" '{}' --filter append. >"$work/log" || { cat "$work/log"; exit 1; }
echo "the template builds and passes outside the tree"
