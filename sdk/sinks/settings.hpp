// SPDX-License-Identifier: Apache-2.0
// Whether settings of sinks can be used, judged before anything is opened; the makers do the same first. Any thread.
#pragma once

#include "sluice/kafka_sink.hpp"

namespace sluice::sinks {

/// INVALID with the name of the field that is wrong. Pure.
Status check(const KafkaSinkSettings& settings);

}  // namespace sluice::sinks
