// SPDX-License-Identifier: Apache-2.0
#include "redis/record_fields.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "parser.hpp"

namespace sluice::redis {
namespace {

/// The fields of an entry, as XRANGE shows them.
Reply fields(const std::vector<std::string>& texts) {
  std::string text = fmt::format("*{}\r\n", texts.size());
  for (const std::string& one : texts) text += fmt::format("${}\r\n{}\r\n", one.size(), one);
  return parse_reply(text);
}

DecodedRecord decode(const Reply& reply, const FieldNames& names = {}) {
  DecodedRecord decoded;
  EXPECT_TRUE(decode_fields(reply, names, 77, decoded));
  return decoded;
}

std::string value_of(const DecodedRecord& decoded) {
  return decoded.record.value ? std::string(as_text(*decoded.record.value)) : "null";
}

TEST(RecordFieldsTest, WhatIsTooLargeIsNoRecord) {
  DecodedRecord decoded;
  EXPECT_TRUE(decode_fields(fields({"abc", "de", "f", ""}), {}, 77, decoded, 6));
  EXPECT_FALSE(decode_fields(fields({"abc", "de", "f", "g"}), {}, 77, decoded, 6));
}

TEST(RecordFieldsTest, WhatGoesInComesOut) {
  using namespace std::string_literals;
  const std::string bytes = "\0\xff{\"\r\n"s;
  const std::vector<records::HeaderView> headers = {{as_bytes("b"), as_bytes("2")},
                                                    {as_bytes("a"), std::nullopt},
                                                    {as_bytes("b"), as_bytes(bytes)},
                                                    {as_bytes(bytes), Bytes()}};
  for (const bool with_key : {true, false}) {
    for (const bool with_value : {true, false}) {
      records::BatchBuilder builder({});
      records::NewRecord record;
      record.timestamp = 1'600'000'000'123;
      if (with_key) record.key = as_bytes(bytes);
      if (with_value) record.value = Bytes();
      record.headers = headers;
      ASSERT_TRUE(builder.add(record).ok());
      const Buffer batch = std::move(*builder.build());
      const auto view = records::BatchView::parse(batch.view());
      records::RecordIterator records(view->records_section(), *view);
      records::RecordView read;
      ASSERT_TRUE(records.next(read));

      Command command;
      command.begin(1 + field_arguments(read)).add("X");
      add_fields(command, {}, read, read.timestamp(*view));
      // A command is an array as a reply is one: what the server would store.
      const Reply sent = parse_reply(text_of(command));
      ASSERT_NE(sent, nullptr);
      std::vector<std::string> stored;
      for (size_t i = 1; i < ReplyView(sent).size(); ++i) stored.emplace_back(ReplyView(sent)[i].text());
      const Reply kept = fields(stored);
      const DecodedRecord decoded = decode(kept);
      EXPECT_EQ(decoded.record.timestamp, 1'600'000'000'123);
      EXPECT_EQ(decoded.record.key.has_value(), with_key);
      EXPECT_EQ(decoded.record.value.has_value(), with_value);
      if (with_key) {
        EXPECT_EQ(as_text(*decoded.record.key), bytes);
      }
      ASSERT_EQ(decoded.headers.size(), headers.size());
      for (size_t i = 0; i < headers.size(); ++i) {
        EXPECT_EQ(as_text(decoded.headers[i].key), as_text(headers[i].key)) << i;
        ASSERT_EQ(decoded.headers[i].value.has_value(), headers[i].value.has_value()) << i;
        if (headers[i].value) {
          EXPECT_EQ(as_text(*decoded.headers[i].value), as_text(*headers[i].value)) << i;
        }
      }
    }
  }
}

TEST(RecordFieldsTest, EntriesOfOthers) {
  const Reply plain = fields({"value", "hello"});
  EXPECT_EQ(value_of(decode(plain)), "hello");
  EXPECT_EQ(decode(plain).record.timestamp, 77) << "the id's";
  const Reply object = fields({"item", "book", "qty", "2", "item", "pen", "item", "ink"});
  EXPECT_EQ(value_of(decode(object)), R"({"item":["book","pen","ink"],"qty":"2"})");
  const Reply mixed = fields({"key", "k", "value", "v", "unit", "kg"});
  EXPECT_EQ(value_of(decode(mixed)), R"({"key":"k","value":"v","unit":"kg"})");
  EXPECT_FALSE(decode(mixed).record.key);
  const Reply odd_time = fields({"value", "v", "timestamp", "yesterday"});
  EXPECT_EQ(value_of(decode(odd_time)), R"({"value":"v","timestamp":"yesterday"})");
  const Reply no_text = fields({"a", "\xff"});
  EXPECT_EQ(value_of(decode(no_text)), "{\"a\":\"\xEF\xBF\xBD\"}");
  const Reply named = fields({"payload", "p", "id", "7"});
  const DecodedRecord ours = decode(named, {"id", "payload"});
  EXPECT_EQ(as_text(*ours.record.key), "7");
  EXPECT_EQ(value_of(ours), "p");
}

}  // namespace
}  // namespace sluice::redis
