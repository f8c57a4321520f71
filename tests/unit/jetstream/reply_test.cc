// SPDX-License-Identifier: Apache-2.0
#include "jetstream/reply.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice::jetstream {
namespace {

StatusCode code_of(int32_t code, int32_t err_code, std::string text = "text") {
  return classify({code, err_code, std::move(text)}).code();
}

TEST(JetstreamReply, EachErrorOfTheServerHasItsClass) {
  EXPECT_EQ(code_of(400, 10071), StatusCode::conflict);
  EXPECT_EQ(code_of(400, 10164), StatusCode::conflict);
  EXPECT_EQ(code_of(404, 10059), StatusCode::not_found);
  EXPECT_EQ(code_of(404, 10037), StatusCode::not_found);
  EXPECT_EQ(code_of(400, 10058), StatusCode::exists);
  EXPECT_EQ(code_of(400, 10054), StatusCode::too_large);
  EXPECT_EQ(code_of(400, 10065), StatusCode::invalid);
  EXPECT_EQ(code_of(500, 10074), StatusCode::invalid);
  for (const int32_t quota : {10002, 10023, 10027, 10028, 10047}) EXPECT_EQ(code_of(400, quota), StatusCode::no_space);
  for (const int32_t later : {10005, 10008, 10009, 10118}) EXPECT_EQ(code_of(503, later), StatusCode::unavailable);
}

TEST(JetstreamReply, AFullStreamIsNoSpaceAndAnyOtherFailureToStoreIsUnknown) {
  EXPECT_EQ(code_of(503, 10077, "maximum bytes exceeded"), StatusCode::no_space);
  EXPECT_EQ(code_of(503, 10077, "maximum messages exceeded"), StatusCode::no_space);
  EXPECT_EQ(code_of(503, 10077, "write /x/1.blk: no space left on device"), StatusCode::no_space);
  EXPECT_EQ(code_of(503, 10077, "stream closed"), StatusCode::unknown);
}

TEST(JetstreamReply, UnknownNumbersGoByTheirClass) {
  EXPECT_EQ(code_of(400, 19999), StatusCode::invalid);
  EXPECT_EQ(code_of(401, 19999), StatusCode::denied);
  EXPECT_EQ(code_of(403, 0), StatusCode::denied);
  EXPECT_EQ(code_of(404, 19999), StatusCode::not_found);
  EXPECT_EQ(code_of(503, 0), StatusCode::unavailable);
  EXPECT_EQ(code_of(500, 19999), StatusCode::unknown) << "nobody can tell what an unknown failure left behind";
}

TEST(JetstreamReply, B18_ErrorsKeepTheNativeTextAndNumber) {
  const Status status = classify({400, 10071, "wrong last sequence: 7"});
  EXPECT_EQ(status.native_code(), 10071);
  EXPECT_NE(status.text().find("wrong last sequence: 7"), std::string::npos);
}

TEST(JetstreamReply, Acknowledgements) {
  const auto sequence = parse_publish_ack(as_bytes(R"({"stream":"S", "seq":18446744073709551615})"));
  ASSERT_TRUE(sequence);
  EXPECT_EQ(*sequence, UINT64_MAX);
  const auto refused = parse_publish_ack(as_bytes(
      R"({"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 7"},"stream":"S","seq":0})"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::conflict);
}

TEST(JetstreamReply, AnAnswerThatIsNoneIsUnknown) {
  for (const char* text : {"", "x", "[]", "{}", R"({"seq":0})", R"({"seq":-1})", R"({"seq":"1"})", R"({"seq":1)"}) {
    const auto parsed = parse_publish_ack(as_bytes(text));
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code(), StatusCode::unknown) << text;
  }
}

TEST(JetstreamReply, MembersOfAnotherTypeAreAbsent) {
  const auto json = nlohmann::json::parse(R"({"a":{"b":1,"c":"text","d":true},"e":[1]})");
  EXPECT_EQ(number_at(json, "a.b"), 1);
  EXPECT_EQ(text_at(json, "a.c"), "text");
  EXPECT_TRUE(flag_at(json, "a.d"));
  EXPECT_EQ(number_at(json, "a.c", 5), 5);
  EXPECT_EQ(number_at(json, "a.b.c", 5), 5);
  EXPECT_EQ(number_at(json, "e.0", 5), 5);
  EXPECT_EQ(text_at(json, "x.y", "absent"), "absent");
}

TEST(JetstreamReply, DeniedSubjects) {
  EXPECT_EQ(denied_subject(R"(Permissions Violation for Publish to "$JS.API.INFO")"), "$JS.API.INFO");
  EXPECT_FALSE(denied_subject(R"(Permissions Violation for Subscription to "a")"));
  EXPECT_FALSE(denied_subject("Stale Connection"));
  EXPECT_FALSE(denied_subject(R"(Permissions Violation for Publish to "cut)"));
}

}  // namespace
}  // namespace sluice::jetstream
