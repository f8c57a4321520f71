// SPDX-License-Identifier: Apache-2.0
// NATIVE: topics of the engine, those that Sluice makes and those that it finds.
#include <dirent.h>

#include <algorithm>
#include <cstdlib>

#include "conformance/native_world.hpp"

namespace sluice::conformance {
namespace {

size_t entries_of(const char* folder) {
  size_t count = 0;
  DIR* directory = opendir(folder);
  require(directory != nullptr, "{} cannot be looked at", folder);
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

Descriptor adopting(Context& context, const std::string& native_name) {
  Descriptor descriptor = context.descriptor();
  descriptor.settings = {{"sluice.native.name", native_name}};
  return descriptor;
}

void created_again(Context& context) {
  FreshNative log(context);
  const auto placed = log->must_append(numbered("kept", 3));
  Descriptor again = log.descriptor;
  again.settings.emplace_back("some.other", "setting");
  expect_status(SLUICE_OK, context.storage().create_log(again), "create_log of a log that is there");
  expect_records(placed, log->read_all(placed.front().offset), "after a second create_log");
}

void created_at_once(Context& context) {
  const Descriptor descriptor = context.descriptor();
  Storage& storage = context.storage();
  std::vector<std::shared_ptr<Call>> calls;
  for (int i = 0; i < 16; ++i) {
    auto call = context.call("create_log");
    const auto* raw = descriptor.in(*call);
    call->start([&](sluice_ticket* ticket) { return storage.api().create_log(storage.raw(), ticket, raw); });
    calls.push_back(std::move(call));
  }
  for (auto& call : calls) {
    const sluice_status status = call->wait();
    require(status == SLUICE_OK, "one of 16 calls that make one log answered {}: {}", status_text(status),
            call->text());
    call->retire();
  }
  NativeLog log(storage, descriptor);
  const auto placed = log.must_append(numbered("one", 2));
  expect_records(placed, log.read_all(placed.front().offset), "a log that was made 16 times at once");
}

void partitions(Context& context) {
  constexpr int32_t kCount = 3;
  Storage& storage = context.storage();
  Descriptor descriptor = context.descriptor();
  descriptor.partition_count = kCount;
  std::vector<Id> ids;
  for (int32_t i = 0; i < kCount + 2; ++i) ids.push_back(context.descriptor().id);
  const auto partition = [&](int32_t index, int32_t count) {
    Descriptor one = descriptor;
    one.partition = index;
    one.partition_count = count;
    one.id = ids[static_cast<size_t>(index)];
    return one;
  };
  for (int32_t i = 0; i < kCount; ++i) storage.must_create(partition(i, kCount));
  std::vector<std::vector<PlacedRecord>> placed;
  for (int32_t i = 0; i < kCount; ++i) {
    NativeLog log(storage, partition(i, kCount));
    placed.push_back(log.must_append(numbered(fmt::format("p{}", i), static_cast<size_t>(2 + i))));
  }
  // The topic grows.
  for (int32_t i = kCount; i < kCount + 2; ++i) {
    storage.must_create(partition(i, kCount + 2));
    NativeLog log(storage, partition(i, kCount + 2));
    placed.push_back(log.must_append(numbered(fmt::format("p{}", i), 2)));
  }
  for (int32_t i = 0; i < kCount + 2; ++i) {
    storage.must_create(partition(i, kCount + 2));
    NativeLog log(storage, partition(i, kCount + 2));
    expect_records(placed[static_cast<size_t>(i)], log.read_all(placed[static_cast<size_t>(i)].front().offset),
                   "partitions of one topic");
  }
}

void not_found(Context& context) {
  const Descriptor descriptor = context.descriptor();
  NativeLog log(context.storage(), descriptor);
  expect_status(SLUICE_NOT_FOUND, log.append({make_native_batch(numbered("a", 1))}),
                "append to a log that is not there");
  expect_status(SLUICE_NOT_FOUND, log.read(0), "read of a log that is not there");
  expect_status(SLUICE_NOT_FOUND, log.raw().bounds(), "bounds of a log that is not there");
  expect_status(SLUICE_NOT_FOUND, log.raw().locate(1), "locate in a log that is not there");
  const Answer trimmed = log.raw().trim(0, 1);
  require(trimmed.status == SLUICE_NOT_FOUND || trimmed.status == SLUICE_UNSUPPORTED,
          "trim of a log that is not there answered {}", status_text(trimmed.status));
  // A handle that was opened before works once it is there.
  context.storage().must_create(descriptor);
  const auto placed = log.must_append(numbered("a", 1));
  expect_records(placed, log.read_all(placed.front().offset), "a log that was opened before it was made");
}

void deleted(Context& context) {
  FreshNative log(context);
  Storage& storage = context.storage();
  log->must_append(numbered("gone", 3));
  expect_status(SLUICE_OK, storage.delete_log(log.descriptor), "delete_log");
  expect_status(SLUICE_OK, storage.delete_log(log.descriptor), "delete_log of a log that is gone");
  expect_status(SLUICE_NOT_FOUND, log->append({make_native_batch(numbered("a", 1))}), "append after delete_log");
  expect_status(SLUICE_NOT_FOUND, log->read(0), "read after delete_log");
  expect_status(SLUICE_NOT_FOUND, log->raw().bounds(), "bounds after delete_log");
  expect_status(SLUICE_OK, storage.delete_log(context.descriptor()), "delete_log of a log that never was");
}

void adopted(Context& context) {
  FreshNative made(context);
  Storage& storage = context.storage();
  const std::string name = native_name_of(context, made.descriptor);
  const bool own = name == made.descriptor.topic;
  const Descriptor descriptor = adopting(context, name);
  storage.must_create(descriptor);
  storage.must_create(descriptor);
  NativeLog log(storage, descriptor);
  const auto placed = log.must_append(numbered("adopted", 5));
  expect_records(placed, log.read_all(placed.front().offset), "an adopted log");
  if (own) {
    expect_records(placed, made->read_all(placed.front().offset), "the engine's own, seen under both names");
    const auto more = made->must_append(numbered("own", 2));
    expect_records(more, log.read_all(more.front().offset), "what the engine's own got, seen under the adopted name");
  }
  // Deleting only unties.
  expect_status(SLUICE_OK, storage.delete_log(descriptor), "delete_log of an adopted log");
  storage.must_create(descriptor);
  const auto still = NativeLog(storage, descriptor).read_all(placed.front().offset);
  require(still.size() >= placed.size() && still.front().record == placed.front().record,
          "an adopted log was untied, and what it held is gone");
  expect_status(SLUICE_OK, storage.delete_log(descriptor), "delete_log of an adopted log");

  const Answer absent = storage.create_log(adopting(context, "no-such-native-name"));
  expect_status(SLUICE_NOT_FOUND, absent, "create_log that adopts what is not there");
  require(!absent.text.empty(), "NOT_FOUND without a reason");
}

void listed(Context& context) {
  FreshNative log(context);
  const ListAnswer list = context.storage().list_logs();
  expect_status(SLUICE_OK, list, "list_logs");
  require(!list.entries.empty(), "list_logs shows nothing, though a log was made");
  const Id zero{};
  for (const ListEntry& entry : list.entries) {
    const bool foreign = (entry.flags & SLUICE_ENTRY_FOREIGN) != 0;
    require((entry.flags & ~SLUICE_ENTRY_FOREIGN) == 0, "an entry has unknown flags {:#x}", entry.flags);
    require(foreign == (entry.id == zero), "an entry that is foreign has an id, or another has none");
    require(!foreign || !entry.topic.empty(), "a foreign entry has no name");
    require(entry.partition >= 0, "an entry has the partition {}", entry.partition);
  }
}

void unsupported(Context& context) {
  FreshNative log(context);
  Id id = context.descriptor().id;
  expect_status(SLUICE_UNSUPPORTED, context.storage().bind(id), "bind");
  expect_status(SLUICE_UNSUPPORTED, log->raw().fence(1), "fence");
  expect_status(SLUICE_UNSUPPORTED, log->raw().save(0, "name", "value"), "save");
  expect_status(SLUICE_UNSUPPORTED, log->raw().load("name"), "load");
  Descriptor internal = context.descriptor();
  internal.flags = SLUICE_LOG_SEVERAL_WRITERS;
  expect_status(SLUICE_UNSUPPORTED, context.storage().create_log(internal), "create_log with SEVERAL_WRITERS");
}

void open_cost(Context& context) {
  Storage& storage = context.storage();
  FreshNative log(context);
  log->must_append(numbered("a", 1));
  log->read_all(0);
  const size_t files = entries_of("/proc/self/fd");
  const size_t threads = entries_of("/proc/self/task");
  std::vector<std::unique_ptr<Log>> handles;
  for (int i = 0; i < 1'000; ++i) handles.push_back(std::make_unique<Log>(storage, context.descriptor()));
  require(entries_of("/proc/self/fd") < files + 20, "1,000 handles took {} file descriptors",
          entries_of("/proc/self/fd") - files);
  require(entries_of("/proc/self/task") < threads + 20, "1,000 handles took {} threads",
          entries_of("/proc/self/task") - threads);
}

std::string filled(std::string command, const std::string& name) {
  constexpr std::string_view kName = "{name}";
  for (size_t at = command.find(kName); at != std::string::npos; at = command.find(kName, at)) {
    command.replace(at, kName.size(), name);
  }
  return command;
}

void run_command(const std::string& command) {
  const int status = std::system(command.c_str());
  require(status == 0, "\"{}\" ended with {}", command, status);
}

void foreign_writer(Context& context) {
  if (context.options().native_write.empty()) throw Inapplicable("no command that writes an entry was given");
  FreshNative made(context);
  Storage& storage = context.storage();
  const std::string name = native_name_of(context, made.descriptor);
  const Descriptor descriptor = adopting(context, name);
  storage.must_create(descriptor);
  NativeLog log(storage, descriptor);
  const auto ours = log.must_append(numbered("ours", 2));
  const int64_t end = log.must_bounds().end;
  auto watch = log.send_watch(end);
  run_command(filled(context.options().native_write, name));
  const sluice_status woken = watch->wait();
  require(woken == SLUICE_OK || woken == SLUICE_UNSUPPORTED, "a watch over a foreign entry answered {}: {}",
          status_text(woken), watch->text());
  watch->retire();
  const auto theirs = log.read_all(end);
  require(!theirs.empty(), "an entry that a foreign program wrote is not there");
  const auto again = log.read_all(end);
  expect_records(theirs, again, "foreign entries, read twice: their offsets stay");
  const auto more = log.must_append(numbered("more", 2));
  require(more.front().offset > theirs.back().offset, "an append landed at {}, before foreign entries",
          more.front().offset);
  auto all = ours;
  all.insert(all.end(), theirs.begin(), theirs.end());
  all.insert(all.end(), more.begin(), more.end());
  expect_records(all, log.read_all(ours.front().offset), "ours and theirs");
  expect_status(SLUICE_OK, storage.delete_log(descriptor), "delete_log of an adopted log");
}

void damaged(Context& context) {
  if (context.options().native_damage.empty())
    throw Inapplicable("no command that writes an undecodable entry was given");
  FreshNative made(context);
  Storage& storage = context.storage();
  const std::string name = native_name_of(context, made.descriptor);
  const Descriptor descriptor = adopting(context, name);
  storage.must_create(descriptor);
  NativeLog log(storage, descriptor);
  auto wanted = log.must_append(numbered("before", 3));
  for (int i = 0; i < 3; ++i) run_command(filled(context.options().native_damage, name));
  const auto after = log.must_append(numbered("after", 3));
  wanted.insert(wanted.end(), after.begin(), after.end());
  for (const bool small : {false, true}) {
    std::vector<PlacedRecord> found;
    uint64_t skipped = 0;
    const int64_t end = log.must_bounds().end;
    for (int64_t offset = wanted.front().offset; offset < end;) {
      const NativeReadAnswer answer = log.must_read(offset, kNoLimit, small ? 1 : kNoMaximum);
      require(answer.next > offset, "undecodable entries wedge the reader at {}", offset);
      found.insert(found.end(), answer.records.begin(), answer.records.end());
      skipped += answer.skipped;
      offset = answer.next;
    }
    expect_records(wanted, found, "around undecodable entries");
    require(skipped >= 3, "{} undecodable entries were counted, there are 3 at least", skipped);
  }
  expect_status(SLUICE_OK, storage.delete_log(descriptor), "delete_log of an adopted log");
}

constexpr uint32_t kNative = SLUICE_KIND_NATIVE;
constexpr Check kChecks[] = {
    {"native.create_again", "Idempotent: an equal one that is there is OK.", &created_again, kNative},
    {"native.create_at_once", "B10: many calls at once that make one log make one log, and none of them fails.",
     &created_at_once, kNative},
    {"native.partitions", "Partitions of a topic are made one descriptor at a time; the topic may grow.", &partitions,
     kNative},
    {"native.not_found", "That the log exists is not checked by open: if not, every call on it answers NOT_FOUND.",
     &not_found, kNative},
    {"native.delete", "delete_log is idempotent; handles opened before answer NOT_FOUND.", &deleted, kNative},
    {"native.adopt", "\"sluice.native.name\" adopts what is there; absent: NOT_FOUND; deleting only unties.", &adopted,
     kNative},
    {"native.list", "Native topics that Sluice did not make are listed as foreign, without an id.", &listed, kNative},
    {"native.unsupported", "There is no bind, fence, save or load.", &unsupported, kNative},
    {"native.open_cost", "B13: A handle: no file descriptor, no thread.", &open_cost, kNative},
    {"native.foreign_writer", "Foreign programs write too: stable offsets, in order, and watches are woken.",
     &foreign_writer, kNative},
    {"native.damaged", "B04, B11: Undecodable entries are passed and counted; they neither wedge nor hide good ones.",
     &damaged, kNative},
};

}  // namespace

std::span<const Check> native_topic_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
