/* SPDX-License-Identifier: Apache-2.0
 *
 * The C face of the Sluice SDK, for programs in C and for bindings of other languages. c/core.h holds what all of it has in
 * common and is to be read first.
 */
#ifndef SLUICE_H
#define SLUICE_H

#include "sluice/c/bus.h"
#include "sluice/c/consumer.h"
#include "sluice/c/core.h"
#include "sluice/c/filter.h"
#include "sluice/c/services.h"

#endif
