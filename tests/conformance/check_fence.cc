// SPDX-License-Identifier: Apache-2.0
// Tokens.
#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

void raises(Context& context) {
  FreshLog log(context);
  std::vector<Batch> all;
  int64_t end = 0;
  uint64_t last = 0;
  for (const uint64_t token :
       {uint64_t{1}, uint64_t{2}, uint64_t{1} << 32, (uint64_t{1} << 32) + 1, uint64_t{1} << 63, ~uint64_t{0}}) {
    const FenceAnswer answer = log->fence(token);
    expect_status(SLUICE_OK, answer, "fence");
    require(answer.end == end, "fence says the log ends at {}, it ends at {}", answer.end, end);
    require(answer.token == token, "fence({:#x}) says that {:#x} is in force", token, answer.token);
    const BoundsAnswer bounds = log->bounds();
    require(bounds.token == token, "after fence({:#x}) bounds says that {:#x} is in force", token, bounds.token);
    const AppendAnswer old = log->append(last, end, make_unit(end, 1));
    require(old.status == SLUICE_FENCED, "after fence({:#x}) an append with {:#x} answered {}: the fence is ignored",
            token, last, status_text(old.status));
    const Unit unit = make_unit(end, 2);
    end = log->must_append(token, end, unit);
    all.insert(all.end(), unit.begin(), unit.end());
    last = token;
  }
  verify_content(*log, all, 0, end);
}

void repeatable(Context& context) {
  FreshLog log(context);
  for (int i = 0; i < 3; ++i) {
    const FenceAnswer answer = log->fence(8);
    expect_status(SLUICE_OK, answer, "a repeated fence");
    require(answer.token == 8 && answer.end == i, "a repeated fence says end {} and token {}", answer.end,
            answer.token);
    log->must_append(8, i, make_unit(i, 1));
  }
  FreshLog zero(context);
  expect_status(SLUICE_OK, zero->fence(0), "fence(0) of a new log, which holds 0");
}

void lower(Context& context) {
  FreshLog log(context);
  expect_status(SLUICE_OK, log->fence(8), "fence");
  log->must_append(8, 0, make_unit(0, 3));
  for (const uint64_t token : {uint64_t{0}, uint64_t{7}}) {
    const FenceAnswer answer = log->fence(token);
    require(answer.status == SLUICE_FENCED, "fence({}) below 8 answered {}", token, status_text(answer.status));
    require(answer.token == 8, "FENCED says that {} is in force, it is 8", answer.token);
    require(log->bounds().token == 8, "a refused fence changed the token");
  }
  log->must_append(8, 3, make_unit(3, 1));
}

// Appends that are under way when the fence comes either landed before it, inside its `end`, or never will.
void late_append(Context& context) {
  const size_t size = context.unit_bytes(size_t{1} << 20);
  for (uint64_t round = 0; round < 30; ++round) {
    FreshLog log(context);
    expect_status(SLUICE_OK, log->fence(2 * round + 1), "fence");
    const Unit unit = make_unit(0, 1, size);
    SentAppend sent = log->send(2 * round + 1, 0, unit);
    const FenceAnswer fence = log->fence(2 * round + 2);
    expect_status(SLUICE_OK, fence, "fence");
    require(fence.end == 0 || fence.end == 1, "fence says the log ends at {}", fence.end);
    const AppendAnswer answer = sent.wait();
    require(answer.status == SLUICE_OK || answer.status == SLUICE_FENCED || answer.status == SLUICE_UNKNOWN ||
                answer.status == SLUICE_UNAVAILABLE,
            "an append under way at a fence answered {}", status_text(answer.status));
    const BoundsAnswer bounds = log->bounds();
    require(bounds.end == fence.end,
            "fence said the log ends at {}, and a unit with the old token landed after it: it ends at {}", fence.end,
            bounds.end);
    if (answer.ok()) require(fence.end == 1, "an append was acknowledged that the fence did not see");
    if (answer.status == SLUICE_FENCED) require(fence.end == 0, "an append was FENCED and landed");
    log->must_append(2 * round + 2, fence.end, make_unit(fence.end, 1));
  }
}

constexpr Check kChecks[] = {
    {"fence.raises", "From now on only this token is in force; end and token are returned, atomically with the fence.",
     &raises},
    {"fence.repeatable", "At or above the one in force: OK, so it may be repeated.", &repeatable},
    {"fence.lower", "Below: FENCED, with the token in force, and nothing changes.", &lower},
    {"fence.late_append", "B12: Nothing with another token lands after a fence, not even what was sent before.",
     &late_append},
};

}  // namespace

std::span<const Check> fence_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
