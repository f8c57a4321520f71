// SPDX-License-Identifier: Apache-2.0
// Whether a bus can be made of some options. Pure.
#pragma once

#include "sluice/bus_options.hpp"
#include "sluice/status.hpp"

namespace sluice::bus {

/// INVALID with the path of the first field that is wrong, and what it may be.
Status validate(const BusOptions& options);

}  // namespace sluice::bus
