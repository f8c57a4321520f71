/* SPDX-License-Identifier: Apache-2.0
 *
 * Pages pushed to a function instead of polled, in C. What it promises is written in <sluice/consumer_stream.hpp>.
 */
#ifndef SLUICE_C_SUBSCRIPTION_H
#define SLUICE_C_SUBSCRIPTION_H

#include "sluice/c/consumer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Gets every page that has records, progress or something to say, and releases it; 0 ends the subscription, 1 goes on. An error
 * comes last: `page` is 0 and `polled` NULL then, and `failure` NULL otherwise; the consumer has not passed a page that it could not
 * show. On a thread of the subscription's own, one call after the other and without locks: it may call everything, and release or stop
 * the subscription itself. */
typedef uint32_t (*sluice_push)(void *context, sluice_handle page, const sluice_polled *polled, const sluice_failure *failure);

/* Polls a consumer, as `request` says, until it is done. The consumer takes one poll at a time: have one subscription, and do not
 * poll beside it. `gone` (may be NULL) is called once, when `push` will not be called any more: `context` may go; also after
 * SLUICE_BUSY, too many handles, but no other failure. */
SLUICE_CALL sluice_status sluice_subscribe(sluice_handle consumer, const sluice_poll *request, sluice_push push, void (*gone)(void *context),
                                           void *context, sluice_handle *subscription, sluice_failure *failure);
/* No page comes after the return, but for the one that `push` may have at that moment. */
SLUICE_CALL sluice_status sluice_subscription_pause(sluice_handle subscription, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_subscription_resume(sluice_handle subscription, sluice_failure *failure);
/* 1 until the last call of `push` has returned. */
SLUICE_CALL sluice_status sluice_subscription_running(sluice_handle subscription, uint32_t *running, sluice_failure *failure);
/* [waits] Ends it; a page that was polled by then still comes. SLUICE_UNAVAILABLE: `push` has not returned after `deadline_ms`; call
 * again. From within `push`: at once. Releasing a subscription ends it without waiting. */
SLUICE_CALL sluice_status sluice_subscription_stop(sluice_handle subscription, int64_t deadline_ms, sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
