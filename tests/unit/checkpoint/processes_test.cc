// SPDX-License-Identifier: Apache-2.0
// Several processes on one directory.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <set>
#include <vector>

#include "sluice/checkpoint.hpp"
#include "support.hpp"

namespace sluice {
namespace {

constexpr int kProcesses = 4;
constexpr int kCommits = 1000;

enum Verdict { kFine = 0, kNoStore = 2, kWrongId = 3, kWrongError = 4, kCannotTell = 5 };

// Tells each id that was committed to `out`.
int commit_all(const std::string& directory, int process, int out) {
  CheckpointSettings settings;
  settings.directory = directory;
  settings.lock_timeout_ms = 60'000;
  const auto store = CheckpointStore::open(settings);
  if (!store) return kNoStore;
  for (int i = 0; i < kCommits; ++i) {
    const Result<Checkpoint> newest = (*store)->newest("g");
    if (!newest && newest.error().code() != StatusCode::not_found) return kWrongError;
    const uint64_t after = newest ? newest->id : 0;
    const Result<uint64_t> id = (*store)->commit("g", after, "process " + std::to_string(process));
    if (!id && id.error().code() != StatusCode::conflict) return kWrongError;
    if (!id) continue;
    if (*id != after + 1) return kWrongId;
    if (::write(out, &*id, sizeof *id) != sizeof *id) return kCannotTell;
  }
  return kFine;
}

std::vector<uint64_t> read_ids(int in) {
  std::vector<uint64_t> ids;
  for (uint64_t id = 0; ::read(in, &id, sizeof id) == sizeof id;) ids.push_back(id);
  return ids;
}

TEST(CheckpointProcesses, S05_FourProcessesAreSafeFromEachOther) {
  const TemporaryDirectory directory;
  std::array<pid_t, kProcesses> children{};
  std::array<int, kProcesses> told{};
  for (int process = 0; process < kProcesses; ++process) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    children[process] = ::fork();
    ASSERT_GE(children[process], 0);
    if (children[process] == 0) ::_exit(commit_all(directory.path(), process, ends[1]));
    ::close(ends[1]);
    told[process] = ends[0];
  }
  std::set<uint64_t> all;
  size_t committed = 0;
  int last_writer = -1;
  for (int process = 0; process < kProcesses; ++process) {
    const std::vector<uint64_t> ids = read_ids(told[process]);
    ::close(told[process]);
    int status = 0;
    ASSERT_EQ(::waitpid(children[process], &status, 0), children[process]);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == kFine) << "process " << process << ": " << status;
    committed += ids.size();
    if (!ids.empty() && (all.empty() || ids.back() > *all.rbegin())) last_writer = process;
    all.insert(ids.begin(), ids.end());
  }
  EXPECT_EQ(all.size(), committed) << "an id was given twice";
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(*all.rbegin(), committed) << "each commit follows the one before";
  const auto store = open_store(directory.path());
  const Result<Checkpoint> newest = store->newest("g");
  ASSERT_TRUE(newest);
  EXPECT_EQ(newest->id, committed);
  EXPECT_EQ(newest->cursor, "process " + std::to_string(last_writer));
  EXPECT_EQ(store->list("g")->damaged.size(), 0U);
}

TEST(CheckpointProcesses, WhatAKilledProcessLeftIsWrittenOver) {
  const TemporaryDirectory directory;
  const auto store = open_store(directory.path());
  ASSERT_TRUE(store->commit("g", 0, "one"));
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    CheckpointSettings settings;
    settings.directory = directory.path();
    // The clock is asked while the lock is held: the process dies with it, a temporary file beside it.
    settings.now_ns = [&]() -> int64_t {
      std::filesystem::copy_file(directory.path() + "/g/lock", directory.path() + "/g/next.tmp");
      ::_exit(0);
    };
    const auto dying = CheckpointStore::open(settings);
    if (dying) static_cast<void>((*dying)->commit("g", 1, "never"));
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(store->newest("g")->cursor, "one");
  EXPECT_EQ(store->commit("g", 1, "two").value_or(0), 2U);
  EXPECT_EQ(store->newest("g")->cursor, "two");
}

}  // namespace
}  // namespace sluice
