// SPDX-License-Identifier: Apache-2.0
// The one thing that the broker reads in members' metadata: which topics a member of protocol type "consumer"
// subscribes to (Kafka's ConsumerProtocolSubscription), to keep those topics' offsets from expiry and deletion.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::group {

/// The topics at the front of a subscription of any version; nothing if the bytes are not one. Any thread.
std::optional<std::vector<std::string>> subscribed_topics(std::string_view metadata);

}  // namespace sluice::group
