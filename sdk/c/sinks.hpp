// SPDX-License-Identifier: Apache-2.0
// Where a bus delivers, as its configuration names it; read and judged first, made afterwards. One thread at a time.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "c/config.hpp"
#include "c/log.hpp"
#include "sluice/kafka_sink.hpp"
#include "sluice/storage_sink.hpp"

namespace sluice::c {

/// An application's functions.
struct CallsPlan {
  uint64_t sink = 0;  // their handle
};

/// monostate: subscribers are all there is.
using SinkPlan = std::variant<std::monostate, LogPlan, KafkaSinkSettings, CallsPlan>;

/// Reads `sink`: {"kind": "log", "storage": {...}, "log", ...}, {"kind": "kafka", "bootstrap", "topic", ...} or
/// {"kind": "calls", "sink"}.
SinkPlan read_sink(ConfigReader& config);
/// The sink of an application's functions, which has one owner: EXISTS, another took it.
Result<std::shared_ptr<Sink>> take_sink(uint64_t handle);
/// [blocks] Opens the storage that it needs.
Result<std::shared_ptr<Sink>> make_sink(const SinkPlan& plan);

}  // namespace sluice::c
