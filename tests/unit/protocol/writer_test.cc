// SPDX-License-Identifier: Apache-2.0
#include "protocol/writer.hpp"

#include <gtest/gtest.h>

#include "wire.hpp"

namespace sluice::protocol {
namespace {

Wire finish(Writer writer, bool frame = false) {
  auto output = std::move(writer).finish(frame);
  EXPECT_TRUE(output.has_value());
  return output->to_vector();
}

TEST(Writer, WritesBothForms) {
  Writer writer(1);  // grows
  writer.text("ab", false);
  writer.text("ab", true);
  writer.text(std::optional<std::string>(), false, true);
  writer.text(std::optional<std::string>(), true, true);
  writer.values(std::vector<int16_t>{1, -1}, false);
  writer.values(std::vector<int16_t>{1}, true);
  writer.bytes(std::optional<std::string>(), false, true);
  writer.varuint(300);
  EXPECT_EQ(finish(std::move(writer)), wire({0, 2, 'a',  'b',  3, 'a', 'b', 0xff, 0xff, 0,    0,    0,    0, 2,
                                             0, 1, 0xff, 0xff, 2, 0,   1,   0xff, 0xff, 0xff, 0xff, 0xac, 2}));
}

TEST(Writer, ErrorsAreCountedAsTheyAreWritten) {
  Writer writer;
  for (const ErrorCode code : {ErrorCode::kNone, ErrorCode::kInvalidConfig, ErrorCode::kUnknownServerError,
                               ErrorCode::kInvalidConfig, ErrorCode::kNone}) {
    writer.write(code);
  }
  const auto output = std::move(writer).finish(true);
  ASSERT_TRUE(output.has_value());
  ASSERT_EQ(output->errors().size(), 2U);
  EXPECT_EQ(output->errors()[0].code, ErrorCode::kInvalidConfig);
  EXPECT_EQ(output->errors()[0].count, 2U);
  EXPECT_EQ(output->errors()[1].code, ErrorCode::kUnknownServerError);
  EXPECT_EQ(output->errors()[1].count, 1U);
}

TEST(Writer, NullIsEmptyWhereTheVersionHasNoNull) {
  Writer writer;
  writer.text(std::optional<std::string>(), false, false);
  writer.values(std::optional<std::vector<int32_t>>(), true, false);
  EXPECT_EQ(finish(std::move(writer)), wire({0, 0, 1}));
}

TEST(Writer, TagsAreWrittenWithTheirSize) {
  Writer writer(1);
  const size_t start = writer.begin_tag(300);
  const std::string content(200, 'c');
  writer.text(content, false);
  writer.end_tag(start);
  EXPECT_EQ(finish(std::move(writer)), wire({0xac, 2, 0xca, 1, 0, 200}) + content);
}

TEST(Writer, FramesStartWithTheirLength) {
  Writer writer;
  writer.write(int16_t{7});
  EXPECT_EQ(finish(std::move(writer), true), wire({0, 0, 0, 2, 0, 7}));
  EXPECT_EQ(finish(Writer(), true), wire({0, 0, 0, 0}));
  EXPECT_TRUE(finish(Writer()).empty());
}

TEST(Writer, LendsLongRecordsAndKeepsThemAlive) {
  auto memory = std::make_shared<std::string>(kCopyBelowBytes, 'r');
  const std::weak_ptr<std::string> watch = memory;
  RecordsOut records;
  records.slices = {Bytes(std::string_view(*memory)), Bytes(std::string_view("short"))};
  const std::byte* lent = records.slices[0].data();
  records.keep_alive = memory;

  Writer writer;
  writer.records(records, false, true);
  writer.write(int8_t{1});
  writer.records(records, false, true);
  records = {};
  auto output = std::move(writer).finish(true);
  ASSERT_TRUE(output.has_value());
  Output moved = std::move(*output);
  const std::string content = *memory;
  memory.reset();

  EXPECT_FALSE(watch.expired());
  ASSERT_EQ(moved.segments().size(), 5U);
  EXPECT_EQ(moved.segments()[1].data(), lent);
  EXPECT_EQ(moved.segments()[3].data(), lent);
  const Wire once = wire({0, 0, 4, 5}) + content + "short";
  EXPECT_EQ(moved.to_vector(), wire({0, 0, 8, 19}) + once + wire({1}) + once);
  EXPECT_EQ(moved.size_bytes(), moved.to_vector().size());
  moved = Output();
  EXPECT_TRUE(watch.expired());
}

TEST(Writer, PartsOfFilesGoWhereTheyWerePut) {
  RecordsOut records;
  records.slices = {Bytes(std::string_view("before")), Bytes(std::string_view("after"))};
  records.files = {{.before = 1, .fd = 7, .position = 4096, .length = 100000},
                   {.before = 2, .fd = 8, .position = 0, .length = 5}};
  records.keep_alive = std::make_shared<int>(1);
  const std::weak_ptr<const void> watch = records.keep_alive;

  Writer writer;
  writer.records(records, false, true);
  writer.write(int8_t{1});
  records = {};
  auto output = std::move(writer).finish(true);
  ASSERT_TRUE(output.has_value());
  EXPECT_EQ(output->size_bytes(), 4U + 4 + 6 + 100000 + 5 + 5 + 1);
  const auto segments = output->segments();
  ASSERT_EQ(segments.size(), 5U);
  EXPECT_EQ(Bytes(segments[0]), Bytes(wire({0, 1, 0x86, 0xb5, 0, 1, 0x86, 0xb0}) + "before"));
  EXPECT_EQ(segments[1].fd, 7);
  EXPECT_EQ(segments[1].file_position, 4096U);
  EXPECT_EQ(segments[1].file_length, 100000U);
  EXPECT_EQ(Bytes(segments[2]), Bytes(std::string_view("after")));
  EXPECT_EQ(segments[2].fd, -1);
  EXPECT_EQ(segments[3].fd, 8);
  EXPECT_EQ(Bytes(segments[4]), Bytes(std::string_view("\x01")));
  EXPECT_FALSE(watch.expired());
  output = Output();
  EXPECT_TRUE(watch.expired());
}

TEST(Writer, RemembersWhatCannotBeEncoded) {
  Writer writer;
  writer.text(std::string(40000, 'x'), false);
  writer.write(int8_t{1});
  const auto output = std::move(writer).finish(true);
  ASSERT_FALSE(output.has_value());
  EXPECT_EQ(output.error().code(), StatusCode::too_large);

  Writer flexible;
  flexible.text(std::string(40000, 'x'), true);
  EXPECT_TRUE(flexible.status().ok());
}

}  // namespace
}  // namespace sluice::protocol
