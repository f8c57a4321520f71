#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The examples that talk to servers, as an application has them: built on the installed SDK, and run from an empty
# directory against a Redis server, a NATS server and a broker, killed and started again.
#
#   tests/abi/sdk_servers.sh SOURCE BUILD
set -euo pipefail
source=$1
build=$2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
quietly() { "$@" > "$work/log" 2>&1 || { cat "$work/log" >&2; echo "failed: $*" >&2; exit 1; }; }

quietly cmake --install "$build" --prefix "$work/sdk" --component sdk
quietly cmake -G Ninja -S "$source/sdk/examples" -B "$work/examples" -DCMAKE_PREFIX_PATH="$work/sdk" \
  -DCMAKE_CXX_COMPILER_LAUNCHER="$(command -v ccache || true)" -DCMAKE_C_COMPILER_LAUNCHER="$(command -v ccache || true)"
quietly cmake --build "$work/examples" --target merge_three kafka_source

mkdir "$work/empty"
cd "$work/empty"
export SLUICE_PLUGIN_DIRECTORY=$build/plugins # adapters are not part of the SDK
export SLUICE_MERGE_THREE=$work/examples/merge_three SLUICE_KAFKA_SOURCE=$work/examples/kafka_source
"$build/bin/sources_merge_test"
"$build/bin/sources_kafka_test" --gtest_filter='*example*'
[ -z "$(ls -A)" ] || { echo "something was left in the directory: $(ls -A)" >&2; exit 1; }
