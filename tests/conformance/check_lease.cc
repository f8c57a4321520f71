// SPDX-License-Identifier: Apache-2.0
// What a lease shows stays, whatever happens to the log.
#include <thread>

#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

// Some small and some large batches, and leases over them.
struct Lent {
  explicit Lent(Context& context) : log(context) {
    for (const size_t size : {100, 5'000, 70'000, 1 << 20, 100, 300'000}) {
      const Unit unit = make_unit(end, 2, context.unit_bytes(2 * size) / 2);
      end = log->must_append(0, end, unit);
      batches.insert(batches.end(), unit.begin(), unit.end());
    }
    for (int64_t offset = 0; offset < end;) {
      ReadAnswer answer = log->read(offset, kNoLimit, 400'000);
      expect_status(SLUICE_OK, answer, "read");
      offset = answer.next;
      leases.push_back(std::move(answer.lease));
    }
  }
  // The leases must still show what was read, from the first batch on.
  void verify(const char* when) const {
    size_t index = 0;
    for (const Lease& lease : leases) index += match_batches(lease.bytes(), batches, index, when);
    require(index == batches.size(), "{}: the leases show {} batches of {}", when, index, batches.size());
  }
  FreshLog log;
  std::vector<Batch> batches;
  std::vector<Lease> leases;
  int64_t end = 0;
};

// Whatever was freed is likely to be used again by these.
void churn(Context& context, Storage& storage) {
  for (int i = 0; i < 4; ++i) {
    const Descriptor descriptor = context.descriptor();
    storage.must_create(descriptor);
    Log log(storage, descriptor);
    int64_t end = 0;
    for (int k = 0; k < 6; ++k)
      end = log.must_append(0, end, make_unit(end, 2, context.unit_bytes(size_t{1} << 20) / 2));
    expect_status(SLUICE_OK, storage.delete_log(descriptor), "delete_log");
  }
}

void append(Context& context) {
  Lent lent(context);
  int64_t end = lent.end;
  for (int i = 0; i < 100; ++i) end = lent.log->must_append(0, end, make_unit(end, 1, 10'000));
  lent.verify("a lease after further appends");
}

void trim(Context& context) {
  Lent lent(context);
  expect_status(SLUICE_OK, lent.log->trim(0, lent.end), "trim");
  churn(context, context.storage());
  lent.verify("a lease after trim");
}

void delete_log(Context& context) {
  Lent lent(context);
  expect_status(SLUICE_OK, context.storage().delete_log(lent.log.descriptor), "delete_log");
  churn(context, context.storage());
  lent.verify("a lease after delete_log");
}

void close(Context& context) {
  Lent lent(context);
  lent.log->close();
  churn(context, context.storage());
  lent.verify("a lease after close");
}

void stop(Context& context) {
  Lent lent(context);
  lent.log->close();
  expect_status(SLUICE_OK, context.storage().stop(), "stop");
  lent.verify("a lease after stop");
  context.storage().must_start();
  churn(context, context.storage());
  lent.verify("a lease after stop and start");
}

void release_elsewhere(Context& context) {
  Lent lent(context);
  std::thread([&] { lent.leases.clear(); }).join();
  verify_content(*lent.log, lent.batches, 0, lent.end);
}

void pinned(Context& context) {
  Lent lent(context);
  const ReadAnswer answer = lent.log->read(0);
  require(answer.pinned >= answer.lease.memory_bytes(), "pinned_bytes is {}, the lease shows {} bytes of memory",
          answer.pinned, answer.lease.memory_bytes());
}

constexpr Check kChecks[] = {
    {"lease.append", "What a lease shows does not change: further appends.", &append},
    {"lease.trim", "What a lease shows outlives trim.", &trim},
    {"lease.delete_log", "What a lease shows outlives delete_log.", &delete_log},
    {"lease.close", "What a lease shows outlives close.", &close},
    {"lease.stop", "What a lease shows outlives stop; leases stay valid.", &stop},
    {"lease.release", "release may be called on any thread.", &release_elsewhere},
    {"lease.pinned", "pinned_bytes is what the lease keeps from being freed or reused.", &pinned},
};

}  // namespace

std::span<const Check> lease_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
