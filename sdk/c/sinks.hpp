// SPDX-License-Identifier: Apache-2.0
// Where a bus delivers, as its configuration names it; read and judged first, made afterwards. One thread at a time.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "c/config.hpp"
#include "c/log.hpp"
#include "c/sink_calls.hpp"
#include "sluice/kafka_sink.hpp"
#include "sluice/storage_sink.hpp"

namespace sluice::c {

/// An application's functions.
struct CallsPlan {
  uint64_t sink = 0;  // their handle
};

/// monostate: subscribers are all there is.
using SinkPlan = std::variant<std::monostate, LogPlan, KafkaSinkSettings, CallsPlan>;

/// A sink for a bus or a queue that is yet to be made. Where that fails, an application's functions stay with their
/// handle, so that they can be named again.
class MadeSink {
 public:
  /// `sink` may be null.
  explicit MadeSink(std::shared_ptr<Sink> sink) : sink_(std::move(sink)) {}
  /// Of `lender`, from which it was taken.
  MadeSink(std::shared_ptr<Sink> sink, Held<SinkObject> lender)
      : sink_(std::move(sink)), lender_(std::make_unique<Held<SinkObject>>(std::move(lender))) {}
  MadeSink(MadeSink&&) = default;
  MadeSink& operator=(MadeSink&&) = delete;
  /// Gives the sink back unless it was kept.
  ~MadeSink();

  const std::shared_ptr<Sink>& get() const { return sink_; }
  /// There is a bus or a queue that has it.
  void keep() { lender_.reset(); }

 private:
  std::shared_ptr<Sink> sink_;
  std::unique_ptr<Held<SinkObject>> lender_;
};

/// Reads `sink`: {"kind": "log", "storage": {...}, "log", ...}, {"kind": "kafka", "bootstrap", "topic", ...} or
/// {"kind": "calls", "sink"}. Judges all but what check_sink() does.
SinkPlan read_sink(ConfigReader& config);
/// [blocks] What only the adapter of a storage can judge, with the field's path. Opens nothing.
Status check_sink(const SinkPlan& plan);
/// The sink of an application's functions, which has one owner: EXISTS, another took it.
Result<std::shared_ptr<Sink>> take_sink(uint64_t handle);
/// [blocks] Opens the storage that it needs.
Result<MadeSink> make_sink(const SinkPlan& plan);

}  // namespace sluice::c
