// SPDX-License-Identifier: Apache-2.0
// sluice filter check, as a function.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "cli/commands.hpp"

namespace sluice::cli {
namespace {

using testing::HasSubstr;

struct Outcome {
  Status status;
  std::string out;
};

Outcome check(std::string expression, std::string records = {}, bool json = false) {
  Common common;
  common.json = json;
  FilterCheck command;
  command.expression = std::move(expression);
  command.records = std::move(records);
  testing::internal::CaptureStdout();
  Outcome outcome;
  outcome.status = run(command, common);
  std::fflush(stdout);
  outcome.out = testing::internal::GetCapturedStdout();
  return outcome;
}

class FilterCheckTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() / ("sluice-filter-" + std::to_string(::getpid()));
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::string file(const std::string& text) {
    std::ofstream(path_) << text;
    return path_;
  }

  std::filesystem::path path_;
};

TEST_F(FilterCheckTest, prints_the_filter_as_data_or_where_it_is_wrong) {
  const Outcome good = check("key exists and partition in (1, 2)");
  EXPECT_TRUE(good.status.ok());
  EXPECT_THAT(good.out, HasSubstr(R"("field": "partition")"));
  EXPECT_EQ(check(good.out).out, good.out);
  const Outcome bad = check("key exists and value.a ~ 1");
  EXPECT_EQ(bad.status.code(), StatusCode::invalid);
  EXPECT_EQ(bad.status.text(),
            "filter: byte 23: unexpected character\n  key exists and value.a ~ 1\n                         ^");
  EXPECT_EQ(bad.out, "");
  EXPECT_THAT(check(R"({"and": [{"field": "kee", "exists": true}]})").status.text(), HasSubstr("/and/0/field"));
}

TEST_F(FilterCheckTest, says_what_it_makes_of_records) {
  const std::string records = file(
      "{\"key\": \"a\", \"value\": \"{\\\"n\\\": 5}\"}\n"
      "\n"
      "{\"key\": \"a\", \"value\": \"{\\\"n\\\": 6}\"}\n"
      "{\"key\": \"a\", \"value\": {\"base64\": \"/w==\"}}\n");
  EXPECT_EQ(check("value.n = 5", records).out, "yes\nno\nunknown\n");
  EXPECT_THAT(check("value.n = 5", records, true).out, HasSubstr(R"("records": [
    "yes",
    "no",
    "unknown"
  ])"));
  const Outcome wrong = check("key exists", file("{}\n{\"key\": 1}\n"));
  EXPECT_THAT(wrong.status.text(), HasSubstr("line 2: key: expected a string"));
  EXPECT_EQ(check("key exists", "/no/such/file").status.code(), StatusCode::not_found);
}

}  // namespace
}  // namespace sluice::cli
