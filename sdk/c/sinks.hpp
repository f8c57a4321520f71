// SPDX-License-Identifier: Apache-2.0
// Where a bus delivers, as its configuration names it; read and judged first, made afterwards. One thread at a time.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "c/config.hpp"
#include "sluice/kafka_sink.hpp"
#include "sluice/storage_sink.hpp"

namespace sluice::c {

struct LogSinkPlan {
  StorageHostSettings storage;
  LogWriterSettings writer;
};

/// monostate: subscribers are all there is.
using SinkPlan = std::variant<std::monostate, LogSinkPlan, KafkaSinkSettings>;

/// Reads `sink`: {"kind": "log", "storage": {...}, "log", ...} or {"kind": "kafka", "bootstrap", "topic", ...}.
SinkPlan read_sink(ConfigReader& config);
/// [blocks] Opens the storage that it needs.
Result<std::shared_ptr<Sink>> make_sink(const SinkPlan& plan);

}  // namespace sluice::c
