/* SPDX-License-Identifier: Apache-2.0
 *
 * Storages and Kafka clusters in C, opened once and shared: a consumer's `storages` and `clusters`, a log and a sink may name
 * one by {"name": ..., "handle": ...}. What they promise is written in <sluice/storage_host.hpp> and <sluice/kafka_source.hpp>;
 * the configuration in sdk/c/README.md. Whoever reads or writes on one keeps what it needs of it after the release.
 */
#ifndef SLUICE_C_STORAGE_H
#define SLUICE_C_STORAGE_H

#include "sluice/c/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* [waits up to lifecycle_timeout_ms] Opens an adapter: {"name", "library", "options", "data_directory", ...}. Not inside a
 * callback, as all that waits below. */
SLUICE_CALL sluice_status sluice_storage_open(const char *config, uint64_t config_size, sluice_handle *storage, sluice_failure *failure);
/* [waits up to call_timeout_ms] How it is now, as JSON: {"name", "native", "durable", "shared", "server", "advice"}. */
SLUICE_CALL sluice_status sluice_storage_health(sluice_handle storage, char *buffer, uint64_t capacity, uint64_t *needed,
                                                sluice_failure *failure);
/* [waits up to call_timeout_ms] All logs and native topics, as JSON: [{"id", "name", "partition", "foreign"}]. SLUICE_BUSY: much
 * is there, ask again. */
SLUICE_CALL sluice_status sluice_storage_logs(sluice_handle storage, char *buffer, uint64_t capacity, uint64_t *needed,
                                              sluice_failure *failure);
/* [waits] Drains and lets go, also for those who share it. SLUICE_UNAVAILABLE with what is left: again, then. */
SLUICE_CALL sluice_status sluice_storage_stop(sluice_handle storage, int64_t deadline_ms, sluice_failure *failure);

/* Opens the connections to a Kafka cluster: {"name", "bootstrap", "properties", ...}. They come up by themselves. */
SLUICE_CALL sluice_status sluice_cluster_open(const char *config, uint64_t config_size, sluice_handle *cluster, sluice_failure *failure);
/* [waits up to request_timeout_ms] How many partitions a topic has, so that new ones can be added while a consumer runs. */
SLUICE_CALL sluice_status sluice_cluster_partitions(sluice_handle cluster, const char *topic, uint64_t topic_size, int32_t *count,
                                                    sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
