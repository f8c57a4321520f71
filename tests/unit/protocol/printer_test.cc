// SPDX-License-Identifier: Apache-2.0
#include "protocol/printer.hpp"

#include <gtest/gtest.h>

#include "protocol/codec.hpp"
#include "protocol/gen/list_groups.hpp"
#include "protocol/gen/produce.hpp"
#include "protocol/gen/sync_group.hpp"

namespace sluice::protocol {
namespace {

TEST(Printer, ShowsFieldsAndHidesPayloads) {
  ProduceRequest request;
  request.acks = -1;
  request.topics.push_back({.name = "a\"b\n", .topic_id = {}, .partitions = {}});
  request.topics[0].partitions.push_back({.index = 1, .records = Bytes(std::string_view("secret"))});
  EXPECT_EQ(describe(request),
            "ProduceRequest{transactional_id=null, acks=-1, timeout_ms=0, topics=[{name=\"a\\\"b\\x0a\", "
            "topic_id=AAAAAAAAAAAAAAAAAAAAAA, partitions=[{index=1, records=<6 bytes>}]}]}");

  SyncGroupResponse response;
  response.error_code = ErrorCode::kRebalanceInProgress;
  response.assignment = "secret";
  EXPECT_EQ(describe(response),
            "SyncGroupResponse{throttle_time_ms=0, error_code=REBALANCE_IN_PROGRESS, protocol_type=null, "
            "protocol_name=null, assignment=<6 bytes>}");
}

TEST(Printer, LinesEndAtTheLimit) {
  ListGroupsResponse response;
  response.groups.resize(100000);
  const std::string line = describe(response);
  EXPECT_EQ(line.size(), kMaxDescriptionBytes + ListGroupsResponse::kName.size());
  EXPECT_TRUE(line.ends_with("..."));
}

}  // namespace
}  // namespace sluice::protocol
