// SPDX-License-Identifier: Apache-2.0
// What sdk/bus/README.md takes for granted.
#include "sluice/bus.hpp"

#include <memory>
#include <string>

namespace readme_bus {

struct MySink final : sluice::Sink {
  void deliver(sluice::EventBatch batch, Delivered done) override;
};
int complain(const sluice::Status& status);
extern const std::string json;

int block_1() {
#include "bus_1.inc"
  return status ? 0 : 1;
}

}  // namespace readme_bus
