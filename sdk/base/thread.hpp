// SPDX-License-Identifier: Apache-2.0
// Threads of our own inside somebody else's process.
#pragma once

#include <string>
#include <thread>

#include "base/unique_function.hpp"

namespace sluice {

/// Begins a thread that handles no signal: these are the process's own matter, and its handlers run where it expects
/// them. A write beyond RLIMIT_FSIZE is thereby an error (EFBIG) there and not the end of the process. What a fault of
/// its own raises stays as it is. `name` is cut to the 15 characters that Linux shows. Any thread. Throws
/// std::system_error where the system has no thread left.
std::thread start_thread(const std::string& name, UniqueFunction<void()> run);

}  // namespace sluice
