// SPDX-License-Identifier: Apache-2.0
// What tests of the C face need of C structs.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "sluice/sluice.h"

namespace sluice::c::testing {

struct Failure : sluice_failure {
  Failure() : sluice_failure{} {
    size = sizeof(sluice_failure);
    index = -1;
  }
};

inline sluice_span span(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view view(const sluice_span& bytes) {
  return {reinterpret_cast<const char*>(bytes.data), bytes.size};
}

inline sluice_event event(std::string_view key, std::string_view value) {
  sluice_event made{};
  made.size = sizeof made;
  made.key = span(key);
  made.value = span(value);
  return made;
}

/// Releases its handle at the end.
class Owned {
 public:
  Owned() = default;
  ~Owned() { sluice_release(handle, nullptr); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  operator sluice_handle() const { return handle; }  // NOLINT(google-explicit-constructor)
  sluice_handle handle = 0;
};

inline void open_bus(const std::string& config, Owned& bus) {
  Failure failure;
  ASSERT_EQ(sluice_bus_open(config.data(), config.size(), &bus.handle, &failure), SLUICE_OK) << failure.text;
}

inline void open_consumer(const std::string& config, const std::string& cursor, Owned& consumer) {
  Failure failure;
  ASSERT_EQ(
      sluice_consumer_open(config.data(), config.size(), cursor.data(), cursor.size(), &consumer.handle, &failure),
      SLUICE_OK)
      << failure.text;
}

}  // namespace sluice::c::testing
