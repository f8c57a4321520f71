/* SPDX-License-Identifier: Apache-2.0
 *
 * The C face of the Sluice SDK, for programs in C and for bindings of other languages. c/core.h holds what all of it has in
 * common and is to be read first.
 */
#ifndef SLUICE_H
#define SLUICE_H

#include "sluice/c/bus.h"
#include "sluice/c/bus_calls.h"
#include "sluice/c/checkpoint.h"
#include "sluice/c/consumer.h"
#include "sluice/c/core.h"
#include "sluice/c/cursor.h"
#include "sluice/c/dead_letters.h"
#include "sluice/c/diff.h"
#include "sluice/c/envelope.h"
#include "sluice/c/filter.h"
#include "sluice/c/limiter.h"
#include "sluice/c/log.h"
#include "sluice/c/page.h"
#include "sluice/c/record.h"
#include "sluice/c/sink.h"
#include "sluice/c/source.h"
#include "sluice/c/storage.h"
#include "sluice/c/subscription.h"
#include "sluice/c/telemetry.h"
#include "sluice/c/trace.h"

#endif
