// SPDX-License-Identifier: Apache-2.0
// State diffs: what changed between two JSON states as a patch (RFC 6902), with hashes of the states before and after,
// so that applying it to another state, or a patch that was damaged, is refused instead of giving a third state.
//
// A diff is itself JSON: {"version": 1, "before": HASH, "after": HASH, "patch": [operations]}. A hash is SHA-256 in 64
// hexadecimal digits of a state's canonical form: members by rising names, no white space, numbers that are equal
// written alike.
//
// Pure functions, any thread. Errors name the position in the text (byte, counted from 1) or the operation and its
// pointer. INVALID: no JSON, duplicate members, no diff. TOO_LARGE: beyond a limit. UNSUPPORTED: a diff of a later
// version. CONFLICT: the state is not the one that the diff is for. CORRUPT: the patch does not give what it promises.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sluice/export.hpp"
#include "sluice/status.hpp"

namespace sluice {

struct DiffLimits {
  size_t max_state_bytes = 16 << 20;  // of either state's text, and of what a patch may grow a state to
  size_t max_patch_bytes = 16 << 20;  // of a diff's text
  size_t max_operations = 100'000;
  uint32_t max_depth = 128;  // of nested arrays and objects: 1 to 512
};

/// The diff that turns `before` into `after`.
SLUICE_API Result<std::string> diff_states(std::string_view before, std::string_view after,
                                           const DiffLimits& limits = {});

/// `state` with the diff applied, in its canonical form.
SLUICE_API Result<std::string> apply_diff(std::string_view state, std::string_view diff, const DiffLimits& limits = {});

/// Whether `diff` is a diff that applies to `state`, as apply_diff() would say.
SLUICE_API Status verify_diff(std::string_view state, std::string_view diff, const DiffLimits& limits = {});

/// The hash of a state, as it is in a diff.
SLUICE_API Result<std::string> hash_state(std::string_view state, const DiffLimits& limits = {});

}  // namespace sluice
