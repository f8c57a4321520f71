// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace sluice::kafka {

/// Whether `property` of librdkafka is one that every user of it here sets, because it promises things of records that
/// hang on it: that they are written once and in order, and read from where was asked. Whoever takes properties from
/// outside refuses these. Any thread.
bool is_promised(std::string_view property);

}  // namespace sluice::kafka
