// SPDX-License-Identifier: Apache-2.0
// A sink made of an application's functions, behind a handle until a bus or a queue takes it. Any thread.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "c/handle_table.hpp"
#include "sluice/sink.hpp"

namespace sluice::c {

class SinkObject final : public Object {
 public:
  static constexpr Kind kKind = Kind::sink;
  explicit SinkObject(std::shared_ptr<Sink> made) : Object(kKind), sink_(std::move(made)) {}
  /// The sink, once: EXISTS, somebody has it.
  Result<std::shared_ptr<Sink>> take();
  /// Whoever took it could not use it: it may be taken again.
  void give_back(std::shared_ptr<Sink> sink);

 private:
  std::mutex mutex_;
  std::shared_ptr<Sink> sink_;  // guarded by mutex_
};

}  // namespace sluice::c
