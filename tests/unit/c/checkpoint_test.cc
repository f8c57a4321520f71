// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

TEST(CheckpointFace, checkpoints_follow_each_other) {
  const Folder folder;
  Owned store;
  open_by(&sluice_checkpoints_open, fmt::format(R"({{"directory": "{}/c"}})", folder.path()), store);
  Failure failure;
  uint64_t id = 0;
  char cursor[16];
  uint64_t needed = 0;
  sluice_checkpoint about{};
  about.size = sizeof about;
  EXPECT_EQ(sluice_checkpoints_newest(store, "g", 1, &about, cursor, sizeof cursor, &needed, &failure),
            SLUICE_NOT_FOUND);
  ASSERT_EQ(sluice_checkpoints_commit(store, "g", 1, 0, "one", 3, nullptr, 0, &id, &failure), SLUICE_OK)
      << failure.text;
  EXPECT_EQ(sluice_checkpoints_commit(store, "g", 1, 0, "two", 3, nullptr, 0, nullptr, &failure), SLUICE_CONFLICT);
  const sluice_field metadata[] = {{span("host"), span("a")}, {span("host"), span("b")}};
  ASSERT_EQ(sluice_checkpoints_commit(store, "g", 1, id, "three", 5, metadata, 2, nullptr, &failure), SLUICE_OK)
      << failure.text;
  ASSERT_EQ(sluice_checkpoints_newest(store, "g", 1, &about, cursor, sizeof cursor, &needed, &failure), SLUICE_OK);
  EXPECT_EQ(std::string_view(cursor, needed), "three");
  EXPECT_EQ(about.id, id + 1);
  EXPECT_EQ(about.damaged_newer, 0U);
  EXPECT_GT(about.created_ns, 0);
  EXPECT_EQ(sluice_checkpoints_newest(store, "g", 1, nullptr, cursor, 2, &needed, &failure), SLUICE_TOO_LARGE);
  EXPECT_EQ(needed, 5U);

  const auto list = nlohmann::json::parse(text_from([&](char* buffer, uint64_t capacity, uint64_t* length) {
    return sluice_checkpoints_list(store, "g", 1, buffer, capacity, length, nullptr);
  }));
  ASSERT_EQ(list["checkpoints"].size(), 2U);
  EXPECT_EQ(list["checkpoints"][0]["cursor"], "three");
  EXPECT_EQ(list["checkpoints"][0]["metadata"], nlohmann::json::parse(R"([["host", "a"], ["host", "b"]])"));
  EXPECT_EQ(list["damaged"].size(), 0U);
  EXPECT_EQ(text_from([&](char* buffer, uint64_t capacity, uint64_t* length) {
              return sluice_checkpoints_groups(store, buffer, capacity, length, nullptr);
            }),
            R"(["g"])");
}

TEST(CheckpointFace, wrong_arguments_are_told) {
  const Folder folder;
  Owned store;
  open_by(&sluice_checkpoints_open, fmt::format(R"({{"directory": "{}/c"}})", folder.path()), store);
  Failure failure;
  const sluice_field null_value[] = {{span("a"), span("b")}, {span("c"), {nullptr, 0}}};
  EXPECT_EQ(sluice_checkpoints_commit(store, "g", 1, 0, "one", 3, null_value, 2, nullptr, &failure), SLUICE_INVALID);
  EXPECT_EQ(failure.index, 1);
  EXPECT_EQ(sluice_checkpoints_commit(store, "g", 1, 0, "one", 3, nullptr, 2, nullptr, &failure), SLUICE_INVALID);
  sluice_checkpoint about{};
  EXPECT_EQ(sluice_checkpoints_newest(store, "g", 1, &about, nullptr, 0, nullptr, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_checkpoints_commit(store, "", 0, 0, "one", 3, nullptr, 0, nullptr, &failure), SLUICE_INVALID);
}

}  // namespace
}  // namespace sluice::c::testing
