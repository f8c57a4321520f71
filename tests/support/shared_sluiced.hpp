// SPDX-License-Identifier: Apache-2.0
// One broker for all tests of a program. One thread at a time.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "support/kafka_server.hpp"

namespace sluice::test {

/// A sluiced that all tests of this program share, without topics that appear by themselves. The first call starts it,
/// and so does the first after it was killed; it ends with the program.
inline KafkaServer& shared_sluiced(const std::string& program) {
  static KafkaServer one([&] {
    KafkaSettings settings;
    settings.program = program;
    settings.arguments = {"--override", "auto.create.topics.enable=false"};
    return settings;
  }());
  if (!one.running()) {
    const Status started = one.start();
    EXPECT_TRUE(started) << started.describe();
  }
  return one;
}

}  // namespace sluice::test
