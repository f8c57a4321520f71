#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An operator's way: installs the build in BUILD to a new prefix, and moves a record through the broker that is there, which
# finds its adapters and its plugins.json by itself.
#
#     tests/abi/broker_installed.sh BUILD
set -euo pipefail

build=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/sluice-installed.XXXXXX")
broker=
finish() {
  if [ -n "$broker" ]; then kill "$broker" 2>/dev/null || true; wait "$broker" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT
unset SLUICE_PLUGIN_DIRECTORY

cmake --install "$build" --prefix "$work/prefix" >/dev/null
for adapter in disk memory redis jetstream kafka; do
  test -f "$work/prefix/lib/sluice/plugins/lib$adapter.so" || { echo "lib$adapter.so is not installed"; exit 1; }
done
: >"$work/log"
"$work/prefix/bin/sluiced" --data-dir "$work/data" --listen 127.0.0.1:0 >"$work/log" 2>&1 &
broker=$!
address=
for _ in $(seq 600); do
  address=$(sed -n 's/.*listening on \(127\.0\.0\.1:[0-9]*\).*/\1/p' "$work/log")
  if [ -n "$address" ] || ! kill -0 "$broker" 2>/dev/null; then break; fi
  sleep 0.1
done
[ -n "$address" ] || { echo "the installed broker does not start:"; cat "$work/log"; exit 1; }
echo hello | "$work/prefix/bin/sluice" --bootstrap "$address" produce greetings
heard=$("$work/prefix/bin/sluice" --bootstrap "$address" consume greetings --from-beginning --exit-at-end)
[ "$heard" = hello ] || { echo "consumed \"$heard\""; exit 1; }
