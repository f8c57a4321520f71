// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "rdkafka/errors.hpp"

namespace sluice::kafka {
namespace {

TEST(KafkaErrors, Classes) {
  EXPECT_EQ(code_of(RD_KAFKA_RESP_ERR_NO_ERROR), StatusCode::ok);
  EXPECT_EQ(code_of(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED), StatusCode::denied);
  EXPECT_EQ(code_of(RD_KAFKA_RESP_ERR__AUTHENTICATION), StatusCode::denied);
  EXPECT_EQ(code_of(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), StatusCode::too_large);
  EXPECT_EQ(code_of(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART), StatusCode::not_found);
  EXPECT_EQ(code_of(RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION), StatusCode::not_found);
  EXPECT_EQ(code_of(RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED), StatusCode::busy);
  EXPECT_EQ(code_of(RD_KAFKA_RESP_ERR__TRANSPORT), StatusCode::unavailable);
  EXPECT_EQ(code_of(RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS), StatusCode::unavailable);
  EXPECT_EQ(code_of(RD_KAFKA_RESP_ERR_INVALID_CONFIG), StatusCode::invalid);
  EXPECT_EQ(code_of(RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION), StatusCode::unsupported);
  EXPECT_EQ(code_of(RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE), StatusCode::out_of_range);
  // What a newer cluster may send, and librdkafka has no name for.
  EXPECT_EQ(code_of(static_cast<rd_kafka_resp_err_t>(RD_KAFKA_RESP_ERR_END_ALL + 50)), StatusCode::internal);
}

TEST(KafkaErrors, AChangeThatMayHaveBeenMadeIsUnknown) {
  EXPECT_EQ(status_of_change(RD_KAFKA_RESP_ERR__TIMED_OUT).code(), StatusCode::unknown);
  EXPECT_EQ(status_of_change(RD_KAFKA_RESP_ERR__TRANSPORT).code(), StatusCode::unknown);
  EXPECT_EQ(status_of_change(RD_KAFKA_RESP_ERR_NOT_CONTROLLER).code(), StatusCode::unavailable);
  EXPECT_EQ(status_of_change(RD_KAFKA_RESP_ERR_POLICY_VIOLATION).code(), StatusCode::denied);
  EXPECT_TRUE(status_of_change(RD_KAFKA_RESP_ERR_NO_ERROR).ok());
}

TEST(KafkaErrors, SayWhatLibrdkafkaSaid) {
  const Status status = status_of(RD_KAFKA_RESP_ERR__TRANSPORT, "127.0.0.1:1: Connection refused");
  EXPECT_NE(status.text().find("Connection refused"), std::string::npos);
  EXPECT_EQ(status.native_code(), RD_KAFKA_RESP_ERR__TRANSPORT);
  EXPECT_GT(status_of(RD_KAFKA_RESP_ERR__QUEUE_FULL).retry_after_ms(), 0);
}

}  // namespace
}  // namespace sluice::kafka
