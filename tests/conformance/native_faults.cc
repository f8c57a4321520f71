// SPDX-License-Identifier: Apache-2.0
// Kind NATIVE: failures that storages of this kind had, and servers that die or stand still. There is no fence: an
// append that nobody answered for may be there or not, and what was acknowledged is there, at its offset, in its order.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <map>
#include <random>
#include <thread>

#include "conformance/faults.hpp"
#include "conformance/native_world.hpp"

namespace sluice::conformance {
namespace {

constexpr int64_t kBackMs = 10'000;  // clients of some engines ask for the cluster again only now and then
constexpr int64_t kAwayMs = 1'000;

void reasons(Context& context) {
  FreshNative log(context);
  log->must_append(numbered("a", 2));
  const auto explained = [](sluice_status wanted, const Answer& answer, const char* what) {
    expect_status(wanted, answer, what);
    require(!answer.text.empty(), "{} answered {} and does not say why", what, status_text(answer.status));
  };
  explained(SLUICE_INVALID, log->append({}), "append of nothing");
  explained(SLUICE_OUT_OF_RANGE, log->raw().read(log->must_bounds().end + 1), "read above the end");
  explained(SLUICE_UNSUPPORTED, log->raw().fence(1), "fence");
  explained(SLUICE_UNSUPPORTED, log->raw().save(0, "name", "value"), "save");
  NativeLog absent(context.storage(), context.descriptor());
  explained(SLUICE_NOT_FOUND, absent.append({make_native_batch(numbered("b", 1))}),
            "append to a log that is not there");
  explained(SLUICE_NOT_FOUND, absent.raw().read(0), "read of a log that is not there");
}

void claimed_sizes(Context& context) {
  FreshNative log(context);
  const auto kept = log->must_append(numbered("kept", 2));
  constexpr uint64_t kMost = uint64_t{1} << 62;
  for (const uint64_t claimed : {kMost, uint64_t{1} << 63, UINT64_MAX}) {
    auto call = context.call("append");
    auto* request = call->make<sluice_append>();
    auto* result = call->make<sluice_append_result>();
    auto* batches = call->make_element<sluice_batch>(1);
    const Batch content = make_native_batch(numbered("claimed", 1));
    batches[0].data = call->copy(content.bytes.data(), content.bytes.size());
    batches[0].size = claimed;
    batches[0].record_count = 1;
    request->batches = batches;
    request->batch_count = 1;
    request->bytes = claimed;
    result->batches = call->make_element<sluice_batch_result>(1);
    call->start([&](sluice_ticket* ticket) {
      return context.storage().api().append(log->raw().raw(), ticket, request, result);
    });
    const sluice_status status = call->wait();
    require(status == SLUICE_TOO_LARGE || status == SLUICE_INVALID || status == SLUICE_NO_SPACE,
            "a unit that claims {} bytes answered {}", claimed, status_text(status));
    call->retire();
  }
  expect_records(kept, log->read_all(kept.front().offset), "after sizes that were only claimed");
}

void stop_in_time(Context& context) {
  Storage& storage = context.storage();
  constexpr int64_t kMostMs = 5'000;
  FreshNative log(context);
  auto sent = log->send({make_native_batch(numbered("a", 50, 1'000))});
  const auto began = Clock::now();
  LifecycleError error;
  const sluice_status status = storage.api().stop(storage.raw(), deadline_in_ms(0), &error.error);
  const int64_t took = elapsed_ms(began);
  require(took <= kMostMs, "stop, whose deadline was over, took {} ms", took);
  require(status == SLUICE_OK || (status == SLUICE_UNAVAILABLE && error.text[0] != '\0'),
          "stop, whose deadline was over, answered {}: \"{}\"", status_text(status), error.text);
  expect_status(SLUICE_OK, storage.stop(), "stop again, with time");
  static_cast<void>(sent.wait());
  storage.must_start();
  static_cast<void>(log->must_bounds());
}

// ---- With a server of the check's own

struct NativeAttack {
  explicit NativeAttack(Context& context) : world(context, SLUICE_KIND_NATIVE), descriptor(context.descriptor()) {
    world.must_create(world.storage(), descriptor);
    log.emplace(world.storage(), descriptor);
    append_again();
  }
  /// Appends until one is OK; how long that took.
  int64_t append_again() {
    const auto began = Clock::now();
    NativeAppendAnswer answer;
    const bool back = eventually(
        [&] {
          answer = append();
          return answer.ok();
        },
        30'000);
    require(back, "long after the server was back an append answers {}: {}", status_text(answer.status), answer.text);
    return elapsed_ms(began);
  }
  NativeAppendAnswer append() {
    auto under_way = send(2);
    return wait(under_way);
  }
  struct UnderWay {
    std::string name;
    std::vector<Record> records;
    NativeLog::Sent sent;
  };
  UnderWay send(size_t records, size_t size = 0, std::optional<int64_t> deadline_ns = std::nullopt) {
    const std::string name = fmt::format("unit{}", ++units);
    return send(name, numbered(name, records, size), deadline_ns);
  }
  /// The same records in another append: what a producer does whose first one timed out.
  UnderWay send_again(const UnderWay& before) { return send(before.name, before.records, std::nullopt); }
  NativeAppendAnswer wait(UnderWay& under_way) {
    const NativeAppendAnswer answer = under_way.sent.wait();
    // All but these two is a promise that nothing is there, and never will be.
    if (answer.ok() || answer.status == SLUICE_UNKNOWN) ++sent[under_way.name].most;
    if (answer.ok()) told(under_way, answer);
    return answer;
  }
  /// ... of an append that something was done to: OK, or not applied, or nobody knows.
  NativeAppendAnswer wait(UnderWay& under_way, const char* what) {
    const NativeAppendAnswer answer = wait(under_way);
    require(answer.ok() || answer.status == SLUICE_UNKNOWN || answer.status == SLUICE_UNAVAILABLE ||
                answer.status == SLUICE_BUSY,
            "an append {} answered {}: {}", what, status_text(answer.status), answer.text);
    return answer;
  }
  void told(const UnderWay& under_way, const NativeAppendAnswer& answer) {
    require(answer.batches.size() == 1, "an append of one batch tells of {}", answer.batches.size());
    // An engine that recognises a retry may no longer know where the first one landed.
    const bool unplaced = answer.batches[0].first_offset == -1 && sent[under_way.name].most > 1;
    require(unplaced || answer.batches[0].last_offset > answer.batches[0].first_offset,
            "an append of several records tells no offsets");
    sent[under_way.name].least = 1;
    if (unplaced) return;
    acknowledged.push_back({answer.batches[0].first_offset, under_way.records.front()});
    acknowledged.push_back({answer.batches[0].last_offset, under_way.records.back()});
  }
  /// What was acknowledged is there, where it was told to be; of each unit no record is there more often than it was
  /// sent with an open end, none out of order, and, where appends are ATOMIC, all or none.
  void verify() {
    // Appends and reads may go by different connections, and one of them may not be back yet.
    require(eventually([&] { return log->raw().bounds().ok(); }, 30'000), "bounds is not OK long after appends are");
    verify(*log);
    // What one process sees is not what it remembers.
    const auto other = world.direct();
    NativeLog there(*other, descriptor);
    verify(there);
  }
  void verify(NativeLog& seen_by) {
    const auto found = seen_by.read_all(seen_by.must_bounds().start);
    int64_t before = -1;
    struct Seen {
      size_t records = 0;
      size_t next = 0;
      size_t times = 1;
    };
    std::map<std::string, Seen> seen;
    for (const PlacedRecord& placed : found) {
      require(placed.offset > before, "REORDERED: the offset {} came behind {}", placed.offset, before);
      before = placed.offset;
      const std::string value = placed.record.value.value_or("");
      const size_t dash = value.find('-');
      const auto unit = sent.find(value.substr(0, dash));
      require(dash != std::string::npos && unit != sent.end(), "INVENTED: the record at {}", placed.offset);
      require(unit->second.most > 0, "INVENTED: {} is there at {}, and was refused", unit->first, placed.offset);
      const size_t index = std::strtoull(value.c_str() + dash + 1, nullptr, 10);
      Seen& of_unit = seen[unit->first];
      if (index < of_unit.next) {
        require(++of_unit.times <= unit->second.most,
                "DOUBLED or REORDERED: record {} of {} came at {}, behind record {}", index, unit->first, placed.offset,
                of_unit.next - 1);
      }
      of_unit.next = index + 1;
      ++of_unit.records;
    }
    for (const auto& [unit, of_unit] : seen) {
      require(!world.atomic() || of_unit.records % sent[unit].records == 0,
              "IN PART: of the {} records of {} there are {}", sent[unit].records, unit, of_unit.records);
    }
    for (const auto& [name, unit] : sent) {
      require(unit.least == 0 || seen[name].records >= unit.records,
              "LOST: of the {} records of {} there are {}; the first of all is at {}", unit.records, name,
              seen[name].records, found.empty() ? -1 : found.front().offset);
    }
    for (const PlacedRecord& wanted : acknowledged) {
      const auto there = std::ranges::lower_bound(found, wanted.offset, {}, &PlacedRecord::offset);
      require(there != found.end() && there->offset == wanted.offset && there->record == wanted.record,
              "LOST: {} was acknowledged at {}", describe(wanted.record), wanted.offset);
    }
  }

  FaultWorld world;
  Descriptor descriptor;
  std::optional<NativeLog> log;
  std::vector<PlacedRecord> acknowledged;
  struct Unit {
    size_t records = 0;
    size_t least = 0;  // times that it is there: OK was told
    size_t most = 0;   // ... OK or UNKNOWN was told
  };
  std::map<std::string, Unit> sent;  // by name
  int units = 0;

 private:
  UnderWay send(const std::string& name, std::vector<Record> records, std::optional<int64_t> deadline_ns) {
    sent[name].records = records.size();
    auto call = log->send({make_native_batch(records)}, 0, 0, deadline_ns);
    return {name, std::move(records), std::move(call)};
  }
};

void killed(Context& context) {
  NativeAttack attack(context);
  if (!attack.world.durable()) throw Inapplicable("the adapter does not claim DURABLE here");
  constexpr int kRounds = 6;
  constexpr size_t kSmall = 2;  // records
  constexpr size_t kLarge = 500;
  constexpr size_t kRecordBytes = 300;
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < 20; ++i) static_cast<void>(attack.append());
    const uint64_t before = attack.world.proxy().forwarded();
    auto under_way = attack.send(round % 2 == 0 ? kSmall : kLarge, kRecordBytes);
    // Killed before it has all of a unit, or while it writes it; a little later each time.
    if (round > 1) {
      static_cast<void>(eventually([&] { return attack.world.proxy().forwarded() > before; }, kAwayMs));
      std::this_thread::sleep_for(std::chrono::milliseconds(round - 2));
    }
    attack.world.server().kill();
    static_cast<void>(attack.wait(under_way, "that the server died under"));
    attack.world.server().must_start();
    const int64_t took = attack.append_again();
    require(took <= kBackMs, "the first append was OK {} ms after the server was back, {} are allowed", took, kBackMs);
  }
  attack.verify();
}

void stopped(Context& context) {
  NativeAttack attack(context);
  attack.world.server().pause();
  auto under_way = attack.send(2);
  std::this_thread::sleep_for(std::chrono::milliseconds(kAwayMs));
  attack.world.server().resume();
  static_cast<void>(attack.wait(under_way));
  attack.append_again();
  attack.verify();
}

// ---- Replies and requests that are lost or late

void lost_replies(Context& context) {
  NativeAttack attack(context);
  test::TcpProxy& proxy = attack.world.proxy();
  for (int round = 0; round < 4; ++round) {
    attack.append_again();
    proxy.hold_replies(true);
    auto under_way = attack.send(round % 2 == 0 ? 2 : 200, 200);
    // The server has done it, and nobody hears of it.
    static_cast<void>(eventually([&] { return proxy.held() > 0; }, kBackMs));
    proxy.cut();
    proxy.hold_replies(false);
    const NativeAppendAnswer answer = attack.wait(under_way, "whose reply was lost");
    attack.append_again();
    if (answer.ok() || round == 0) continue;
    auto again = attack.send_again(under_way);
    const NativeAppendAnswer repeated = attack.wait(again);
    expect_status(SLUICE_OK, repeated, "the same records, sent once more");
  }
  attack.verify();
}

void late_replies(Context& context) {
  NativeAttack attack(context);
  test::TcpProxy& proxy = attack.world.proxy();
  constexpr int64_t kDeadlineMs = 300;
  for (int round = 0; round < 2; ++round) {
    proxy.hold_replies(true);
    auto under_way = attack.send(5, 100, deadline_in_ms(kDeadlineMs));
    std::this_thread::sleep_for(std::chrono::milliseconds(kAwayMs));
    proxy.hold_replies(false);
    static_cast<void>(attack.wait(under_way, "whose reply came late"));
    attack.append_again();
  }
  attack.verify();
}

void late_requests(Context& context) {
  NativeAttack attack(context);
  test::TcpProxy& proxy = attack.world.proxy();
  constexpr int64_t kDeadlineMs = 300;
  proxy.hold_requests();
  auto under_way = attack.send(5, 100, deadline_in_ms(kDeadlineMs));
  static_cast<void>(attack.wait(under_way, "that the server did not get in time"));
  // By another connection, where the adapter makes one; it may still wait for this.
  static_cast<void>(attack.append());
  proxy.release_requests();
  static_cast<void>(eventually([&] { return proxy.owed() == 0; }, kAwayMs));
  attack.append_again();
  attack.verify();
}

void cut(Context& context) {
  NativeAttack attack(context);
  constexpr int kCuts = 12;
  std::uniform_int_distribution<int> wait_ms(1, 30);
  std::uniform_int_distribution<size_t> records(2, 150);
  for (int round = 0; round < kCuts; ++round) {
    std::atomic<bool> over{false};
    std::thread cutter([&, after = std::chrono::milliseconds(wait_ms(context.random()))] {
      std::this_thread::sleep_for(after);
      attack.world.proxy().cut();
      over = true;
    });
    std::exception_ptr failure;
    while (!over && !failure) {
      try {
        auto under_way = attack.send(records(context.random()), 100);
        static_cast<void>(attack.wait(under_way, "whose connection was cut"));
      } catch (...) {
        failure = std::current_exception();
      }
    }
    cutter.join();
    if (failure) std::rethrow_exception(failure);
  }
  attack.append_again();
  attack.verify();
}

void away(Context& context) {
  NativeAttack attack(context);
  attack.world.server().kill();
  const auto began = Clock::now();
  const BoundsAnswer bounds = attack.log->raw().bounds();
  require(bounds.status == SLUICE_UNAVAILABLE || bounds.status == SLUICE_UNKNOWN, "bounds without a server answered {}",
          status_text(bounds.status));
  require(!bounds.text.empty(), "bounds without a server does not say why it failed");
  const int64_t took = elapsed_ms(began);
  require(took <= context.options().call_timeout_ms, "bounds without a server took {} ms", took);
  attack.world.server().must_start();
  attack.append_again();
  if (attack.world.durable()) attack.verify();
}

constexpr uint32_t kNative = SLUICE_KIND_NATIVE;
constexpr Check kChecks[] = {
    {"native.reasons", "B18, S15: each call that fails says why.", &reasons, kNative},
    {"native.claimed_sizes", "S12, B11: sizes are checked, without overflow, before memory is taken.", &claimed_sizes,
     kNative},
    {"native.stop_in_time", "B16: stop keeps to its deadline, says what is left, and may be called again.",
     &stop_in_time, kNative},
    {"faults.native_killed",
     "DURABLE, ATOMIC: A server killed in the middle of appends: what was acknowledged is there, once and in order; of "
     "no "
     "unit a part.",
     &killed, kNative},
    {"faults.native_stopped", "A server that stands still for a while costs time, and nothing else.", &stopped,
     kNative},
    {"faults.native_lost_replies",
     "B12: A reply that is lost: nothing acknowledged is lost, and nothing is there twice that was not sent twice.",
     &lost_replies, kNative},
    {"faults.native_late_replies", "B12: A reply that is late: the answer is in time, and true.", &late_replies,
     kNative},
    {"faults.native_late_requests", "B12: What may still land is UNKNOWN; what was refused never lands.",
     &late_requests, kNative},
    {"faults.native_cut", "B12: Connections cut at any moment, under appends of any size.", &cut, kNative},
    {"faults.native_away", "B18, B21: Calls without a server fail, in time, and say why; later it is all there again.",
     &away, kNative},
};

}  // namespace

std::span<const Check> native_fault_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
