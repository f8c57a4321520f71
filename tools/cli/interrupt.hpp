// SPDX-License-Identifier: Apache-2.0
// SIGINT and SIGTERM as a flag, for commands that finish in order: what was read is committed, what was written is
// flushed.
#pragma once

namespace sluice::cli {

/// From here on the two signals set the flag, and interrupt a blocking read, instead of ending the process. A second
/// signal ends it.
void catch_interrupts();
bool interrupted();

}  // namespace sluice::cli
