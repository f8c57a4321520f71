// SPDX-License-Identifier: Apache-2.0
// A log that this process writes, as a configuration names it.
#pragma once

#include "c/config.hpp"
#include "c/storage.hpp"
#include "sluice/log_writer.hpp"

namespace sluice::c {

struct LogPlan {
  StoragePlan storage;
  LogWriterSettings writer;
};

/// Reads {"storage": {...}, "log", "state_directory", ...} by LogWriterSettings' own names; what else there is, the
/// caller reads. Judges all but what StoragePlan::check() does.
LogPlan read_log(ConfigReader& config);

}  // namespace sluice::c
