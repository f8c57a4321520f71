// SPDX-License-Identifier: Apache-2.0
#include "cli/records.hpp"

#include <gmock/gmock.h>

namespace sluice::cli {
namespace {

using testing::HasSubstr;

void expect_same(const std::optional<std::string_view>& wanted, const std::optional<Bytes>& got) {
  ASSERT_EQ(wanted.has_value(), got.has_value());
  if (wanted) {
    EXPECT_EQ(*wanted, as_text(*got));
  }
}

TEST(Records, what_consume_prints_comes_back) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  for (size_t size = 0; size < 5; ++size) {
    RecordView view;
    view.topic = "t";
    view.partition = 3;
    view.offset = INT64_MAX;
    view.timestamp = 1'600'000'000'123;
    const std::string value = all.substr(0, 252 + size);
    view.value = value;
    if (size % 2 == 0) view.key = "\u00e9";
    view.headers = {{"a", "b"}, {"a", std::nullopt}, {"\xff", ""}};
    auto read = record_of_line(json_line(view));
    ASSERT_TRUE(read) << read.error().text();
    const StoredRecord stored = std::move(*read);
    std::vector<Header> headers;
    const Record direct = record_of(view, headers);
    for (const Record& record : {stored.record, direct}) {
      EXPECT_EQ(record.partition, 3);
      EXPECT_EQ(record.position, INT64_MAX);
      EXPECT_EQ(record.timestamp_ns, 1'600'000'000'123'000'000);
      expect_same(view.key, record.key);
      expect_same(view.value, record.value);
      size_t at = 0;
      record.headers.each([&](const Header& header) {
        EXPECT_EQ(header.name, view.headers[at].first);
        expect_same(view.headers[at].second, header.value);
        return ++at, true;
      });
      EXPECT_EQ(at, 3u);
    }
  }
}

TEST(Records, what_is_left_out_is_not_there) {
  const auto stored = record_of_line("{}");
  ASSERT_TRUE(stored);
  EXPECT_FALSE(stored->record.key || stored->record.value);
  EXPECT_EQ(stored->record.timestamp_ns, kNoTimestamp);
  EXPECT_TRUE(stored->record.headers.empty());
  std::vector<Header> headers;
  EXPECT_EQ(record_of(RecordView(), headers).timestamp_ns, kNoTimestamp);
  RecordView late;
  late.timestamp = INT64_MAX;
  EXPECT_EQ(record_of(late, headers).timestamp_ns, kNoTimestamp);
}

TEST(Records, faults_name_the_member) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "is no JSON"},
      {"[]", "is no JSON object"},
      {R"({"kee": 1})", "kee: is no member of a record"},
      {R"({"key": 1})", "key: expected a string"},
      {R"({"key": {"base64": "a"}})", "key: expected a string"},
      {R"({"key": {"base64": "!AAA"}})", "key: expected a string"},
      {R"({"partition": -1})", "partition: expected a whole number"},
      {R"({"partition": 2147483648})", "partition: expected a whole number"},
      {R"({"offset": 1.5})", "offset: expected a whole number"},
      {R"({"timestamp": "now"})", "timestamp: expected a whole number"},
      {R"({"headers": {}})", "headers: expected an array"},
      {R"({"headers": [{"name": "a"}]})", "headers[0]: expected an object"},
      {R"({"headers": [{"name": null, "value": ""}]})", "headers[0]: a header has a name"},
  };
  for (const auto& [line, message] : cases) {
    const auto stored = record_of_line(line);
    ASSERT_FALSE(stored) << line;
    EXPECT_EQ(stored.error().code(), StatusCode::invalid);
    EXPECT_THAT(stored.error().text(), HasSubstr(message));
  }
}

}  // namespace
}  // namespace sluice::cli
