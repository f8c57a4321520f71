// SPDX-License-Identifier: Apache-2.0
// An append to a storage of kind NATIVE, taken apart into its records. Pure functions, any thread; views into the
// request.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.hpp"
#include "base/status.hpp"
#include "records/batch.hpp"
#include "sluice/storage_abi.h"

namespace sluice::native {

/// What the batches of one unit may be, unpacked; bytes. Beyond: TOO_LARGE.
inline constexpr uint64_t kMaxUnpackedBytes = uint64_t{256} << 20;
struct UnpackedBatch {
  records::BatchView batch;
  Bytes section;   // its records, uncompressed
  Buffer scratch;  // where they are, if they were compressed
};

struct UnpackedUnit {
  std::vector<UnpackedBatch> batches;
  uint64_t records = 0;
  uint64_t bytes = 0;  // unpacked
};

/// Every batch unpacked, every record looked at, so that nothing of a unit is sent if something is wrong with it.
/// INVALID (control and transactional batches, damaged ones), TOO_LARGE (a record above `largest_message` bytes, or too
/// much in all).
Result<UnpackedUnit> unpack(const sluice_append& request, uint64_t largest_message);

}  // namespace sluice::native
