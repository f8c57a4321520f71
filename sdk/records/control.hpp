// SPDX-License-Identifier: Apache-2.0
// The markers that end transactions: control batches of one record each (KIP-98). Pure functions, any thread.
#pragma once

#include <cstdint>

#include "base/bytes.hpp"
#include "base/status.hpp"
#include "records/batch.hpp"

namespace sluice::records {

enum class MarkerType : int16_t { abort = 0, commit = 1 };

/// The end of a producer's transaction.
struct TransactionMarker {
  MarkerType type = MarkerType::abort;
  int64_t producer_id = kNoProducerId;
  int16_t producer_epoch = kNoProducerEpoch;
  int32_t coordinator_epoch = 0;
};

/// A batch of one control record with base offset 0. `now_ms`: its timestamp, milliseconds since the epoch.
Buffer make_marker(const TransactionMarker& marker, int64_t now_ms);

/// Reads it back; fields and versions added later are ignored, as KIP-98 asks. `batch` must be a validated control
/// batch. Errors: invalid (not a control batch), unsupported (a control record of another kind), corrupt.
Result<TransactionMarker> parse_marker(const BatchView& batch);

}  // namespace sluice::records
