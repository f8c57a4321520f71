// SPDX-License-Identifier: Apache-2.0
// Whether settings can be used, judged before anything is opened; the makers do the same first. Each answer is INVALID
// with the name of the field that is wrong ("read.read_bytes: ..."). Any thread.
#pragma once

#include <memory>
#include <string>

#include "sluice/kafka_source.hpp"
#include "sluice/storage_host.hpp"
#include "sluice/storage_source.hpp"

namespace sluice::host {
class Library;
}

namespace sluice::sources {

/// All but the options, which only the adapter can judge. Pure.
Status check(const StorageHostSettings& settings);
/// [blocks] The adapter, whose shared object is loaded. NOT_FOUND: there is no such file.
Result<std::shared_ptr<const host::Library>> load_library(const StorageHostSettings& settings);
/// [blocks] The options, by the table of the adapter, which is loaded for it; no storage is made.
Status check_options(const StorageHostSettings& settings);

/// Pure.
Status check(const LogSourceSettings& settings);
/// Pure.
Status check(const NativeSourceSettings& settings);
/// Pure.
Status check(const KafkaClusterSettings& settings);
/// The name of a Kafka topic. Pure.
Status check_topic(const std::string& topic);

}  // namespace sluice::sources
