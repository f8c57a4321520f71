// SPDX-License-Identifier: Apache-2.0
#include "jetstream/delivery.hpp"

#include <gtest/gtest.h>

namespace sluice::jetstream {
namespace {

TEST(JetstreamDelivery, SaysWhatMessageItIsAndWhose) {
  // As 2.9 has it; with domain and account; and with the token that servers may add.
  for (const char* subject :
       {"$JS.ACK.ORDERS.x7Qp.1.42.7.1600000000123456789.9", "$JS.ACK.hub.A1B2.ORDERS.x7Qp.1.42.7.1600000000123456789.9",
        "$JS.ACK._.A1B2.ORDERS.x7Qp.1.42.7.1600000000123456789.9.token"}) {
    const auto delivery = parse_delivery(subject);
    ASSERT_TRUE(delivery) << subject;
    EXPECT_EQ(delivery->stream, "ORDERS");
    EXPECT_EQ(delivery->consumer, "x7Qp");
    EXPECT_EQ(delivery->sequence, 42u);
    EXPECT_EQ(delivery->stored_ms, 1'600'000'000'123);
    EXPECT_EQ(delivery->pending, 9u);
  }
}

TEST(JetstreamDelivery, WhatIsNoneIsNotTakenForOne) {
  for (const char* subject :
       {"", "$JS.ACK.", "$JS.ACK.ORDERS.x.1.42.7.16", "$JS.ACK.ORDERS.x.1.forty.7.1600.9",
        "$JS.ACK.ORDERS.x.1.0.7.1600.9", "$JS.ACK.ORDERS.x.1.42.7.1600.", "$JS.ACK.a.ORDERS.x.1.42.7.1600.9",
        "$JS.ACK.a.b.ORDERS.x.1.42.7.1600.9.t.more", "$JS.API.ORDERS.x.1.42.7.1600.9", "_INBOX.abc.42"}) {
    EXPECT_FALSE(parse_delivery(subject)) << subject;
  }
}

}  // namespace
}  // namespace sluice::jetstream
