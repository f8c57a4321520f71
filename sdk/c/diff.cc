// SPDX-License-Identifier: Apache-2.0
#include "sluice/c/diff.h"

#include "c/boundary.hpp"
#include "sluice/diff.hpp"

namespace sluice::c {
namespace {

constexpr size_t kLimitsBytes = sizeof(sluice_diff_limits);  // of the first version

Result<DiffLimits> limits_of(const sluice_diff_limits* limits) {
  DiffLimits made;
  if (limits == nullptr) return made;
  if (Status status = check_struct(limits, kLimitsBytes, "limits"); !status.ok()) return fail(std::move(status));
  if (limits->max_depth != 0) made.max_depth = limits->max_depth;
  if (limits->max_state_bytes != 0) made.max_state_bytes = limits->max_state_bytes;
  if (limits->max_patch_bytes != 0) made.max_patch_bytes = limits->max_patch_bytes;
  if (limits->max_operations != 0) made.max_operations = limits->max_operations;
  return made;
}

/// Runs `body` on two texts and the limits; the index of a verdict says which of the two cannot be one.
template <class Body>
sluice_status with_texts(const Text& first, const Text& second, const sluice_diff_limits* limits,
                         sluice_failure* failure, Body&& body) {
  return guarded(failure, [&]() -> Verdict {
    const auto left = text_of(first.data, first.size, first.name);
    if (!left) return {left.error(), 0};
    const auto right = text_of(second.data, second.size, second.name);
    if (!right) return {right.error(), 1};
    const auto made = limits_of(limits);
    if (!made) return made.error();
    return body(*left, *right, *made);
  });
}

struct Out {
  char* buffer;
  uint64_t capacity;
  uint64_t* needed;
};

Status write(const Result<std::string>& text, const Out& out) {
  return text ? write_text(*text, out.buffer, out.capacity, out.needed) : text.error();
}

}  // namespace
}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_diff_make(const char* before, uint64_t before_size, const char* after, uint64_t after_size,
                               const sluice_diff_limits* limits, char* buffer, uint64_t capacity, uint64_t* needed,
                               sluice_failure* failure) {
  return with_texts({before, before_size, "before"}, {after, after_size, "after"}, limits, failure,
                    [&](std::string_view left, std::string_view right, const DiffLimits& made) {
                      return write(diff_states(left, right, made), {buffer, capacity, needed});
                    });
}

sluice_status sluice_diff_apply(const char* state, uint64_t state_size, const char* diff, uint64_t diff_size,
                                const sluice_diff_limits* limits, char* buffer, uint64_t capacity, uint64_t* needed,
                                sluice_failure* failure) {
  return with_texts({state, state_size, "state"}, {diff, diff_size, "diff"}, limits, failure,
                    [&](std::string_view left, std::string_view right, const DiffLimits& made) {
                      return write(apply_diff(left, right, made), {buffer, capacity, needed});
                    });
}

sluice_status sluice_diff_verify(const char* state, uint64_t state_size, const char* diff, uint64_t diff_size,
                                 const sluice_diff_limits* limits, sluice_failure* failure) {
  return with_texts({state, state_size, "state"}, {diff, diff_size, "diff"}, limits, failure,
                    [](std::string_view left, std::string_view right, const DiffLimits& made) {
                      return verify_diff(left, right, made);
                    });
}

sluice_status sluice_diff_hash(const char* state, uint64_t state_size, const sluice_diff_limits* limits, char* buffer,
                               uint64_t capacity, uint64_t* needed, sluice_failure* failure) {
  return with_texts({state, state_size, "state"}, {nullptr, 0, ""}, limits, failure,
                    [&](std::string_view text, std::string_view, const DiffLimits& made) {
                      return write(hash_state(text, made), {buffer, capacity, needed});
                    });
}

}  // extern "C"
