// SPDX-License-Identifier: Apache-2.0
// Whether a bus can be made of some options. Pure.
#pragma once

#include "sluice/bus_options.hpp"
#include "sluice/status.hpp"

namespace sluice::bus {

/// Whether a sink that is not in the options yet will be.
enum class SinkToCome : bool { no, yes };

/// INVALID with the path of the first field that is wrong, and what it may be.
Status validate(const BusOptions& options, SinkToCome sink = SinkToCome::no);

}  // namespace sluice::bus
