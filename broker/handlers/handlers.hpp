// SPDX-License-Identifier: Apache-2.0
// One function per API; its file opens with the versions that it serves and the gaps it knowingly leaves.
#pragma once

#include "handlers/context.hpp"

namespace sluice::handlers {

Task<Reply> produce(RequestContext context);                    // 0
Task<Reply> fetch(RequestContext context);                      // 1
Task<Reply> list_offsets(RequestContext context);               // 2
Task<Reply> metadata(RequestContext context);                   // 3
Task<Reply> offset_commit(RequestContext context);              // 8
Task<Reply> offset_fetch(RequestContext context);               // 9
Task<Reply> find_coordinator(RequestContext context);           // 10
Task<Reply> join_group(RequestContext context);                 // 11
Task<Reply> heartbeat(RequestContext context);                  // 12
Task<Reply> leave_group(RequestContext context);                // 13
Task<Reply> sync_group(RequestContext context);                 // 14
Task<Reply> describe_groups(RequestContext context);            // 15
Task<Reply> list_groups(RequestContext context);                // 16
Task<Reply> api_versions(RequestContext context);               // 18
Task<Reply> create_topics(RequestContext context);              // 19
Task<Reply> delete_topics(RequestContext context);              // 20
Task<Reply> delete_records(RequestContext context);             // 21
Task<Reply> init_producer_id(RequestContext context);           // 22
Task<Reply> offset_for_leader_epoch(RequestContext context);    // 23
Task<Reply> describe_configs(RequestContext context);           // 32
Task<Reply> alter_configs(RequestContext context);              // 33
Task<Reply> create_partitions(RequestContext context);          // 37
Task<Reply> delete_groups(RequestContext context);              // 42
Task<Reply> incremental_alter_configs(RequestContext context);  // 44
Task<Reply> offset_delete(RequestContext context);              // 47
Task<Reply> describe_cluster(RequestContext context);           // 60
Task<Reply> describe_topic_partitions(RequestContext context);  // 75

/// The answer to an ApiVersions request of a version that is not served: version 0, UNSUPPORTED_VERSION, the ranges.
Reply api_versions_unsupported(const RequestContext& context);

}  // namespace sluice::handlers
