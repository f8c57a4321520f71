// SPDX-License-Identifier: Apache-2.0
#include "rdkafka/promises.hpp"

#include <algorithm>
#include <iterator>

namespace sluice::kafka {
namespace {

constexpr std::string_view kPromised[] = {
    "acks",
    "request.required.acks",
    "enable.idempotence",
    "enable.gapless.guarantee",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "retries",
    "message.send.max.retries",
    "queuing.strategy",
    "delivery.report.only.error",
    "produce.offset.report",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "enable.partition.eof",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.commit.enable",
    "interceptors",
};

}  // namespace

bool is_promised(std::string_view property) {
  return std::find(std::begin(kPromised), std::end(kPromised), property) != std::end(kPromised);
}

}  // namespace sluice::kafka
