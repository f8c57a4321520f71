// SPDX-License-Identifier: Apache-2.0
// Whether a dead letter queue can be made of some settings. Pure.
#pragma once

#include "sluice/dlq.hpp"

namespace sluice::dlq {

/// INVALID with the path of the first field that is wrong ("dlq.max_records: ..."), and what it may be.
Status validate(const DeadLetterSettings& settings);

}  // namespace sluice::dlq
