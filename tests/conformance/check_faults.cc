// SPDX-License-Identifier: Apache-2.0
// The adapter while its server is killed, stopped, cut off, slow, silent or full, and while another writer is there.
// Each check has a server of its own; what was appended and told is a history, and the log is judged by it: nothing
// lost, doubled, reordered or invented. The server's death may cost what was acknowledged only where the adapter does
// not claim DURABLE, and a fence tells of it; no other fault ever may.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <thread>

#include "conformance/check.hpp"
#include "conformance/faults.hpp"
#include "conformance/history.hpp"

namespace sluice::conformance {
namespace {

constexpr int64_t kBackMs = 10'000;  // from the moment that the server takes connections to the first append that is OK
constexpr int64_t kAwayMs = 1'500;   // how long a server stands still or replies are kept back
constexpr int64_t kSoonMs = 30'000;  // for what must come, on a machine that is busy
constexpr int64_t kStray = 1ll << 40;  // the number of batches that never may be there
constexpr int kKills = 4;
constexpr int kCuts = 12;

/// A world with a log, its history, and a writer of it.
struct Attack {
  explicit Attack(Context& context) : world(context, SLUICE_KIND_LOG), descriptor(context.descriptor()) {
    world.must_create(world.storage(), descriptor);
    log.emplace(world.storage(), descriptor);
    writer.emplace(*log, history, 0);
    require(writer->append(2, 300) == SLUICE_OK, "the first append, before any fault, is not OK");
  }
  /// Appends until one is OK; how long that took.
  int64_t append_again() {
    const auto began = Clock::now();
    sluice_status status = SLUICE_UNAVAILABLE;
    const bool back = eventually(
        [&] {
          status = writer->append(1, 200);
          return status == SLUICE_OK;
        },
        kSoonMs);
    require(back, "{} ms after the server was back an append answers {}", kSoonMs, status_text(status));
    return elapsed_ms(began);
  }
  /// What became of `unit` for all that its append was told. UNAVAILABLE is a promise, which the log is judged by.
  void told(const Unit& unit, const AppendAnswer& answer, const char* what) {
    require(answer.ok() || answer.status == SLUICE_UNKNOWN || answer.status == SLUICE_UNAVAILABLE,
            "an append {} answered {}: {}", what, status_text(answer.status), answer.text);
    if (answer.ok()) history.tell(unit, History::Fate::acknowledged);
    if (answer.status == SLUICE_UNAVAILABLE) history.tell(unit, History::Fate::refused);
    writer->doubt();
  }
  /// After the server died: one that does not claim DURABLE may have forgotten even the log, and then says so.
  void survive() {
    if (world.durable()) return;
    writer->allow_loss(true);
    const BoundsAnswer bounds = log->bounds();
    if (bounds.status == SLUICE_NOT_FOUND)
      throw Inapplicable("DURABLE is not claimed, and the log died with its server");
  }
  void verify() {
    append_again();
    history.verify(*log);
    // What one process sees is not what it remembers.
    const auto other = world.direct();
    Log there(*other, descriptor);
    history.verify(there);
  }

  FaultWorld world;
  History history;
  Descriptor descriptor;
  std::optional<Log> log;
  std::optional<HistoryWriter> writer;
};

/// Does something to the server after a while, beside the appends of the check's own thread.
class Beside {
 public:
  template <class F>
  Beside(int64_t after_ms, F what) {
    thread_ = std::thread([after_ms, what] {
      std::this_thread::sleep_for(std::chrono::milliseconds(after_ms));
      what();
    });
  }
  ~Beside() { thread_.join(); }

 private:
  std::thread thread_;
};

/// A reader that follows the log from its start again and again; what it saw must stay.
class Follower {
 public:
  Follower(Storage& storage, const Descriptor& descriptor, History& history) : log_(storage, descriptor) {
    thread_ = std::thread([this, &history] {
      try {
        while (!over_) {
          const BoundsAnswer bounds = log_.bounds();
          for (int64_t offset = bounds.start; bounds.ok() && offset < bounds.end && !over_;) {
            const ReadAnswer answer = log_.read(offset, bounds.end, 64 << 10);
            if (!answer.ok() || answer.next <= offset) break;
            for (const Batch& batch : batches_in(answer.lease.bytes())) history.saw(batch);
            offset = answer.next;
          }
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
      } catch (const std::exception& failure) {
        failure_ = failure.what();
      }
    });
  }
  ~Follower() { end(); }
  void finish() {
    end();
    require(failure_.empty(), "a reader beside: {}", failure_);
  }

 private:
  void end() {
    over_ = true;
    if (thread_.joinable()) thread_.join();
  }

  Log log_;
  std::atomic<bool> over_{false};
  std::string failure_;  // of the thread, until it has ended
  std::thread thread_;
};

// ---- A server that dies or stands still

void killed(Context& context) {
  Attack attack(context);
  FaultWorld& world = attack.world;
  for (int round = 0; round < kKills; ++round) {
    const size_t size = round % 2 == 0 ? 300 : attack.world.unit_bytes(100'000);
    for (int i = 0; i < 20; ++i) {
      require(attack.writer->append(1 + static_cast<size_t>(i % 3), size / 3) == SLUICE_OK,
              "an append between two kills is not OK");
    }
    const Unit unit = attack.history.begin(attack.history.end(), 1, size);
    SentAppend under_way = attack.log->send(attack.writer->token(), unit.front().base, unit);
    // At various moments of its way; the server dies on the thread that started it.
    std::this_thread::sleep_for(std::chrono::microseconds(300 * round));
    world.server().kill();
    attack.told(unit, under_way.wait(), "that the server died under");
    const FenceAnswer fence = attack.log->fence(attack.writer->token());
    require(fence.status == SLUICE_UNAVAILABLE || fence.status == SLUICE_UNKNOWN,
            "a fence without a server answered {}", status_text(fence.status));
    world.server().must_start();
    attack.survive();
    const int64_t took = attack.append_again();
    require(took <= kBackMs, "the first append was OK {} ms after the server was back, {} are allowed", took, kBackMs);
  }
  attack.verify();
}

void stopped(Context& context) {
  Attack attack(context);
  attack.world.server().pause();
  {
    Beside later(kAwayMs, [&] { attack.world.server().resume(); });
    static_cast<void>(attack.writer->append(2, 5'000));
  }
  const int64_t took = attack.append_again();
  require(took <= kBackMs, "the first append was OK {} ms after the server went on, {} are allowed", took, kBackMs);
  attack.verify();
}

// ---- Replies that are lost or late

void lost_replies(Context& context) {
  Attack attack(context);
  for (int round = 0; round < 6; ++round) {
    require(attack.writer->append(1, 200) == SLUICE_OK, "an append between two faults is not OK");
    const Unit unit =
        attack.history.begin(attack.history.end(), 2, round % 2 == 0 ? 300 : attack.world.unit_bytes(60'000) / 2);
    attack.world.proxy().hold_replies(true);
    SentAppend sent = attack.log->send(attack.writer->token(), unit.front().base, unit);
    // The server has done it, and nobody hears of it.
    eventually([&] { return attack.world.proxy().held() > 0; }, kSoonMs);
    attack.world.proxy().cut();
    attack.world.proxy().hold_replies(false);
    attack.told(unit, sent.wait(), "whose reply was lost");
    attack.append_again();
  }
  attack.verify();
}

void late_replies(Context& context) {
  Attack attack(context);
  constexpr int64_t kDeadlineMs = 300;
  for (int round = 0; round < 2; ++round) {
    const Unit unit = attack.history.begin(attack.history.end(), 2, 500);
    attack.world.proxy().hold_replies(true);
    SentAppend sent = attack.log->send(attack.writer->token(), unit.front().base, unit, 0, deadline_in_ms(kDeadlineMs));
    {
      Beside later(kAwayMs, [&] { attack.world.proxy().hold_replies(false); });
      attack.told(unit, sent.wait(), "whose reply came late");
    }
    attack.append_again();
  }
  attack.verify();
}

void cut(Context& context) {
  Attack attack(context);
  Follower reader(attack.world.storage(), attack.descriptor, attack.history);
  std::uniform_int_distribution<int> wait_ms(1, 30);
  std::uniform_int_distribution<size_t> sizes(0, 3);
  const size_t each[] = {100, 3'000, 40'000, attack.world.unit_bytes(400'000)};
  for (int round = 0; round < kCuts; ++round) {
    std::atomic<bool> over{false};
    Beside cutter(wait_ms(context.random()), [&] {
      attack.world.proxy().cut();
      over = true;
    });
    while (!over) static_cast<void>(attack.writer->append(1, each[sizes(context.random())]));
  }
  attack.append_again();
  reader.finish();
  attack.verify();
}

// ---- A slow and a full server

void slow(Context& context) {
  Attack attack(context);
  constexpr int64_t kDelayMs = 150;
  constexpr int64_t kInlineMs = 50;
  attack.world.proxy().delay_replies(kDelayMs);
  int64_t longest = 0;
  for (int i = 0; i < 6; ++i) {
    if (!attack.writer->settled()) require(attack.writer->settle(kSoonMs) == SLUICE_OK, "a fence is not OK");
    const Unit unit = attack.history.begin(attack.history.end(), 1, 1'000);
    const auto began = Clock::now();
    SentAppend sent = attack.log->send(attack.writer->token(), unit.front().base, unit);
    const int64_t took = elapsed_ms(began);
    longest = longest == 0 ? took : std::min(longest, took);
    const AppendAnswer answer = sent.wait();
    require(answer.ok() || answer.status == SLUICE_UNKNOWN, "an append to a slow server answered {}: {}",
            status_text(answer.status), answer.text);
    if (answer.ok()) {
      attack.history.tell(unit, History::Fate::acknowledged);
    } else {
      attack.writer->doubt();
    }
  }
  // The best of them, since a thread may be held up by others at any moment.
  require(longest <= kInlineMs, "append came back after {} ms: it waits for the server", longest);
  attack.world.proxy().delay_replies(0);
  attack.verify();
}

void full(Context& context) {
  if (context.options().faults && context.options().faults->fill.empty())
    throw Inapplicable("the kit was not told how to fill the server (\"fill\", \"drain\")");
  Attack attack(context);
  attack.world.server().run(attack.world.plan().fill);
  sluice_status status = SLUICE_OK;
  for (int i = 0; i < 100 && status == SLUICE_OK; ++i)
    status = attack.writer->append(1, attack.world.unit_bytes(100'000));
  require(status == SLUICE_NO_SPACE, "an append to a full server answered {}", status_text(status));
  attack.history.verify(*attack.log);
  attack.world.server().run(attack.world.plan().drain);
  attack.verify();
}

// ---- A unit that cannot be read

void damaged(Context& context) {
  if (context.options().faults && context.options().faults->damage.empty())
    throw Inapplicable("the kit was not told how to damage a log (\"damage\")");
  Attack attack(context);
  FaultWorld& world = attack.world;
  const int64_t at = attack.history.end();
  const int64_t last = at + 4;
  std::string command = world.plan().damage;
  std::string id;
  for (const uint8_t byte : attack.descriptor.id) id += fmt::format("{:02x}", byte);
  test::replace_all(command, "{log}", id);
  test::replace_all(command, "{at}", std::to_string(at));
  test::replace_all(command, "{last}", std::to_string(last));
  test::replace_all(command, "{end}", std::to_string(last + 1));
  test::replace_all(command, "{token}", std::to_string(attack.writer->token()));
  world.server().run(command);

  // Whoever comes to the log next writes behind it.
  const auto other = world.direct();
  Log log(*other, attack.descriptor);
  const FenceAnswer fence = log.fence(attack.writer->token() + 1);
  expect_status(SLUICE_OK, fence, "a fence of a log with a damaged unit at its end");
  require(fence.end == last + 1, "the log ends with a damaged unit from {} to {}, a fence says at {}", at, last,
          fence.end);
  const Unit behind = make_unit(fence.end, 2);
  log.must_append(fence.token, fence.end, behind);
  // What lies before it is read, and nothing of it.
  int64_t offset = 0;
  std::vector<Batch> before;
  while (offset < at) {
    const ReadAnswer answer = log.read(offset);
    expect_status(SLUICE_OK, answer, "a read before a damaged unit");
    require(answer.next > offset && answer.next <= at, "a read at {} leads to {}, a damaged unit begins at {}", offset,
            answer.next, at);
    std::ranges::move(batches_in(answer.lease.bytes()), std::back_inserter(before));
    offset = answer.next;
  }
  attack.history.verify(before);
  for (const uint64_t most : {uint64_t{1} << 20, uint64_t{1}}) {
    const ReadAnswer answer = log.read(at, kNoLimit, most);
    expect_status(SLUICE_CORRUPT, answer, "a read of a damaged unit");
    require(answer.next == last + 1, "a damaged unit from {} to {} leads to {}", at, last, answer.next);
    require(!answer.text.empty(), "a read of a damaged unit does not say what is wrong");
  }
  const ReadAnswer answer = log.read(last + 1);
  expect_status(SLUICE_OK, answer, "a read behind a damaged unit");
  const std::vector<Batch> found = batches_in(answer.lease.bytes());
  require(found.size() == behind.size() && found.front().bytes == behind.front().bytes &&
              found.back().bytes == behind.back().bytes,
          "what was appended behind a damaged unit is not read");
}

// ---- Other writers

void higher_token(Context& context) {
  Attack attack(context);
  const auto other = attack.world.direct();
  Log there(*other, attack.descriptor);
  uint64_t token = attack.writer->token();
  for (int round = 0; round < 3; ++round) {
    // The append of the first is on its way when the second takes over, with its reply kept back.
    HistoryWriter first(*attack.log, attack.history, token + 1'000);
    require(first.append(1, 200) == SLUICE_OK, "the writer with the highest token cannot append");
    const Unit unit = attack.history.begin(attack.history.end(), 1, 400);
    attack.world.proxy().hold_replies(true);
    SentAppend sent = attack.log->send(first.token(), unit.front().base, unit);
    HistoryWriter second(there, attack.history, first.token() + 1'000);
    require(second.append(2, 300) == SLUICE_OK, "a writer with a higher token cannot append");
    attack.world.proxy().hold_replies(false);
    const AppendAnswer answer = sent.wait();
    if (answer.ok()) attack.history.tell(unit, History::Fate::acknowledged);
    if (answer.status == SLUICE_FENCED || answer.status == SLUICE_UNAVAILABLE || answer.status == SLUICE_CONFLICT)
      attack.history.tell(unit, History::Fate::refused);
    first.doubt();
    require(first.settle(kSoonMs) == SLUICE_FENCED, "the first writer is not FENCED by a higher token");
    const AppendAnswer late =
        attack.log->append(first.token(), attack.history.end(), make_unit(attack.history.end(), 1, 100, kStray));
    expect_status(SLUICE_FENCED, late, "an append of a writer that was fenced off");
    require(second.append(1, 300) == SLUICE_OK, "the writer with the higher token is disturbed");
    token = second.token();
  }
  attack.history.verify(*attack.log);
  attack.history.verify(there);
}

void lower_token(Context& context) {
  Attack attack(context);
  const auto other = attack.world.direct();
  Log there(*other, attack.descriptor);
  HistoryWriter rightful(there, attack.history, 1'000);
  require(rightful.append(1, 200) == SLUICE_OK, "the writer with the highest token cannot append");
  for (uint64_t token = 10; token < 16; ++token) {
    expect_status(SLUICE_FENCED, attack.log->fence(token), "a fence with a lower token");
    expect_status(SLUICE_FENCED,
                  attack.log->append(token, attack.history.end(), make_unit(attack.history.end(), 1, 100, kStray)),
                  "an append with a lower token");
    // One may fall in between for a lower fence that had to be looked at first.
    sluice_status status = SLUICE_OK;
    require(eventually([&] { return (status = rightful.append(1, 300)) == SLUICE_OK; }, kSoonMs),
            "lower tokens disturb the rightful writer: {}", status_text(status));
  }
  rightful.settle(kSoonMs);
  attack.history.verify(there);
}

// ---- Logs that are being made

void half_made(Context& context) {
  FaultWorld world(context, SLUICE_KIND_LOG);
  const bool durable = world.durable();
  for (int round = 0; round < 3; ++round) {
    Storage& storage = world.storage();
    std::vector<std::pair<Descriptor, std::shared_ptr<Call>>> calls;
    for (int i = 0; i < 16; ++i) {
      const Descriptor descriptor = context.descriptor();
      auto call = context.call("create_log");
      const sluice_log_descriptor* wanted = descriptor.in(*call);
      call->start([&](sluice_ticket* ticket) { return storage.api().create_log(storage.raw(), ticket, wanted); });
      calls.emplace_back(descriptor, std::move(call));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2 * round));
    world.server().kill();
    std::vector<Descriptor> acknowledged;
    for (const auto& [descriptor, call] : calls) {
      if (call->wait() == SLUICE_OK) acknowledged.push_back(descriptor);
      call->retire();
    }
    world.server().must_start();
    ListAnswer list;
    require(eventually([&] { return (list = storage.list_logs()).ok(); }, kSoonMs), "list_logs answers {}",
            status_text(list.status));
    const auto listed = [&](const Id& id) { return std::ranges::count(list.entries, id, &ListEntry::id) > 0; };
    for (const Descriptor& descriptor : acknowledged)
      require(!durable || listed(descriptor.id), "a log whose creation was acknowledged is gone after a kill");
    for (const auto& [descriptor, call] : calls) {
      Log log(storage, descriptor);
      History history;
      if (listed(descriptor.id)) {
        const BoundsAnswer bounds = log.bounds();
        require(bounds.ok() && bounds.end == 0, "a log that is listed answers bounds with {}",
                status_text(bounds.status));
      }
      // What is half there is finished, what is not there is made.
      world.must_create(storage, descriptor);
      HistoryWriter writer(log, history, 0);
      require(writer.append(1, 100) == SLUICE_OK, "a log that was made again takes no append");
      history.verify(log);
    }
  }
}

// ---- Life with a server that hangs or is away

void stop_hanging(Context& context) {
  Attack attack(context);
  constexpr int64_t kDeadlineMs = 1'000;
  constexpr int64_t kMostMs = 5'000;
  attack.world.server().pause();
  SentAppend sent =
      attack.log->send(attack.writer->token(), attack.history.end(), make_unit(attack.history.end(), 1, 200, kStray));
  const auto began = Clock::now();
  LifecycleError error;
  Storage& storage = attack.world.storage();
  const sluice_status status = storage.api().stop(storage.raw(), deadline_in_ms(kDeadlineMs), &error.error);
  const int64_t took = elapsed_ms(began);
  attack.world.server().resume();
  require(took <= kMostMs, "stop with a deadline of {} ms took {} while the server hung", kDeadlineMs, took);
  require(status == SLUICE_OK || (status == SLUICE_UNAVAILABLE && error.text[0] != '\0'),
          "stop while the server hung answered {}: \"{}\"", status_text(status), error.text);
  if (status != SLUICE_OK) expect_status(SLUICE_OK, storage.stop(), "stop again, with the server back");
  require(sent.answered(), "stop is over, and an append is not answered");
  static_cast<void>(sent.wait());
}

void start_hanging(Context& context) {
  FaultWorld world(context, SLUICE_KIND_LOG);
  constexpr int64_t kDeadlineMs = 1'000;
  constexpr int64_t kMostMs = 5'000;
  world.drop_storage();
  world.server().pause();
  const auto storage = world.idle();
  const auto began = Clock::now();
  Guarded memory(sizeof(sluice_condition));
  auto* condition = reinterpret_cast<sluice_condition*>(memory.data());
  condition->size = sizeof *condition;
  LifecycleError error;
  const sluice_status status =
      storage->api().start(storage->raw(), deadline_in_ms(kDeadlineMs), condition, &error.error);
  const int64_t took = elapsed_ms(began);
  world.server().resume();
  require(took <= kMostMs, "start with a deadline of {} ms took {} while the server hung", kDeadlineMs, took);
  require(status == SLUICE_UNAVAILABLE, "start while the server hung answered {}", status_text(status));
  require(error.text[0] != '\0', "start does not say why it failed");
  ConditionAnswer answer;
  require(eventually([&] { return (answer = storage->start()).ok(); }, kSoonMs), "start again answers {}: {}",
          status_text(answer.status), answer.text);
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void away(Context& context) {
  Attack attack(context);
  constexpr int64_t kWatchedMs = 1'500;
  constexpr uint64_t kMostTries = 60;  // in that time, of a few connections, with pauses that grow
  constexpr double kMostCpu = 0.3;
  attack.world.server().kill();
  attack.world.proxy().cut();
  const uint64_t before = attack.world.proxy().accepted();
  const double cpu_before = cpu_seconds();
  const auto began = Clock::now();
  size_t calls = 0;
  while (elapsed_ms(began) < kWatchedMs) {
    const BoundsAnswer bounds = attack.log->bounds();
    require(bounds.status == SLUICE_UNAVAILABLE || bounds.status == SLUICE_UNKNOWN,
            "bounds without a server answered {}", status_text(bounds.status));
    require(!bounds.text.empty(), "bounds without a server does not say why it failed");
    ++calls;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  const uint64_t tries = attack.world.proxy().accepted() - before;
  const int64_t watched_ms = elapsed_ms(began);
  const double used = (cpu_seconds() - cpu_before) / (static_cast<double>(watched_ms) / 1'000);
  require(tries * kWatchedMs <= kMostTries * static_cast<uint64_t>(watched_ms),
          "{} connections were tried in {} ms, for {} calls", tries, watched_ms, calls);
  require(used <= kMostCpu, "waiting for a server that is away uses {:.0f}% of a processor", used * 100);
  attack.world.server().must_start();
  attack.writer->doubt();
  attack.survive();
  attack.verify();
}

void denied(Context& context) {
  FaultWorld world(context, SLUICE_KIND_LOG);
  if (world.plan().denied.empty())
    throw Inapplicable("the kit was not told with which options the server refuses (\"denied\")");
  constexpr uint64_t kMostTries = 4;  // a connection for each purpose, once
  constexpr int64_t kWatchedMs = 300;
  const auto storage = world.refused();
  const uint64_t before = world.proxy().accepted();
  const ConditionAnswer answer = storage->start();
  require(answer.status == SLUICE_DENIED || answer.status == SLUICE_INVALID,
          "start with credentials that the server refuses answered {}", status_text(answer.status));
  require(!answer.text.empty(), "start does not say why it was refused");
  const uint64_t tries = world.proxy().accepted() - before;
  require(tries <= kMostTries, "what is refused for good was tried {} times", tries);
  std::this_thread::sleep_for(std::chrono::milliseconds(kWatchedMs));
  require(world.proxy().accepted() - before == tries, "what was refused for good is tried again behind start's back");
}

constexpr Check kChecks[] = {
    {"faults.killed",
     "A server killed in the middle of appends: nothing acknowledged is lost where DURABLE is claimed, else a fence "
     "tells; nothing is doubled, reordered or invented; service is back at once.",
     &killed},
    {"faults.stopped", "A server that stands still for a while costs time, and nothing else.", &stopped},
    {"faults.lost_replies", "B12: A reply that is lost: UNKNOWN, which a fence settles; nothing is there twice.",
     &lost_replies},
    {"faults.late_replies", "B12: A reply that is late: what an OK fence found absent never lands.", &late_replies},
    {"faults.cut", "B12: Connections cut at any moment, under appends of any size and beside readers.", &cut},
    {"faults.slow", "A slow server: calls come back at once all the same, and what they say is true.", &slow},
    {"faults.full", "A full server: NO_SPACE, nothing acknowledged goes, and it goes on once there is room.", &full},
    {"faults.damaged",
     "B04: A damaged batch ends the read before it; when it is the first: CORRUPT, with where to go on; those behind "
     "it "
     "are read.",
     &damaged},
    {"faults.higher_token", "After a fence with a higher token nothing of the old writer lands, however it was sent.",
     &higher_token},
    {"faults.lower_token", "A writer with a lower token is FENCED and disturbs nobody.", &lower_token},
    {"faults.half_made",
     "B10: create_log finishes what a dead server left half done; a log is listed only when it is whole.", &half_made},
    {"faults.stop", "B16: stop keeps its deadline with a server that hangs, and answers every call.", &stop_hanging},
    {"faults.start", "B16: start keeps its deadline with a server that hangs, and may be repeated.", &start_hanging},
    {"faults.away",
     "B16, B18, B21: A server that is away is tried again with pauses; calls fail meanwhile, and say why.", &away},
    {"faults.denied", "B10, B21: What is refused for good is not tried again.", &denied},
};

}  // namespace

std::span<const Check> fault_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
