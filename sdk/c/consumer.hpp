// SPDX-License-Identifier: Apache-2.0
// A consumer behind a handle. Any thread.
#pragma once

#include <memory>

#include "c/handle_table.hpp"
#include "c/sources.hpp"
#include "sluice/c/consumer.h"
#include "sluice/consumer.hpp"

namespace sluice::c {

struct ConsumerObject final : Object {
  static constexpr Kind kKind = Kind::consumer;
  ConsumerObject(std::shared_ptr<SourceMaker> maker_of_sources, std::unique_ptr<MergingConsumer> made)
      : Object(kKind, Ends::not_in_callback), maker(std::move(maker_of_sources)), consumer(std::move(made)) {}
  void released() override { static_cast<void>(consumer->close(0)); }
  const std::shared_ptr<SourceMaker> maker;  // has the storages that the sources read
  const std::unique_ptr<MergingConsumer> consumer;
};

/// Checks a request from C. INVALID: its size, or what is reserved.
Result<PollRequest> request_of(const sluice_poll* request);

}  // namespace sluice::c
