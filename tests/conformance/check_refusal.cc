// SPDX-License-Identifier: Apache-2.0
// Appends that must be refused, and leave nothing behind.
#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

// The log must hold exactly what it held, and go on.
void expect_unchanged(Log& log, const std::vector<Batch>& batches, int64_t end, uint64_t token, const char* after) {
  const BoundsAnswer bounds = log.bounds();
  expect_status(SLUICE_OK, bounds, "bounds");
  require(bounds.end == end, "{}: a refused unit moved the end from {} to {}", after, end, bounds.end);
  require(bounds.token == token, "{}: a refused unit changed the token from {} to {}", after, token, bounds.token);
  verify_content(log, batches, 0, end);
}

void conflict(Context& context) {
  FreshLog log(context);
  const Unit unit = make_unit(0, 5);
  log->must_append(0, 0, unit);
  for (const int64_t at : {int64_t{0}, int64_t{4}, int64_t{6}, int64_t{1'000'000}, kMaxOffset - 10}) {
    const AppendAnswer answer = log->append(0, at, make_unit(at, 2));
    require(answer.status == SLUICE_CONFLICT, "an append at {} on a log that ends at 5 answered {}: `at` is ignored",
            at, status_text(answer.status));
    require(answer.end == 5, "CONFLICT carries the end {}, it is 5", answer.end);
    require(answer.token == 0, "CONFLICT carries the token {}, it is 0", answer.token);
    expect_unchanged(*log, unit, 5, 0, "after CONFLICT");
  }
  log->must_append(0, 5, make_unit(5, 1));
}

void fenced(Context& context) {
  FreshLog log(context);
  const uint64_t token = (uint64_t{7} << 32) | 5;
  expect_status(SLUICE_OK, log->fence(token), "fence");
  const Unit unit = make_unit(0, 5);
  log->must_append(token, 0, unit);
  const uint64_t others[] = {0, 1, token - 1, token + 1, token + (uint64_t{1} << 32), ~uint64_t{0}};
  for (const uint64_t other : others) {
    const AppendAnswer answer = log->append(other, 5, make_unit(5, 2));
    require(answer.status == SLUICE_FENCED,
            "an append with token {:#x}, {} than the one in force, answered {}: the fence is ignored", other,
            other < token ? "lower" : "higher", status_text(answer.status));
    require(answer.end == 5, "FENCED carries the end {}, it is 5", answer.end);
    require(answer.token == token, "FENCED carries the token {:#x}, in force is {:#x}", answer.token, token);
    expect_unchanged(*log, unit, 5, token, "after FENCED");
  }
  log->must_append(token, 5, make_unit(5, 1));
}

void fenced_first(Context& context) {
  FreshLog log(context);
  expect_status(SLUICE_OK, log->fence(3), "fence");
  const AppendAnswer answer = log->append(2, 17, make_unit(17, 1));
  require(answer.status == SLUICE_FENCED, "wrong token and wrong `at` answered {}, FENCED goes first",
          status_text(answer.status));
  require(answer.end == 0 && answer.token == 3, "FENCED carries end {} and token {}, they are 0 and 3", answer.end,
          answer.token);
}

void large_refused(Context& context) {
  // Large units may take another path in the adapter.
  FreshLog log(context);
  expect_status(SLUICE_OK, log->fence(3), "fence");
  const size_t size = context.unit_bytes(size_t{1} << 20);
  const Unit unit = make_unit(0, 1, size);
  log->must_append(3, 0, unit);
  expect_status(SLUICE_CONFLICT, log->append(3, 0, make_unit(0, 1, size)), "a large append at a wrong `at`");
  expect_status(SLUICE_FENCED, log->append(2, 1, make_unit(1, 1, size)), "a large append with a lower token");
  expect_status(SLUICE_FENCED, log->append(4, 1, make_unit(1, 1, size)), "a large append with a higher token");
  expect_unchanged(*log, unit, 1, 3, "after refused large units");
}

void invalid(Context& context) {
  FreshLog log(context);
  const Unit unit = make_unit(0, 3);
  log->must_append(0, 0, unit);
  expect_status(SLUICE_INVALID, log->append(0, 3, make_unit(3, 1), 0x8000), "an append with an unknown flag");
  const auto refused = [&](const Unit& wrong, const char* what) {
    expect_status(SLUICE_INVALID, log->append(0, 3, wrong), what);
  };
  refused({}, "an append without batches");
  refused({make_batch(2, 3)}, "a first batch below `at`");
  refused({make_batch(3, 5), make_batch(5, 6)}, "batches that overlap");
  refused({make_batch(6, 7), make_batch(3, 4)}, "batches in falling order");
  Unit backwards{make_batch(3, 5)};
  backwards[0].last = 2;
  refused(backwards, "a last offset below the base offset");
  expect_unchanged(*log, unit, 3, 0, "after INVALID");
}

void too_large(Context& context) {
  const uint64_t largest = context.condition().largest_unit;
  FreshLog log(context);
  const BoundsAnswer bounds = log->bounds();
  const uint64_t limit = bounds.largest_unit != 0 ? bounds.largest_unit : largest;
  if (limit == 0 || limit > (uint64_t{64} << 20)) throw Inapplicable("no largest unit, or one above 64 MiB");
  const Unit unit = make_unit(0, 1);
  log->must_append(0, 0, unit);
  expect_status(SLUICE_TOO_LARGE, log->append(0, 1, make_unit(1, 1, limit + 1)), "a unit above the largest");
  expect_unchanged(*log, unit, 1, 0, "after TOO_LARGE");
}

// Fills a bounded storage; all that was acknowledged must stay, and trimming must make room.
void no_space(Context& context) {
  const sluice_plugin& plugin = context.plugin();
  const sluice_option* option = nullptr;
  for (uint32_t i = 0; i < plugin.option_count; ++i) {
    if (std::string_view(plugin.options[i].name) == "max_bytes") option = &plugin.options[i];
  }
  if (option == nullptr) throw Inapplicable("the adapter has no option max_bytes");
  const int64_t max_bytes = std::max<int64_t>(option->minimum, 1 << 20);
  const auto storage = context.with_option("max_bytes", max_bytes);
  storage->must_start();
  const Descriptor descriptor = context.descriptor();
  storage->must_create(descriptor);
  Log log(*storage, descriptor);
  std::vector<Batch> all;
  int64_t end = 0;
  const size_t size = static_cast<size_t>(max_bytes) / 64;
  for (;;) {
    const Unit unit = make_unit(end, 2, size);
    const AppendAnswer answer = log.append(0, end, unit);
    if (answer.status == SLUICE_NO_SPACE) break;
    expect_status(SLUICE_OK, answer, "append");
    all.insert(all.end(), unit.begin(), unit.end());
    end = answer.end;
    require(end < 1'000, "twenty times max_bytes were accepted");
  }
  require(!all.empty(), "nothing fits");
  verify_content(log, all, 0, end);
  expect_status(SLUICE_OK, log.trim(0, end / 2), "trim");
  const Unit unit = make_unit(end, 1, size);
  log.must_append(0, end, unit);
  all.push_back(unit.front());
  verify_content(log, std::vector<Batch>(all.begin() + end / 2, all.end()), end / 2, end + 1);
}

constexpr Check kChecks[] = {
    {"append.conflict", "End another than `at`: CONFLICT, with end and token; nothing lands.", &conflict},
    {"append.fenced",
     "A token another than the one in force, lower or higher: FENCED, with end and token; nothing lands.", &fenced},
    {"append.fenced_first", "FENCED is judged before `at`.", &fenced_first},
    {"append.large_refused", "CONFLICT and FENCED hold for units of any size.", &large_refused},
    {"append.invalid", "Unknown flags, empty units and offsets that do not rise are INVALID; nothing lands.", &invalid},
    {"append.too_large", "S12: Larger than the largest unit: TOO_LARGE; nothing lands.", &too_large},
    {"append.no_space", "A full storage says NO_SPACE and never evicts; all or nothing; a trim makes room.", &no_space},
};

}  // namespace

std::span<const Check> refusal_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
