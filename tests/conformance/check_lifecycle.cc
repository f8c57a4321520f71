// SPDX-License-Identifier: Apache-2.0
// start, health, stop and bind.
#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

void check_condition(Context& context, const ConditionAnswer& answer) {
  const sluice_plugin& plugin = context.plugin();
  require(answer.kind == SLUICE_KIND_LOG || answer.kind == SLUICE_KIND_NATIVE, "the kind is {}", answer.kind);
  require((answer.kind & plugin.kinds) != 0, "the kind {} is not among those of the entry", answer.kind);
  require((answer.capabilities & ~plugin.capabilities) == 0, "capabilities {:#x} are more than the entry's {:#x}",
          answer.capabilities, plugin.capabilities);
  require(!answer.server.empty(), "`server` is empty");
}

void condition(Context& context) {
  Storage& storage = context.storage();
  check_condition(context, context.condition());
  const ConditionAnswer health = storage.health();
  expect_status(SLUICE_OK, health, "health");
  check_condition(context, health);
  require(health.kind == context.condition().kind, "health reports another kind than start");
  require(health.capabilities == context.condition().capabilities, "health reports other capabilities than start");
}

void start_again(Context& context) {
  Storage& storage = context.storage();
  for (int round = 0; round < 3; ++round) {
    expect_status(SLUICE_OK, storage.stop(), "stop");
    storage.must_start();
    const Descriptor descriptor = context.descriptor();
    storage.must_create(descriptor);
    Log log(storage, descriptor);
    const Unit unit = make_unit(0, 3);
    log.must_append(0, 0, unit);
    verify_content(log, unit, 0, 3);
  }
}

void stop_again(Context& context) {
  Storage& storage = context.storage();
  expect_status(SLUICE_OK, storage.stop(), "stop");
  const Answer again = storage.stop();
  require(again.status == SLUICE_OK || again.status == SLUICE_INVALID, "a second stop answered {}",
          status_text(again.status));
  storage.must_start();
}

void stop_completes(Context& context) {
  Storage& storage = context.storage();
  const size_t size = context.unit_bytes(size_t{256} << 10);
  std::vector<std::unique_ptr<Log>> logs;
  std::vector<SentAppend> sent;
  for (int i = 0; i < 16; ++i) {
    const Descriptor descriptor = context.descriptor();
    storage.must_create(descriptor);
    logs.push_back(std::make_unique<Log>(storage, descriptor));
  }
  for (auto& log : logs) sent.push_back(log->send(0, 0, make_unit(0, 1, size)));
  expect_status(SLUICE_OK, storage.stop(), "stop");
  require(context.book().unanswered() == 0, "stop returned OK with {} calls unanswered", context.book().unanswered());
  for (auto& append : sent) {
    const AppendAnswer answer = append.wait();
    require(answer.ok() || answer.status == SLUICE_UNAVAILABLE || answer.status == SLUICE_UNKNOWN,
            "an append under way at stop answered {}", status_text(answer.status));
  }
}

void bind(Context& context) {
  Storage& storage = context.storage();
  Id first = context.descriptor().id;
  const Id wanted = first;
  expect_status(SLUICE_OK, storage.bind(first), "bind");
  if (first != wanted) throw Inapplicable("the storage is tied to a cluster already");
  Id second = context.descriptor().id;
  expect_status(SLUICE_OK, storage.bind(second), "bind of a tied storage");
  require(second == first, "bind of a tied storage did not answer the id that it is tied to");
  Id again = first;
  expect_status(SLUICE_OK, storage.bind(again), "bind with the same id");
  require(again == first, "bind with the same id answered another");
}

void bind_flags(Context& context) {
  Id id = context.descriptor().id;
  expect_status(SLUICE_INVALID, context.storage().bind(id, 0x80), "bind with an unknown flag");
}

void bind_replace(Context& context) {
  Storage& storage = context.storage();
  const ListAnswer list = storage.list_logs();
  expect_status(SLUICE_OK, list, "list_logs");
  if (!list.entries.empty()) throw Inapplicable("the storage holds other logs");
  Id first = context.descriptor().id;
  expect_status(SLUICE_OK, storage.bind(first), "bind");
  const Descriptor descriptor = context.descriptor();
  storage.must_create(descriptor);
  Id other = context.descriptor().id;
  const Id wanted = other;
  expect_status(SLUICE_EXISTS, storage.bind(other, SLUICE_BIND_REPLACE), "BIND_REPLACE of a storage with a log");
  Id still = wanted;
  expect_status(SLUICE_OK, storage.bind(still), "bind");
  require(still == first, "a refused BIND_REPLACE changed the id");
  expect_status(SLUICE_OK, storage.delete_log(descriptor), "delete_log");
  other = wanted;
  expect_status(SLUICE_OK, storage.bind(other, SLUICE_BIND_REPLACE), "BIND_REPLACE of an emptied storage");
  require(other == wanted, "BIND_REPLACE of an emptied storage kept the old id");
  Id asked = first;
  expect_status(SLUICE_OK, storage.bind(asked), "bind");
  require(asked == wanted, "after BIND_REPLACE the storage is not tied to the new id");
}

void flush(Context& context) {
  Storage& storage = context.storage();
  for (int i = 0; i < 100; ++i) storage.api().flush(storage.raw());
}

constexpr uint32_t kAnyKind = SLUICE_KIND_LOG | SLUICE_KIND_NATIVE;
constexpr Check kChecks[] = {
    {"start.condition",
     "start reports what holds now: a kind of the entry's, capabilities at most the entry's; health repeats it.",
     &condition, kAnyKind},
    {"start.again", "start may be called again after stop.", &start_again},
    {"stop.again", "B16: stop may be called again.", &stop_again, kAnyKind},
    {"stop.completes_tickets", "B16: stop completes every ticket.", &stop_completes},
    {"bind.ties", "bind ties the storage to a cluster, or, when it is tied already, answers OK with that id.", &bind},
    {"bind.flags", "An unknown flag is refused with SLUICE_INVALID.", &bind_flags},
    {"bind.replace", "With SLUICE_BIND_REPLACE it is tied anew, if no whole log is in it; else EXISTS.", &bind_replace},
    {"flush.hint", "flush is a hint, inline, at any time.", &flush, kAnyKind},
};

}  // namespace

std::span<const Check> lifecycle_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
