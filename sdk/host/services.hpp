// SPDX-License-Identifier: Apache-2.0
// The table of services that an adapter is given.
#pragma once

#include <memory>

#include "sluice/storage_abi.h"

namespace sluice::host {

class Voice;

/// A table for one storage, whose log lines go to `voice`. It lives as long as the process, as the ABI promises.
const sluice_host* make_host_services(std::shared_ptr<Voice> voice);

/// True while this thread is inside an adapter's call of complete() or log(): a storage that ends here must not wait
/// for the adapter, which may hold locks.
bool inside_host_service();

}  // namespace sluice::host
