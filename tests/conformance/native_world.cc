// SPDX-License-Identifier: Apache-2.0
#include "conformance/native_world.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include "records/builder.hpp"
#include "records/lookup.hpp"

namespace sluice::conformance {
namespace {

constexpr int64_t kPauseMs = 5;  // between looks at something that must come

records::OptionalBytes view(const OptionalText& text) {
  if (!text) return std::nullopt;
  return as_bytes(*text);
}

OptionalText text(const records::OptionalBytes& bytes) {
  if (!bytes) return std::nullopt;
  return std::string(as_text(*bytes));
}

std::string brief(const OptionalText& value) {
  if (!value) return "null";
  constexpr size_t kShown = 24;
  std::string shown = fmt::format("[{}]", value->size());
  for (const char each : value->substr(0, kShown)) {
    if (each > ' ' && each < '\x7f') {
      shown += each;
    } else {
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(each));
    }
  }
  return shown;
}

}  // namespace

void take_records(const records::BatchView& batch, std::vector<PlacedRecord>& out) {
  const Status status = records::visit_records(batch, kNoMaximum, [&](const records::RecordView& found) {
    PlacedRecord placed{found.offset(batch), {found.timestamp(batch), text(found.key), text(found.value), {}}};
    records::HeaderIterator headers = found.headers();
    for (records::HeaderView header; headers.next(header);) {
      placed.record.headers.emplace_back(std::string(as_text(header.key)), text(header.value));
    }
    out.push_back(std::move(placed));
    return true;
  });
  require(status.ok(), "a batch that was read has records that do not parse: {}", status.describe());
}

std::string describe(const Record& record) {
  std::string text = fmt::format("{} key={} value={}", record.timestamp, brief(record.key), brief(record.value));
  for (const auto& [name, value] : record.headers) text += fmt::format(" {}:{}", brief(name), brief(value));
  return text;
}

Batch make_native_batch(const std::vector<Record>& records, records::Codec codec) {
  records::BatchOptions options;
  options.codec = codec;
  records::BatchBuilder builder(options);
  Batch batch;
  batch.timestamp = INT64_MIN;
  for (const Record& record : records) {
    std::vector<records::HeaderView> headers;
    for (const auto& [name, value] : record.headers) headers.push_back({as_bytes(name), view(value)});
    records::NewRecord made;
    made.timestamp = record.timestamp;
    made.key = view(record.key);
    made.value = view(record.value);
    made.headers = headers;
    const Status added = builder.add(made);
    require(added.ok(), "the kit cannot make a batch: {}", added.describe());
    batch.timestamp = std::max(batch.timestamp, record.timestamp);
  }
  const auto built = builder.build();
  require(built.has_value(), "the kit cannot make a batch");
  batch.bytes.assign(built->data(), built->data() + built->size());
  batch.records = static_cast<uint32_t>(records.size());
  batch.last = std::max<int64_t>(static_cast<int64_t>(records.size()) - 1, 0);
  return batch;
}

std::vector<Record> numbered(const std::string& prefix, size_t count, size_t size) {
  std::vector<Record> records;
  for (size_t i = 0; i < count; ++i) {
    Record record;
    record.timestamp += static_cast<int64_t>(i);
    record.key = fmt::format("{}", i % 7);
    record.value = fmt::format("{}-{}", prefix, i);
    if (record.value->size() < size) record.value->resize(size, static_cast<char>('a' + i % 26));
    records.push_back(std::move(record));
  }
  return records;
}

// ---- A handle

NativeLog::NativeLog(Storage& storage, const Descriptor& descriptor) : storage_(storage), log_(storage, descriptor) {}

NativeLog::Sent NativeLog::send(const Unit& unit, uint32_t flags, uint64_t run, std::optional<int64_t> deadline_ns) {
  auto call = storage_.context().call("append");
  if (deadline_ns) call->set_deadline_ns(*deadline_ns);
  auto* request = call->make<sluice_append>();
  auto* result = call->make<sluice_append_result>();
  auto* batches = call->make_element<sluice_batch>(unit.size());
  result->batches = call->make_element<sluice_batch_result>(unit.size());
  int64_t base = 0;
  for (size_t i = 0; i < unit.size(); ++i) {
    const int64_t span = unit[i].last - unit[i].base;
    batches[i].data = call->copy(unit[i].bytes.data(), unit[i].bytes.size());
    batches[i].size = unit[i].bytes.size();
    batches[i].base_offset = base;
    batches[i].last_offset = base + span;
    base += span + 1;
    batches[i].max_timestamp = unit[i].timestamp;
    batches[i].record_count = unit[i].records;
    request->bytes += unit[i].bytes.size();
  }
  request->flags = flags;
  request->run = run;
  request->batches = batches;
  request->batch_count = static_cast<uint32_t>(unit.size());
  call->start([&](sluice_ticket* ticket) { return storage_.api().append(log_.raw(), ticket, request, result); });
  return {std::move(call), result, unit.size()};
}

NativeAppendAnswer NativeLog::Sent::wait() {
  NativeAppendAnswer answer;
  answer.status = call_->wait();
  answer.text = call_->text();
  answer.end = result_->end;
  if (batches_ > 0) answer.batches.assign(result_->batches, result_->batches + batches_);
  call_->retire();
  return answer;
}

std::vector<PlacedRecord> NativeLog::must_append(const std::vector<Record>& records, records::Codec codec) {
  const NativeAppendAnswer answer = append({make_native_batch(records, codec)});
  expect_status(SLUICE_OK, answer, "append");
  const sluice_batch_result& batch = answer.batches.front();
  require(batch.applied == records.size(), "append: OK, and {} of {} records were applied", batch.applied,
          records.size());
  require(batch.first_offset >= 0 && batch.last_offset >= batch.first_offset, "append: OK, with the offsets {} to {}",
          batch.first_offset, batch.last_offset);
  require(answer.end > batch.last_offset, "append: the end {} is not behind the unit, which ends at {}", answer.end,
          batch.last_offset);
  // Where nobody else writes, what lies between them is ours; offsets in between are the reader's to tell.
  std::vector<PlacedRecord> placed;
  const bool dense = batch.last_offset - batch.first_offset + 1 == static_cast<int64_t>(records.size());
  std::vector<PlacedRecord> found;
  for (int64_t offset = batch.first_offset; !dense && offset <= batch.last_offset;) {
    NativeReadAnswer read = must_read(offset, batch.last_offset + 1);
    found.insert(found.end(), read.records.begin(), read.records.end());
    offset = read.next;
  }
  require(dense || found.size() == records.size(), "between {} and {} there are {} records, {} were appended",
          batch.first_offset, batch.last_offset, found.size(), records.size());
  for (size_t i = 0; i < records.size(); ++i) {
    placed.push_back({dense ? batch.first_offset + static_cast<int64_t>(i) : found[i].offset, records[i]});
  }
  return placed;
}

NativeReadAnswer NativeLog::read(int64_t offset, int64_t limit, uint64_t max_bytes) {
  auto call = storage_.context().call("read");
  auto* request = call->make<sluice_read>();
  auto* result = call->make<sluice_read_result>();
  request->offset = offset;
  request->limit = limit;
  request->max_bytes = max_bytes;
  call->start([&](sluice_ticket* ticket) { return storage_.api().read(log_.raw(), ticket, request, result); });
  NativeReadAnswer answer;
  answer.status = call->wait();
  answer.text = call->text();
  answer.next = result->next;
  answer.start = result->start;
  answer.end = result->end;
  answer.skipped = result->skipped;
  const Lease lease(result->slices, result->slice_count, result->owner, result->release);
  call->retire();
  if (!answer.ok()) {
    require(lease.empty(), "a read that failed left a lease");
    return answer;
  }
  const std::vector<uint8_t> bytes = lease.bytes();
  answer.bytes = bytes.size();
  int64_t last = -1;
  for (Bytes rest(bytes); !rest.empty(); ++answer.batches) {
    const auto batch = records::take_batch(rest);
    require(batch.has_value(), "what was read at {} is no whole v2 batch: {}", offset,
            batch ? "" : records::batch_error_name(batch.error()));
    require(batch->crc() == batch->compute_crc(), "the batch at {} has a wrong checksum", batch->base_offset());
    require(batch->last_offset() >= offset, "a read at {} gave a batch that ends at {}", offset, batch->last_offset());
    require(batch->base_offset() > last, "a batch at {} came behind one that ends at {}", batch->base_offset(), last);
    require(batch->last_offset() < limit, "a batch that ends at {} came, the limit was {}", batch->last_offset(),
            limit);
    last = batch->last_offset();
    take_records(*batch, answer.records);
  }
  require(answer.next > last && answer.next >= offset, "a read at {} that gave offsets up to {} says to go on at {}",
          offset, last, answer.next);
  require(answer.next <= answer.end, "a read says to go on at {}, behind the end {}", answer.next, answer.end);
  require(answer.batches <= 1 || answer.bytes <= max_bytes, "{} batches of {} bytes came, {} bytes were asked for",
          answer.batches, answer.bytes, max_bytes);
  return answer;
}

NativeReadAnswer NativeLog::must_read(int64_t offset, int64_t limit, uint64_t max_bytes) {
  const int64_t until = deadline_in_ms(storage_.context().options().call_timeout_ms);
  for (;;) {
    NativeReadAnswer answer = read(offset, limit, max_bytes);
    const bool try_again = answer.status == SLUICE_BUSY || answer.status == SLUICE_UNAVAILABLE;
    if (!try_again || deadline_in_ms(0) > until) {
      expect_status(SLUICE_OK, answer, "read");
      if (answer.next > offset || !answer.records.empty() || deadline_in_ms(0) > until) return answer;
      if (answer.end <= offset || limit <= offset) return answer;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(kPauseMs));
  }
}

std::vector<PlacedRecord> NativeLog::read_all(int64_t offset, uint64_t max_bytes) {
  const int64_t end = must_bounds().end;
  std::vector<PlacedRecord> all;
  while (offset < end) {
    const NativeReadAnswer answer = must_read(offset, kNoLimit, max_bytes);
    require(answer.next > offset, "a read at {} gave nothing, though the log ends at {}", offset, end);
    for (const PlacedRecord& placed : answer.records) {
      if (placed.offset >= offset && placed.offset < end) all.push_back(placed);
    }
    offset = answer.next;
  }
  return all;
}

std::shared_ptr<Call> NativeLog::send_watch(int64_t offset) {
  auto call = storage_.context().call("watch");
  call->start([&](sluice_ticket* ticket) { return storage_.api().watch(log_.raw(), ticket, offset); });
  return call;
}

BoundsAnswer NativeLog::must_bounds() {
  BoundsAnswer bounds = log_.bounds();
  expect_status(SLUICE_OK, bounds, "bounds");
  return bounds;
}

FreshNative::FreshNative(Context& context, int32_t partitions) : descriptor(context.descriptor()) {
  descriptor.partition_count = partitions;
  context.storage().must_create(descriptor);
  log.emplace(context.storage(), descriptor);
}

void expect_records(const std::vector<PlacedRecord>& wanted, const std::vector<PlacedRecord>& found, const char* what) {
  for (size_t i = 0; i < std::min(wanted.size(), found.size()); ++i) {
    require(found[i].offset == wanted[i].offset, "{}: the record at {} was expected, the one at {} came", what,
            wanted[i].offset, found[i].offset);
    require(found[i].record == wanted[i].record, "{}: the record at {} is not as it was: {} became {}", what,
            wanted[i].offset, describe(wanted[i].record), describe(found[i].record));
  }
  require(found.size() == wanted.size(), "{}: {} records were expected, {} came", what, wanted.size(), found.size());
}

std::string native_name_of(Context& context, const Descriptor& descriptor) {
  const ListAnswer list = context.storage().list_logs();
  expect_status(SLUICE_OK, list, "list_logs");
  for (const ListEntry& entry : list.entries) {
    if ((entry.flags & SLUICE_ENTRY_FOREIGN) != 0 && entry.topic == descriptor.topic) return entry.topic;
  }
  if (!context.options().native_name.empty()) return context.options().native_name;
  throw Inapplicable("list_logs does not show what was made as the engine's own, and no native name was given");
}

namespace {

std::vector<Check> gathered() {
  std::vector<Check> all;
  for (const auto list : {native_append_checks(), native_read_checks(), native_topic_checks(), native_crowd_checks(),
                          native_fault_checks()}) {
    all.insert(all.end(), list.begin(), list.end());
  }
  return all;
}

}  // namespace

std::span<const Check> native_checks() {
  static const std::vector<Check> all = gathered();
  return all;
}

}  // namespace sluice::conformance
