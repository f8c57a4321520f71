// SPDX-License-Identifier: Apache-2.0
// Where the network and the handlers, which do not know each other, meet.
#pragma once

#include "handlers/context.hpp"
#include "net/request.hpp"

namespace sluice::app {

/// A function for the listeners that answers by the handlers. `broker` outlives it and every request.
net::Dispatch make_dispatch(handlers::Broker& broker);

}  // namespace sluice::app
