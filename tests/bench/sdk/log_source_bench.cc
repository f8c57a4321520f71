// SPDX-License-Identifier: Apache-2.0
// log_source_bench [--rounds N] [--megabytes N] [--bytes SIZE]
//
// A log of the disk adapter, read three ways in one run: raw, which is the adapter's batches in memory and checked; the
// filter alone, over records that are in memory already; and with the filter, which cannot be faster than the two after
// each other: first through a source, by a filter that looks for a word in every value, then through the merging
// consumer, by a sluice::Filter on the JSON of every value. Medians; the ratio is what reaches the application, in
// bytes per second, over 1 / (1 / raw + 1 / filter). Small records cost more to decode than to read, which raw does not
// do: the last ratio has the consumer without the filter in its place.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/crc32c.hpp"
#include "base/uuid.hpp"
#include "host/log.hpp"
#include "sluice/consumer.hpp"
#include "sluice/filter.hpp"
#include "sluice/log_writer.hpp"
#include "sluice/storage_host.hpp"
#include "sluice/storage_source.hpp"
#include "sources/host_core.hpp"

using namespace sluice;  // NOLINT(google-build-using-namespace): a program of one file

namespace {

using Clock = std::chrono::steady_clock;
constexpr uint64_t kReadBytes = 1 << 20;

void need(bool holds, std::string_view what) {
  if (holds) return;
  fmt::print(stderr, "{}\n", what);
  std::exit(1);
}

double seconds_of(const std::function<void()>& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// About one in a hundred.
bool wanted(const Record& record) {
  return as_text(*record.value).find("\"level\":\"error\"") != std::string_view::npos;
}

Task<Status> read_raw(std::shared_ptr<host::Log> log, int64_t end, Executor& on) {
  std::vector<uint8_t> buffer;
  for (int64_t at = 0; at < end;) {
    auto read = co_await log->read(at, INT64_MAX, kReadBytes, on);
    if (!read) co_return read.error().status;
    // The bytes are where an application can look at them, and were looked at.
    for (const host::Slice& slice : read->slices) {
      Bytes bytes(slice.data, slice.length);
      if (slice.data == nullptr) {
        buffer.resize(std::max<size_t>(buffer.size(), slice.length));
        const ssize_t got = ::pread(slice.fd, buffer.data(), slice.length, static_cast<off_t>(slice.position));
        if (got != static_cast<ssize_t>(slice.length)) co_return Status(StatusCode::corrupt, "a short read");
        bytes = Bytes(buffer.data(), slice.length);
      }
      if (crc32c(bytes) == 1) co_return Status(StatusCode::corrupt, "an unlikely checksum");
    }
    at = read->next;
  }
  co_return Status();
}

Page read_page(Source& source, int64_t from) {
  std::mutex mutex;
  std::condition_variable came;
  std::optional<Result<Page>> answer;
  PageRequest request;
  request.from = from;
  request.max_records = 4'096;
  source.read(request, [&](Result<Page> page) {
    const std::lock_guard lock(mutex);
    answer = std::move(page);
    came.notify_one();
  });
  std::unique_lock lock(mutex);
  came.wait(lock, [&] { return answer.has_value(); });
  need(answer->has_value(), *answer ? "" : answer->error().describe());
  return std::move(**answer);
}

/// The same records by a filter of the SDK's.
Filter json_filter() {
  auto filter = Filter::parse(R"(value.level = "error")");
  need(filter.has_value(), filter ? "" : filter.error().describe());
  return std::move(*filter);
}

/// All of the log to an application that polls; how many records came.
size_t consume(std::unique_ptr<Source> source, int64_t total, RecordPredicate filter) {
  const std::string id = source->id();
  std::vector<std::shared_ptr<Source>> sources;
  sources.push_back(std::move(source));
  auto consumer = MergingConsumer::create({}, std::move(sources), {}, std::move(filter));
  need(consumer.has_value(), consumer ? "" : consumer.error().describe());
  PollRequest request;
  request.max_records = 4'096;
  size_t records = 0;
  for (int64_t at = 0; at < total;) {
    const auto response = (*consumer)->poll(request);
    need(response.has_value(), response ? "" : response.error().describe());
    records += response->records.size();
    at = response->cursor.next(id).value_or(0);
  }
  return records;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 5;
  size_t megabytes = 512;
  size_t size = 1'024;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    const auto value = static_cast<size_t>(std::atoll(argv[i + 1]));
    if (option == "--rounds") rounds = static_cast<int>(value);
    if (option == "--megabytes") megabytes = value;
    if (option == "--bytes") size = std::max<size_t>(value, 64);
  }
  std::string folder = (std::filesystem::temp_directory_path() / "sluice-bench-XXXXXX").string();
  need(::mkdtemp(folder.data()) != nullptr, "no folder");
  StorageHostSettings storage;
  storage.name = "disk";
  storage.library = "disk";
  storage.data_directory = folder;
  auto host = StorageHost::open(storage);
  need(host.has_value(), host ? "" : host.error().describe());
  LogWriterSettings writing;
  writing.log = "events";
  writing.state_directory = folder + "/state";
  auto writer = LogWriter::open(*host, writing);
  need(writer.has_value(), writer ? "" : writer.error().describe());

  const size_t records = (megabytes << 20) / size;
  std::vector<std::string> values;
  for (size_t i = 0; i < 100; ++i) {
    std::string value = fmt::format(R"({{"n":{},"text":"{}","level":"{}"}})", i, std::string(size - 48, 'x'),
                                    i == 0 ? "error" : "info");
    values.push_back(std::move(value));
  }
  std::vector<Record> batch(100);
  for (size_t i = 0; i < 100; ++i) batch[i].value = as_bytes(values[i]);
  for (size_t i = 0; i < records; i += 100) {
    Status accepted;
    while ((accepted = (*writer)->append(batch, [](const Result<Written>& written) {
             need(written.has_value(), "append");
           })).code() == StatusCode::busy) {
      static_cast<void>((*writer)->flush(60'000));
    }
    need(accepted.ok(), accepted.describe());
  }
  need((*writer)->flush(120'000).ok(), "flush");
  const auto total = static_cast<int64_t>((*writer)->counters().written);
  uint64_t bytes = 0;
  for (const std::string& value : values) bytes += value.size();
  const double payload = static_cast<double>(bytes) / 100 * static_cast<double>(total);

  LogSourceSettings reading;
  reading.log = "events";
  reading.log_id = (*writer)->log_id();
  host::LogDescriptor descriptor;
  descriptor.id = Uuid::parse(reading.log_id)->bytes;
  descriptor.topic = "events";
  StorageHost::Core& core = *(*host)->core();
  std::vector<double> raw, filter, both, unfiltered;
  std::vector<double> json, consumed, consumed_filtered;
  FilterEvaluator evaluator(json_filter());
  size_t found = 0;
  for (int round = 0; round < rounds; ++round) {
    raw.push_back(payload / seconds_of([&] {
                    const auto log = *core.storage->open(descriptor);
                    const Status read = core.wait_for<Status>("read", [&] { return read_raw(log, total, core.loop); });
                    need(read.ok(), read.describe());
                  }));
    filter.push_back(payload / seconds_of([&] {
                       for (int64_t i = 0; i < total; ++i) found += wanted(batch[static_cast<size_t>(i % 100)]);
                     }));
    for (const bool filtering : {false, true}) {
      auto source = make_log_source(*host, reading);
      (filtering ? both : unfiltered).push_back(payload / seconds_of([&] {
                                                  for (int64_t at = 0; at < total;) {
                                                    const Page page = read_page(**source, at);
                                                    if (filtering) {
                                                      for (const Record& record : page.records) found += wanted(record);
                                                    }
                                                    at = page.next;
                                                  }
                                                }));
    }
    size_t passed = 0;
    json.push_back(payload / seconds_of([&] {
                     for (int64_t i = 0; i < total; ++i)
                       passed += evaluator.passes(batch[static_cast<size_t>(i % 100)]);
                   }));
    for (const bool filtering : {false, true}) {
      auto source = make_log_source(*host, reading);
      size_t got = 0;
      (filtering ? consumed_filtered : consumed).push_back(payload / seconds_of([&] {
                                                             got = consume(std::move(*source), total,
                                                                           filtering ? predicate_of(json_filter())
                                                                                     : RecordPredicate());
                                                           }));
      need(got == (filtering ? passed : static_cast<size_t>(total)), "the consumer brought other records");
    }
  }
  need(found > 0, "the filter found nothing");
  const double json_ideal = 1 / (1 / median(raw) + 1 / median(json));
  const double ideal = 1 / (1 / median(raw) + 1 / median(filter));
  fmt::print("{} records of {} bytes, medians of {}, MB/s\n", total, size, rounds);
  fmt::print("raw {:.0f}  filter alone {:.0f}  source {:.0f}  source with filter {:.0f}  ideal {:.0f}  ratio {:.2f}\n",
             median(raw) / 1e6, median(filter) / 1e6, median(unfiltered) / 1e6, median(both) / 1e6, ideal / 1e6,
             median(both) / ideal);
  fmt::print(
      "raw {:.0f}  JSON filter alone {:.0f}  consumer {:.0f}  consumer with it {:.0f}  ideal {:.0f}  ratio {:.2f}, ",
      median(raw) / 1e6, median(json) / 1e6, median(consumed) / 1e6, median(consumed_filtered) / 1e6, json_ideal / 1e6,
      median(consumed_filtered) / json_ideal);
  fmt::print("to the consumer and the filter {:.2f}\n",
             median(consumed_filtered) * (1 / median(consumed) + 1 / median(json)));
  writer->reset();
  host->reset();
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return 0;
}
