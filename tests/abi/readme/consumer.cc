// SPDX-License-Identifier: Apache-2.0
// What sdk/consumer/README.md takes for granted.
#include "sluice/consumer.hpp"

#include <memory>
#include <string>
#include <vector>

namespace readme_consumer {

extern std::string stored;
extern const sluice::ConsumerConfig config;
extern const std::vector<std::shared_ptr<sluice::Source>> sources;
void handle(const sluice::Record& record);

void block_1() {
#include "consumer_1.inc"
}

}  // namespace readme_consumer
