// SPDX-License-Identifier: Apache-2.0
// A consumer behind a handle. Any thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "c/handle_table.hpp"
#include "c/sources.hpp"
#include "sluice/c/consumer.h"
#include "sluice/consumer.hpp"

namespace sluice::c {

struct ConsumerObject final : Object {
  static constexpr Kind kKind = Kind::consumer;
  /// `ids`: of the shards that it was made with, by number.
  ConsumerObject(std::shared_ptr<SourceMaker> maker_of_sources, std::unique_ptr<MergingConsumer> made,
                 std::vector<std::string> ids)
      : Object(kKind, Ends::not_in_callback),
        maker(std::move(maker_of_sources)),
        consumer(std::move(made)),
        ids_(std::move(ids)) {}
  void released() override { static_cast<void>(consumer->close(0)); }

  Result<uint32_t> add(std::shared_ptr<Source> source, Place start);
  /// Puts what was polled behind a handle; `polled` may be NULL. Where that fails, it is given back.
  Status show(Response got, sluice_handle* page, sluice_polled* polled);
  /// Goes back to where a response began: its records come again. A cursor from before it would not do, since that
  /// names no shard which had nothing yet.
  Status give_back(const Response& response);

  const std::shared_ptr<SourceMaker> maker;  // has the storages that the sources read
  const std::unique_ptr<MergingConsumer> consumer;

 private:
  std::mutex mutex_;
  std::vector<std::string> ids_;  // by number; guarded by mutex_
};

/// Checks a request from C. INVALID: its size, or what is reserved.
Result<PollRequest> request_of(const sluice_poll* request);

}  // namespace sluice::c
