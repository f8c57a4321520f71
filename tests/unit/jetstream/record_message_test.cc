// SPDX-License-Identifier: Apache-2.0
#include "jetstream/record_message.hpp"

#include <gtest/gtest.h>

#include <list>

namespace sluice::jetstream {
namespace {

using namespace std::string_literals;
using Text = std::optional<std::string>;

struct Plain {
  int64_t timestamp = 0;
  Text key, value;
  std::vector<std::pair<std::string, Text>> headers;
  bool operator==(const Plain&) const = default;
};

records::OptionalBytes view(const Text& text) {
  if (!text) return std::nullopt;
  return as_bytes(*text);
}

Text text(const records::OptionalBytes& bytes) {
  if (!bytes) return std::nullopt;
  return std::string(as_text(*bytes));
}

/// With what it refers to.
struct Kept : StoredMessage {
  std::list<std::pair<std::string, std::string>> lines;
};

/// The headers that it gets, and its value where it lies in `record`.
Kept stored(const Plain& record) {
  std::vector<records::HeaderView> headers;
  for (const auto& [name, value] : record.headers) headers.push_back({as_bytes(name), view(value)});
  records::NewRecord made;
  made.timestamp = record.timestamp;
  made.key = view(record.key);
  made.value = view(record.value);
  made.headers = headers;
  records::BatchBuilder builder({});
  EXPECT_TRUE(builder.add(made).ok());
  const Buffer batch = std::move(*builder.build());
  const auto parsed = records::BatchView::parse(batch.view());
  records::RecordIterator records(parsed->records_section(), *parsed);
  records::RecordView read;
  EXPECT_TRUE(records.next(read));
  Kept message;
  const Headers made_headers = record_headers(read, read.timestamp(*parsed));
  EXPECT_LE(header_bytes(made_headers), most_header_bytes(read));
  for (const auto& line : made_headers) message.headers.push_back(message.lines.emplace_back(line));
  message.payload = record.value ? as_bytes(*record.value) : Bytes();
  message.subject = "own";
  message.stored_ms = 77;
  return message;
}

std::optional<Plain> decoded(const StoredMessage& message, std::string_view own_subject = "own") {
  DecodedRecord out;
  if (!decode_record(message, own_subject, out)) return std::nullopt;
  Plain plain{out.record.timestamp, text(out.record.key), text(out.record.value), {}};
  for (const auto& header : out.record.headers) {
    plain.headers.emplace_back(std::string(as_text(header.key)), text(header.value));
  }
  return plain;
}

std::string every_byte() {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  return all;
}

Text header(const StoredMessage& message, std::string_view name) {
  for (const auto& [each, value] : message.headers) {
    if (each == name) return std::string(value);
  }
  return std::nullopt;
}

TEST(RecordMessageTest, B34_S02_WhatGoesInComesOut) {
  const std::vector<Plain> all = {
      {1, "key", "value", {}},
      {-1, std::nullopt, std::nullopt, {}},
      {INT64_MAX, "", "", {}},
      {2, every_byte(), every_byte(), {}},
      {3, " space", "v", {{"lead", " a"}, {"trail", "a "}, {"inside", "a b"}, {"%", "%41"}, {"percent", "100%"}}},
      {4, "k", "v", {{"same", "1"}, {"other", "2"}, {"same", "3"}, {"same", std::nullopt}, {"same", ""}}},
      {5, "k", "v", {{"", "no name"}}},
      {6, "k", "v", {{"", std::nullopt}, {"", ""}}},
      {7, "k", "v", {{every_byte(), every_byte()}, {"lines", "a\r\nb: c\r\n\r\n"}}},
      {8, "k", "v", {{"Nats-Msg-Id", "1"}, {"nats-expected-last-sequence", "9"}, {"Sluice", "x"}, {"Kafka-Key", "y"}}},
      {9, "k", "v", {{"Status", "404"}, {"Description", "none"}, {"Statuses", "fine"}}},
      {10, "k", "v", {{"Case", "1"}, {"case", "2"}, {"with: colon", "3"}, {"a,b=c:d", "4"}, {"\xc3\xa4", "5"}}},
      {11, "\xc3\x28", "\xc3\x28", {{"bad", "\xff"}, {"surrogate", "\xed\xa0\x80"}, {"long", "\xc0\xaf"}}},
  };
  for (const Plain& record : all) {
    const Kept message = stored(record);
    for (const auto& [name, value] : message.headers) {
      EXPECT_EQ(name.find_first_of(std::string("\0: \r\n", 5)), std::string::npos) << name;
      EXPECT_EQ(value.find_first_of(std::string("\0\r\n", 3)), std::string::npos) << name;
    }
    const auto back = decoded(message);
    ASSERT_TRUE(back) << record.timestamp;
    EXPECT_EQ(*back, record) << record.timestamp;
  }
}

TEST(RecordMessageTest, TextStaysReadable) {
  const auto message = stored({5, "k1", "v", {{"from", "kafka"}, {"greek", "\xce\xb1 \xce\xb2"}, {"two", "a\nb"}}});
  EXPECT_EQ(header(message, "Kafka-Key"), "k1");
  EXPECT_EQ(header(message, "from"), "kafka");
  EXPECT_EQ(header(message, "greek"), "\xce\xb1 \xce\xb2");
  EXPECT_EQ(header(message, "two"), "a%0Ab");
  EXPECT_EQ(header(message, "Sluice"), "1 record time=5 key=text headers=from,greek,two:encoded");
}

TEST(RecordMessageTest, NothingASendersNameCouldMeanToAServer) {
  const auto message = stored({5, "k", "v", {{"Nats-Rollup", "all"}, {"NATS-EXPECTED-STREAM", "x"}}});
  for (const auto& [name, value] : message.headers) EXPECT_FALSE(name.starts_with("N")) << name;
}

TEST(RecordMessageTest, MessagesOfOthers) {
  StoredMessage message;
  message.headers = {{"b", "x%41"}, {"a", "1"}, {"Nats-Msg-Id", "7"}, {"a", "2"}};
  message.payload = as_bytes("{\"item\":1}");
  message.subject = "own";
  message.stored_ms = 1'234;
  const Plain wanted{
      1'234, std::nullopt, "{\"item\":1}", {{"Nats-Msg-Id", "7"}, {"a", "1"}, {"a", "2"}, {"b", "x%41"}}};
  EXPECT_EQ(decoded(message), wanted);
  EXPECT_EQ(decoded(message, "else")->key, "own") << "another subject than the one that records are written to";
  message.headers.insert(message.headers.begin(), {"Kafka-Key", "k1"});
  EXPECT_EQ(decoded(message, "else")->key, "k1");
  EXPECT_EQ(decoded(message)->headers, wanted.headers);
  message.payload = {};
  EXPECT_EQ(decoded(message)->value, "");
  message.headers = {{"KV-Operation", "DEL"}};
  EXPECT_EQ(decoded(message)->value, std::nullopt) << "deleted from a bucket";
}

TEST(RecordMessageTest, WhatSaysThatItIsOursAndIsNot) {
  const Plain record{5, "k", "v", {{"a", "1"}, {"b", "\r"}, {"c", std::nullopt}}};
  const Kept good = stored(record);
  ASSERT_TRUE(decoded(good));
  for (const char* damaged :
       {"", "1", "1 record", "2 record time=5", "1 records time=5", "1 record time=", "1 record time=5x",
        "1 record time=5 key=base64", "1 record time=5 value=x", "1 record time=5 new=1", "1 record time=5 headers=a,d",
        "1 record time=5 headers=a:x", "1 record time=5 headers=a,a", "1 record time=5 headers=%4",
        "1 record time=5 headers=%zz", "1 unit base=10 end=15 start=0 newest=1 greatest=1 token=1"}) {
    StoredMessage message = good;
    for (auto& [name, value] : message.headers) {
      if (name == "Sluice") value = damaged;
    }
    EXPECT_FALSE(decoded(message)) << damaged;
  }
  StoredMessage message = good;
  for (auto& [name, value] : message.headers) {
    if (name == "b") value = "%0";
  }
  EXPECT_FALSE(decoded(message));
}

TEST(RecordMessageTest, NothingEmptyIsWritten) {
  const auto message = stored({5, "", "", {{"empty", ""}, {"null", std::nullopt}}});
  for (const auto& [name, value] : message.headers) EXPECT_FALSE(value.empty()) << name;
  EXPECT_EQ(header(message, "Sluice"), "1 record time=5 key=empty headers=empty:empty,null:null");
}

TEST(RecordMessageTest, Times) {
  EXPECT_EQ(parse_time("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_time("2026-11-21T11:46:05.835379878Z"), 1'795'261'565'835);
  EXPECT_EQ(parse_time("2026-11-21T11:46:05.8Z"), 1'795'261'565'800);
  EXPECT_EQ(parse_time("2026-11-21 11:46:05 +0000 UTC"), 1'795'261'565'000);
  EXPECT_EQ(parse_time("2026-11-21"), std::nullopt);
  EXPECT_EQ(parse_time("2026-xx-21T11:46:05Z"), std::nullopt);
  EXPECT_EQ(parse_time(""), std::nullopt);
}

}  // namespace
}  // namespace sluice::jetstream
