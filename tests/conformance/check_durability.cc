// SPDX-License-Identifier: Apache-2.0
// What survives, where the adapter claims so.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

struct Stored {
  explicit Stored(Context& context) {
    Storage& storage = context.storage();
    for (int i = 0; i < 8; ++i) {
      Descriptor descriptor = context.descriptor();
      descriptor.start_offset = i * 1'000;
      descriptor.partition = i;
      if (i == 7) descriptor.flags = SLUICE_LOG_SYNC;
      storage.must_create(descriptor);
      Log log(storage, descriptor);
      int64_t end = descriptor.start_offset;
      expect_status(SLUICE_OK, log.fence(token), "fence");
      std::vector<Batch> all;
      for (int k = 0; k < 10 + i; ++k) {
        const Unit unit = make_unit(end + k % 2, 1 + static_cast<size_t>(k % 3), k == 5 ? 200'000 : 500, 1'000 * k);
        end = log.must_append(token, end, unit);
        all.insert(all.end(), unit.begin(), unit.end());
      }
      expect_status(SLUICE_OK, log.save(token, "value", "value of " + std::to_string(i)), "save");
      expect_status(SLUICE_OK, log.save(token, "gone", "x"), "save");
      expect_status(SLUICE_OK, log.save(token, "gone", ""), "save");
      int64_t start = descriptor.start_offset;
      if (i % 2 == 1) {
        start = all[4].base;
        expect_status(SLUICE_OK, log.trim(token, start), "trim");
        all.erase(all.begin(), all.begin() + 4);
      }
      descriptors.push_back(descriptor);
      batches.push_back(std::move(all));
      starts.push_back(start);
      ends.push_back(end);
    }
    deleted = context.descriptor();
    storage.must_create(deleted);
    expect_status(SLUICE_OK, storage.delete_log(deleted), "delete_log");
    // A log that was trimmed to its end keeps its end.
    empty = context.descriptor();
    storage.must_create(empty);
    Log log(storage, empty);
    log.must_append(0, 0, make_unit(0, 50));
    expect_status(SLUICE_OK, log.trim(0, 50), "trim");
  }

  void verify(Storage& storage, uint64_t expected_token) {
    const ListAnswer list = storage.list_logs();
    expect_status(SLUICE_OK, list, "list_logs");
    const auto listed = [&](const Id& id) {
      return std::any_of(list.entries.begin(), list.entries.end(),
                         [&](const ListEntry& entry) { return entry.id == id; });
    };
    require(!listed(deleted.id), "a deleted log is back after a restart");
    for (size_t i = 0; i < descriptors.size(); ++i) {
      require(listed(descriptors[i].id), "log {} is gone after a restart", i);
      Log log(storage, descriptors[i]);
      verify_content(log, batches[i], starts[i], ends[i]);
      const BoundsAnswer bounds = log.bounds();
      require(bounds.token == expected_token, "the token in force is {} after a restart, it was {}", bounds.token,
              expected_token);
      const LoadAnswer value = log.load("value");
      require(value.ok() && value.present && value.value == "value of " + std::to_string(i),
              "a saved value is lost after a restart");
      require(!log.load("gone").present, "a removed value is back after a restart");
      const LocateAnswer located = log.locate(9'000);
      const auto found = std::find_if(batches[i].begin(), batches[i].end(),
                                      [](const Batch& batch) { return batch.timestamp >= 9'000; });
      require(located.ok() && located.offset == (found != batches[i].end() ? found->base : ends[i]),
              "locate gives {} after a restart", located.offset);
      expect_status(SLUICE_FENCED, log.append(expected_token - 1, ends[i], make_unit(ends[i], 1)),
                    "an append with an old token after a restart");
      expect_status(SLUICE_OK, storage.create_log(descriptors[i]), "create_log of a log that is there");
    }
    Log log(storage, empty);
    const BoundsAnswer bounds = log.bounds();
    require(bounds.ok() && bounds.end == 50, "a log that was trimmed to its end 50 ends at {} after a restart",
            bounds.end);
  }

  // An engine that may have lost something wants a fence first; a fence is always allowed.
  void go_on(Storage& storage, uint64_t next_token) {
    for (size_t i = 0; i < descriptors.size(); ++i) {
      Log log(storage, descriptors[i]);
      const FenceAnswer fence = log.fence(next_token);
      expect_status(SLUICE_OK, fence, "fence after a restart");
      require(fence.end == ends[i], "fence after a restart says the log ends at {}, not {}", fence.end, ends[i]);
      const Unit unit = make_unit(ends[i], 2);
      ends[i] = log.must_append(next_token, ends[i], unit);
      batches[i].insert(batches[i].end(), unit.begin(), unit.end());
    }
  }

  const uint64_t token = 5;
  std::vector<Descriptor> descriptors;
  std::vector<std::vector<Batch>> batches;
  std::vector<int64_t> starts;
  std::vector<int64_t> ends;
  Descriptor deleted;
  Descriptor empty;
};

void restart(Context& context) {
  context.need_capability(SLUICE_CAP_DURABLE, "DURABLE");
  Id cluster = context.descriptor().id;
  expect_status(SLUICE_OK, context.storage().bind(cluster), "bind");
  Stored stored(context);
  uint64_t token = stored.token;
  for (int round = 0; round < 3; ++round) {
    if (round % 2 == 0) {
      context.drop_storage();
    } else {
      expect_status(SLUICE_OK, context.storage().stop(), "stop");
      context.storage().must_start();
    }
    Storage& storage = context.storage();
    Id id = context.descriptor().id;
    expect_status(SLUICE_OK, storage.bind(id), "bind");
    require(id == cluster, "the cluster id is lost after a restart");
    stored.verify(storage, token);
    stored.go_on(storage, ++token);
  }
}

constexpr int64_t kKillUnits = 300;
constexpr int kKillRounds = 3;

Unit kill_unit(int64_t at) {
  return make_unit(at, 2, at % 50 == 0 ? 90'000 : 700);
}

// In the child: appends for ever, telling each acknowledged end, until it is killed.
[[noreturn]] void append_until_killed(Context& context, const Descriptor& descriptor, int pipe) {
  try {
    Storage& storage = context.storage();
    storage.must_create(descriptor);
    Log log(storage, descriptor);
    const uint64_t token = log.bounds().token + 1;
    int64_t end = log.fence(token).end;
    for (;;) {
      end = log.must_append(token, end, kill_unit(end));
      if (write(pipe, &end, sizeof end) != sizeof end) break;
    }
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "in the process that is to be killed: %s\n", failure.what());
  }
  _exit(1);
}

void killed(Context& context) {
  context.need_capability(SLUICE_CAP_DURABLE, "DURABLE");
  context.drop_storage();
  const Descriptor descriptor = context.descriptor();
  int64_t acknowledged = 0;
  for (int round = 0; round < kKillRounds; ++round) {
    int ends[2];
    require(pipe(ends) == 0, "no pipe: {}", std::strerror(errno));
    const pid_t child = fork();
    require(child >= 0, "no process: {}", std::strerror(errno));
    if (child == 0) {
      close(ends[0]);
      append_until_killed(context, descriptor, ends[1]);
    }
    close(ends[1]);
    const int64_t until = acknowledged + 2 * kKillUnits;
    int64_t end = 0;
    while (acknowledged < until && read(ends[0], &end, sizeof end) == sizeof end) acknowledged = end;
    kill(child, SIGKILL);
    while (read(ends[0], &end, sizeof end) == sizeof end) acknowledged = end;
    close(ends[0]);
    waitpid(child, nullptr, 0);
    require(acknowledged >= until, "the process that should be killed ended by itself");

    Log log(context.storage(), descriptor);
    const FenceAnswer fence = log.fence(log.bounds().token + 1);
    expect_status(SLUICE_OK, fence, "fence after the kill");
    require(fence.end >= acknowledged, "the end is {} after kill -9, {} was acknowledged: data is lost", fence.end,
            acknowledged);
    std::vector<Batch> all;
    for (int64_t at = 0; at < fence.end; at += 2) {
      const Unit unit = kill_unit(at);
      all.insert(all.end(), unit.begin(), unit.end());
    }
    require(static_cast<int64_t>(all.size()) == fence.end, "half a unit is there after kill -9: the log ends at {}",
            fence.end);
    verify_content(log, all, 0, fence.end);
    acknowledged = fence.end;
    log.close();
    context.drop_storage();
  }
}

void shared(Context& context) {
  context.need_capability(SLUICE_CAP_SHARED, "SHARED");
  const auto other = context.another();
  other->must_start();
  const Descriptor descriptor = context.descriptor();
  context.storage().must_create(descriptor);
  Log here(context.storage(), descriptor);
  Log there(*other, descriptor);
  const Unit unit = make_unit(0, 3);
  here.must_append(0, 0, unit);
  verify_content(there, unit, 0, 3);
  expect_status(SLUICE_OK, there.fence(1), "fence");
  expect_status(SLUICE_FENCED, here.append(0, 3, make_unit(3, 1)),
                "append of a writer that another process fenced off");
  there.must_append(1, 3, make_unit(3, 1));
}

constexpr Check kChecks[] = {
    {"durable.restart",
     "DURABLE: logs, content, starts and ends, tokens, saved values, deletions and the cluster id survive stop and "
     "start.",
     &restart},
    {"durable.kill", "DURABLE: an acknowledged append survives kill -9, units are whole, and the log goes on.",
     &killed},
    {"shared.two", "SHARED: several processes may use the storage at once, and fence each other.", &shared},
};

}  // namespace

std::span<const Check> durability_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
