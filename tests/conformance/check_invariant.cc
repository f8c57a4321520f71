// SPDX-License-Identifier: Apache-2.0
// Failures that storages of this kind had, each kept as a check that would catch it. The numbers are those of the list
// of invariants; where another check proves one already, its sentence carries the number.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <thread>

#include "base/bytes.hpp"
#include "base/crc32c.hpp"
#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

// ---- Content ----

/// A batch of one record whose bytes are all given: to a LOG they mean nothing.
Batch batch_of(int64_t offset, int16_t attributes, const std::string& record) {
  Batch batch = make_batch(offset, offset, 1'000, kSmallestBatchBytes + record.size());
  uint8_t* at = batch.bytes.data();
  store_be<int16_t>(at + 21, attributes);
  std::copy(record.begin(), record.end(), at + kSmallestBatchBytes);
  store_be<uint32_t>(at + 17, crc32c({at + 21, batch.bytes.size() - 21}));
  return batch;
}

std::string every_byte() {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  return all;
}

/// Length, attributes, deltas, key, value, headers, as in a v2 record; nullopt is null. All lengths are below 64.
std::string record(const std::optional<std::string>& key, const std::optional<std::string>& value,
                   const std::vector<std::pair<std::string, std::optional<std::string>>>& headers) {
  const auto zigzag = [](size_t length) { return std::string(1, static_cast<char>(length * 2)); };
  const auto bytes = [&](const std::optional<std::string>& text) {
    return text ? zigzag(text->size()) + *text : std::string(1, '\x01');
  };
  std::string body(3, '\0');
  body += bytes(key) + bytes(value) + zigzag(headers.size());
  for (const auto& [name, content] : headers) body += zigzag(name.size()) + name + bytes(content);
  return zigzag(body.size()) + body;
}

void opaque(Context& context) {
  FreshLog log(context);
  const std::string contents[] = {
      every_byte(),
      std::string(100, '\0'),
      std::string(100, '\xff'),
      "null",
      "",
      "\xc3\x28\xa0\xa1\xe2\x28\xa1",  // no UTF-8
      "\r\n\r\n+OK\r\n$-1\r\n",
      record(std::nullopt, std::nullopt, {}),
      record("", "", {{"", ""}}),
      record("k", std::nullopt, {{"traceparent", "00-1"}, {"tenant", "a"}, {"tenant", "b"}, {"n", std::nullopt}}),
  };
  // Codecs, time types and control marks are the broker's business.
  constexpr int16_t kAttributes[] = {0x00, 0x01, 0x04, 0x08, 0x10, 0x30, 0x7f};
  Unit all;
  int64_t end = 0;
  for (const int16_t attributes : kAttributes) {
    Unit unit;
    for (const std::string& content : contents) unit.push_back(batch_of(end++, attributes, content));
    log->must_append(0, unit.front().base, unit);
    all.insert(all.end(), unit.begin(), unit.end());
  }
  verify_content(*log, all, 0, end);
  verify_content(*log, all, 0, end, 1);
  for (const std::string& value : contents) {
    if (value.empty()) continue;
    expect_status(SLUICE_OK, log->save(0, "value", value), "save");
    const LoadAnswer loaded = log->load("value");
    require(loaded.ok() && loaded.present && loaded.value == value, "a saved value of {} bytes came back changed",
            value.size());
  }
}

// ---- Once ----

void sent_again(Context& context) {
  FreshLog log(context);
  Unit all;
  int64_t end = 0;
  uint64_t token = 0;
  for (const size_t size : {size_t{200}, context.unit_bytes(300'000)}) {
    const Unit unit = make_unit(end, 3, size);
    const int64_t at = end;
    end = log->must_append(token, at, unit);
    all.insert(all.end(), unit.begin(), unit.end());
    // As by a host that never heard the answer: first as if nothing had happened, then after it fenced.
    expect_status(SLUICE_CONFLICT, log->append(token, at, unit), "the same unit at the same `at` again");
    const FenceAnswer fence = log->fence(token + 1);
    expect_status(SLUICE_OK, fence, "fence");
    require(fence.end == end, "the fence says that the log ends at {}, the unit ends at {}", fence.end, end);
    expect_status(SLUICE_FENCED, log->append(token, at, unit), "the same unit with the old token");
    expect_status(SLUICE_CONFLICT, log->append(token + 1, at, unit), "the same unit with the new token");
    ++token;
    verify_content(*log, all, 0, end);
  }
}

void created_once(Context& context) {
  Storage& storage = context.storage();
  constexpr int kCallers = 16;
  const Descriptor descriptor = context.descriptor();
  std::vector<std::shared_ptr<Call>> calls;
  for (int i = 0; i < kCallers; ++i) {
    auto call = context.call("create_log");
    const sluice_log_descriptor* wanted = descriptor.in(*call);
    call->start([&](sluice_ticket* ticket) { return storage.api().create_log(storage.raw(), ticket, wanted); });
    calls.push_back(std::move(call));
  }
  for (const auto& call : calls) {
    const sluice_status status = call->wait();
    require(status == SLUICE_OK, "one of {} calls that make the same log answered {}", kCallers, status_text(status));
    call->retire();
  }
  Log log(storage, descriptor);
  log.must_append(0, 0, make_unit(0, 2));
  storage.must_create(descriptor);
  require(log.bounds().end == 2, "making a log again emptied it");
  const ListAnswer list = storage.list_logs();
  expect_status(SLUICE_OK, list, "list_logs");
  const auto found = std::ranges::count(list.entries, descriptor.id, &ListEntry::id);
  require(found == 1, "{} calls that make the same log made {}", kCallers, found);
}

// ---- Sizes ----

int64_t resident_kib() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6));
  }
  return 0;
}

void claimed_sizes(Context& context) {
  FreshLog log(context);
  const Unit kept = make_unit(0, 1);
  log->must_append(0, 0, kept);
  constexpr uint64_t kMost = uint64_t{1} << 62;
  constexpr int64_t kToleratedKib = 1024;
  // A first round warms whatever the adapter takes in any case.
  for (const bool measured : {false, true}) {
    const int64_t before = resident_kib();
    for (const auto& [first, second] :
         {std::pair{kMost, uint64_t{0}}, {kMost, kMost}, {uint64_t{1} << 63, uint64_t{1} << 63}, {UINT64_MAX, 200}}) {
      auto call = context.call("append");
      auto* request = call->make<sluice_append>();
      auto* result = call->make<sluice_append_result>();
      auto* batches = call->make_element<sluice_batch>(2);
      for (int i = 0; i < 2; ++i) {
        const Batch content = make_batch(1 + i, 1 + i);
        batches[i].data = call->copy(content.bytes.data(), content.bytes.size());
        batches[i].size = i == 0 ? first : second;
        batches[i].base_offset = batches[i].last_offset = 1 + i;
        batches[i].record_count = 1;
      }
      request->at = 1;
      request->batches = batches;
      request->batch_count = second > 0 ? 2 : 1;
      request->bytes = first + second;
      call->start(
          [&](sluice_ticket* ticket) { return context.storage().api().append(log->raw(), ticket, request, result); });
      const sluice_status status = call->wait();
      require(status == SLUICE_TOO_LARGE || status == SLUICE_INVALID || status == SLUICE_NO_SPACE,
              "a unit that claims {} and {} bytes answered {}", first, second, status_text(status));
      call->retire();
    }
    const ReadAnswer all = log->read(0, kNoLimit, kNoMaximum);
    expect_status(SLUICE_OK, all, "a read of up to UINT64_MAX bytes");
    const int64_t grown = resident_kib() - before;
    require(!measured || grown < kToleratedKib, "sizes that were only claimed took {} KiB of memory", grown);
  }
  verify_content(*log, kept, 0, 1);
}

// ---- Saying why ----

void reasons(Context& context) {
  FreshLog log(context);
  log->must_append(0, 0, make_unit(0, 2));
  const auto explained = [](sluice_status wanted, const Answer& answer, const char* what) {
    expect_status(wanted, answer, what);
    require(!answer.text.empty(), "{} answered {} and does not say why", what, status_text(answer.status));
  };
  expect_status(SLUICE_OK, log->fence(5), "fence");
  explained(SLUICE_FENCED, log->append(4, 2, make_unit(2, 1)), "append with another token");
  explained(SLUICE_CONFLICT, log->append(5, 3, make_unit(3, 1)), "append at another end");
  explained(SLUICE_INVALID, log->append(5, 2, {}), "append of nothing");
  explained(SLUICE_OUT_OF_RANGE, log->read(3), "read above the end");
  explained(SLUICE_FENCED, log->trim(4, 1), "trim with another token");
  explained(SLUICE_FENCED, log->fence(4), "fence below the one in force");
  explained(SLUICE_FENCED, log->save(4, "name", "value"), "save with another token");
  explained(SLUICE_TOO_LARGE, log->save(5, "name", std::string(SLUICE_LARGEST_VALUE + 1, 'x')), "a value too large");
  Descriptor other = log.descriptor;
  other.start_offset = 77;
  explained(SLUICE_EXISTS, context.storage().create_log(other), "the same id with another descriptor");
  Log absent(context.storage(), context.descriptor());
  explained(SLUICE_NOT_FOUND, absent.append(0, 0, make_unit(0, 1)), "append to a log that is not there");
  explained(SLUICE_NOT_FOUND, absent.read(0), "read of a log that is not there");
}

// ---- Stopping and standing still ----

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void idle(Context& context) {
  FreshLog log(context);
  for (int64_t end = 0; end < 50; ++end) log->must_append(0, end, make_unit(end, 1));
  constexpr std::chrono::milliseconds kWatched{500};
  constexpr int kRounds = 3;
  constexpr double kMost = 0.05;
  double least = 1;
  // The best of a few, since what was appended may still be on its way to where it belongs.
  for (int round = 0; round < kRounds && least > kMost; ++round) {
    const double before = cpu_seconds();
    std::this_thread::sleep_for(kWatched);
    least = std::min(least, (cpu_seconds() - before) / std::chrono::duration<double>(kWatched).count());
  }
  require(least <= kMost, "a storage with nothing to do uses {:.0f}% of a processor", least * 100);
}

void stop_in_time(Context& context) {
  Storage& storage = context.storage();
  constexpr int64_t kMostMs = 5'000;
  std::vector<std::unique_ptr<Log>> logs;
  std::vector<SentAppend> sent;
  const size_t size = context.unit_bytes(size_t{1} << 20);
  for (int i = 0; i < 8; ++i) {
    const Descriptor descriptor = context.descriptor();
    storage.must_create(descriptor);
    logs.push_back(std::make_unique<Log>(storage, descriptor));
  }
  for (auto& log : logs) sent.push_back(log->send(0, 0, make_unit(0, 1, size)));
  const auto began = Clock::now();
  LifecycleError error;
  const sluice_status status = storage.api().stop(storage.raw(), deadline_in_ms(0), &error.error);
  const int64_t took = elapsed_ms(began);
  require(took <= kMostMs, "stop, whose deadline was over, took {} ms", took);
  require(status == SLUICE_OK || status == SLUICE_UNAVAILABLE, "stop, whose deadline was over, answered {}",
          status_text(status));
  if (status == SLUICE_UNAVAILABLE) require(error.text[0] != '\0', "stop does not say what is left");
  expect_status(SLUICE_OK, storage.stop(), "stop again, with time");
  for (auto& append : sent) append.wait();
  storage.must_start();
  for (size_t i = 0; i < logs.size(); ++i) {
    const BoundsAnswer bounds = logs[i]->bounds();
    expect_status(SLUICE_OK, bounds, "bounds after stop and start");
  }
}

constexpr Check kChecks[] = {
    {"append.opaque",
     "B34, S02: bytes are bytes: every value, nothing, null, no UTF-8, all headers; whatever a batch's attributes say.",
     &opaque},
    {"append.sent_again", "B12: a unit that is sent again, with or without a fence between, is there once.",
     &sent_again},
    {"create_log.once", "B10: many calls at once that make one log make one log, and none of them fails.",
     &created_once},
    {"append.claimed_sizes", "S12, B11: sizes are checked, without overflow, before memory is taken.", &claimed_sizes},
    {"errors.reasons", "B18, S15: each call that fails says why.", &reasons},
    {"storage.idle", "B16: a storage with nothing to do uses no processor.", &idle},
    {"stop.in_time", "B16: stop keeps to its deadline, says what is left, and may be called again.", &stop_in_time},
};

}  // namespace

std::span<const Check> invariant_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
