// SPDX-License-Identifier: Apache-2.0
// Whether a producer has sent anything: what its cluster cannot have is free to be sent by another one.
#pragma once

#include <atomic>
#include <cstdint>

#include "rdkafka/handles.hpp"

namespace sluice::kafka {

/// `sent` counts the requests of the client's that carry records, when they were written to a connection whole; a
/// cluster has none of the others. It outlives the client. Threads of librdkafka count.
void count_produce_requests(rd_kafka_conf_t& conf, std::atomic<uint64_t>& sent);

}  // namespace sluice::kafka
