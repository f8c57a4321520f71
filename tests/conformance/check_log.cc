// SPDX-License-Identifier: Apache-2.0
// create_log, delete_log, list_logs, open and close.
#include <algorithm>
#include <functional>

#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

void start_offset(Context& context) {
  for (const int64_t start : {int64_t{0}, int64_t{1}, int64_t{123'456'789'012}}) {
    Descriptor descriptor = context.descriptor();
    descriptor.start_offset = start;
    context.storage().must_create(descriptor);
    Log log(context.storage(), descriptor);
    const BoundsAnswer bounds = log.bounds();
    expect_status(SLUICE_OK, bounds, "bounds");
    require(bounds.start == start && bounds.end == start, "a new log with start offset {} goes from {} to {}", start,
            bounds.start, bounds.end);
    require(bounds.token == 0, "a new log holds the token {}", bounds.token);
    expect_status(SLUICE_CONFLICT, log.append(0, start + 1, make_unit(start + 1, 1)),
                  "append above the start of an empty log");
    log.must_append(0, start, make_unit(start, 1));
  }
}

void idempotent(Context& context) {
  Storage& storage = context.storage();
  Descriptor descriptor = context.descriptor();
  storage.must_create(descriptor);
  storage.must_create(descriptor);
  Log log(storage, descriptor);
  const Unit unit = make_unit(0, 2);
  log.must_append(0, 0, unit);
  descriptor.partition_count = 7;
  expect_status(SLUICE_OK, storage.create_log(descriptor), "create_log with a grown partition count");
  descriptor.settings = {{"retention.ms", "1000"}};
  expect_status(SLUICE_OK, storage.create_log(descriptor), "create_log with other settings");
  verify_content(log, unit, 0, 2);
}

void exists(Context& context) {
  Storage& storage = context.storage();
  const Descriptor descriptor = context.descriptor();
  storage.must_create(descriptor);
  const std::pair<const char*, std::function<void(Descriptor&)>> changes[] = {
      {"flags", [](Descriptor& changed) { changed.flags = SLUICE_LOG_SEVERAL_WRITERS; }},
      {"start_offset", [](Descriptor& changed) { changed.start_offset = 5; }},
      {"topic", [](Descriptor& changed) { changed.topic += "x"; }},
      {"topic_id", [](Descriptor& changed) { changed.topic_id[0] ^= 1; }},
      {"partition", [](Descriptor& changed) { changed.partition = 1; }},
  };
  for (const auto& [what, change] : changes) {
    Descriptor changed = descriptor;
    change(changed);
    const Answer answer = storage.create_log(changed);
    require(answer.status == SLUICE_EXISTS, "create_log of the same id with another {} answered {}", what,
            status_text(answer.status));
  }
  expect_status(SLUICE_OK, storage.create_log(descriptor), "create_log with the first descriptor again");
}

void flags(Context& context) {
  Descriptor descriptor = context.descriptor();
  descriptor.flags = 0x8000;
  expect_status(SLUICE_INVALID, context.storage().create_log(descriptor), "create_log with an unknown flag");
  descriptor.flags = 0;
  Log log(context.storage(), descriptor);
  expect_status(SLUICE_NOT_FOUND, log.bounds(), "bounds of a log that was refused");
  descriptor.flags = SLUICE_LOG_SYNC;
  context.storage().must_create(descriptor);
  log.must_append(0, 0, make_unit(0, 2));
}

// Every call on a handle of a log that is not there.
void expect_not_found(Log& log, const char* when) {
  const auto expect = [&](const Answer& answer, const char* what) {
    require(answer.status == SLUICE_NOT_FOUND, "{} {} answered {}", what, when, status_text(answer.status));
  };
  for (const uint64_t token : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}}) {
    expect(log.append(token, 0, make_unit(0, 1)), "append");
    expect(log.trim(token, 0), "trim");
    expect(log.fence(token), "fence");
    expect(log.save(token, "name", "value"), "save");
  }
  expect(log.read(0), "read");
  expect(log.bounds(), "bounds");
  expect(log.locate(0), "locate");
  expect(log.load("name"), "load");
}

void not_found(Context& context) {
  Log log(context.storage(), context.descriptor());
  expect_not_found(log, "on a log that never was");
}

void open_before_create(Context& context) {
  const Descriptor descriptor = context.descriptor();
  Log before(context.storage(), descriptor);
  expect_status(SLUICE_NOT_FOUND, before.bounds(), "bounds before create_log");
  context.storage().must_create(descriptor);
  const Unit unit = make_unit(0, 3);
  before.must_append(0, 0, unit);
  verify_content(before, unit, 0, 3);
}

void several_handles(Context& context) {
  const Descriptor descriptor = context.descriptor();
  context.storage().must_create(descriptor);
  Log first(context.storage(), descriptor);
  Log second(context.storage(), descriptor);
  Unit all = make_unit(0, 2);
  first.must_append(0, 0, all);
  verify_content(second, all, 0, 2);
  const Unit more = make_unit(2, 2);
  second.must_append(0, 2, more);
  all.insert(all.end(), more.begin(), more.end());
  first.close();
  verify_content(second, all, 0, 4);
}

void delete_idempotent(Context& context) {
  Storage& storage = context.storage();
  const Descriptor descriptor = context.descriptor();
  expect_status(SLUICE_OK, storage.delete_log(descriptor), "delete_log of a log that never was");
  storage.must_create(descriptor);
  expect_status(SLUICE_OK, storage.delete_log(descriptor), "delete_log");
  expect_status(SLUICE_OK, storage.delete_log(descriptor), "delete_log of a log that is gone");
}

void delete_removes(Context& context) {
  Storage& storage = context.storage();
  const Descriptor descriptor = context.descriptor();
  const Descriptor neighbour = context.descriptor();
  storage.must_create(descriptor);
  storage.must_create(neighbour);
  Log log(storage, descriptor);
  Log other(storage, neighbour);
  const Unit unit = make_unit(0, 4);
  log.must_append(0, 0, unit);
  other.must_append(0, 0, unit);
  expect_status(SLUICE_OK, log.fence(9), "fence");
  expect_status(SLUICE_OK, log.save(9, "name", "value"), "save");
  expect_status(SLUICE_OK, storage.delete_log(descriptor), "delete_log");
  expect_not_found(log, "on a deleted log");
  Log reopened(storage, descriptor);
  expect_not_found(reopened, "on a handle opened after delete_log");
  verify_content(other, unit, 0, 4);
}

void list(Context& context) {
  Storage& storage = context.storage();
  std::vector<Descriptor> made;
  for (int i = 0; i < 20; ++i) {
    made.push_back(context.descriptor());
    made.back().partition = i;
    storage.must_create(made.back());
  }
  const auto find = [](const ListAnswer& answer, const Id& id) {
    return std::find_if(answer.entries.begin(), answer.entries.end(),
                        [&](const ListEntry& entry) { return entry.id == id; });
  };
  expect_status(SLUICE_OK, storage.delete_log(made[3]), "delete_log");
  const ListAnswer answer = storage.list_logs();
  expect_status(SLUICE_OK, answer, "list_logs");
  for (size_t i = 0; i < made.size(); ++i) {
    const auto entry = find(answer, made[i].id);
    if (i == 3) {
      require(entry == answer.entries.end(), "list_logs shows a deleted log");
      continue;
    }
    require(entry != answer.entries.end(), "list_logs does not show log {} of {}", i, made.size());
    require(entry->partition == made[i].partition, "list_logs gives partition {} for {}", entry->partition,
            made[i].partition);
    require(entry->topic.empty() || entry->topic == made[i].topic, "list_logs gives topic \"{}\"", entry->topic);
    require((entry->flags & ~SLUICE_ENTRY_FOREIGN) == 0 && entry->flags == 0, "list_logs gives flags {}", entry->flags);
  }
}

constexpr Check kChecks[] = {
    {"create_log.start_offset", "start_offset is the start and end of the new, empty log; new logs hold the token 0.",
     &start_offset},
    {"create_log.idempotent",
     "Idempotent: an equal one that is there is OK; equal means all but partition_count and settings.", &idempotent},
    {"create_log.exists", "The same id with another descriptor is EXISTS.", &exists},
    {"create_log.flags", "An unknown flag is refused with SLUICE_INVALID; SYNC is known.", &flags},
    {"open.not_found",
     "That the log exists is not checked by open: if not, every call on it answers NOT_FOUND, never FENCED.",
     &not_found},
    {"open.before_create", "A handle that was opened before the log was made works once it is there.",
     &open_before_create},
    {"open.several", "Several handles on one log may be open.", &several_handles},
    {"delete_log.idempotent", "delete_log of an absent log is OK.", &delete_idempotent},
    {"delete_log.removes", "Removes the log, its saved values and its token; handles opened before answer NOT_FOUND.",
     &delete_removes},
    {"list_logs.whole", "Every log that is wholly there, in any order, and no other.", &list},
};

}  // namespace

std::span<const Check> log_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
