// SPDX-License-Identifier: Apache-2.0
// What tests of sources share: a storage on an adapter, and calls of a Source as if they waited.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../support/folder.hpp"
#include "sluice/log_writer.hpp"
#include "sluice/storage_host.hpp"
#include "sluice/storage_source.hpp"

namespace sluice::test {

inline std::shared_ptr<StorageHost> open_storage(const std::string& library, const std::string& directory,
                                                 StorageOptionMap options = {}, bool checked = true,
                                                 const std::string& name = "") {
  StorageHostSettings settings;
  settings.name = name.empty() ? library : name;
  settings.library = library;
  settings.data_directory = directory;
  settings.options = std::move(options);
  settings.checked = checked;
  auto opened = StorageHost::open(std::move(settings));
  EXPECT_TRUE(opened) << opened.error().describe();
  return opened ? *opened : nullptr;
}

/// An example: of this build, or the one that the variable names. tests/abi/sdk_servers.sh names those that it built on
/// the installed package.
inline std::string example(const char* variable, const char* of_this_build) {
  const char* const other = std::getenv(variable);
  return other != nullptr ? other : of_this_build;
}

template <class T>
Result<T> value_of(std::future<Result<T>>& future) {
  if (future.wait_for(kPatience) != std::future_status::ready) return fail(StatusCode::internal, "never answered");
  return future.get();
}

inline std::future<Result<Page>> begin_read(Source& source, const PageRequest& request) {
  auto promise = std::make_shared<std::promise<Result<Page>>>();
  std::future<Result<Page>> future = promise->get_future();
  source.read(request, [promise](Result<Page> page) { promise->set_value(std::move(page)); });
  return future;
}
inline Result<Page> read(Source& source, const PageRequest& request) {
  auto future = begin_read(source, request);
  return value_of(future);
}
inline Result<Page> read(Source& source, int64_t from, uint32_t max_records = 1'000, int64_t wait_ms = 0) {
  PageRequest request;
  request.from = from;
  request.max_records = max_records;
  request.wait_ms = wait_ms;
  return read(source, request);
}
inline Result<SourceBounds> bounds(Source& source) {
  auto promise = std::make_shared<std::promise<Result<SourceBounds>>>();
  auto future = promise->get_future();
  source.bounds([promise](Result<SourceBounds> value) { promise->set_value(std::move(value)); });
  return value_of(future);
}
inline Result<int64_t> locate(Source& source, int64_t timestamp_ns) {
  auto promise = std::make_shared<std::promise<Result<int64_t>>>();
  auto future = promise->get_future();
  source.locate(timestamp_ns, [promise](Result<int64_t> value) { promise->set_value(std::move(value)); });
  return value_of(future);
}

/// A record as a test may keep it.
struct Kept {
  int64_t position = 0;
  int64_t timestamp_ns = 0;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
};
inline std::optional<std::string> text_of(const std::optional<Bytes>& bytes) {
  if (!bytes) return std::nullopt;
  return std::string(as_text(*bytes));
}
inline Kept keep(const Record& record) {
  Kept kept{record.position, record.timestamp_ns, text_of(record.key), text_of(record.value), {}};
  record.headers.each([&](const Header& header) {
    kept.headers.emplace_back(std::string(header.name), text_of(header.value));
    return true;
  });
  return kept;
}

struct Drained {
  std::vector<Kept> records;
  uint64_t corrupt = 0;
  int64_t next = 0;
  size_t pages = 0;
};
/// All from `from` until an empty page that does not move.
inline Drained drain(Source& source, int64_t from = 0, uint32_t max_records = 1'000, uint64_t max_bytes = 1 << 20) {
  Drained drained;
  drained.next = from;
  for (;;) {
    PageRequest request;
    request.from = drained.next;
    request.max_records = max_records;
    request.max_bytes = max_bytes;
    const auto page = read(source, request);
    if (!page) {
      ADD_FAILURE() << page.error().describe();
      return drained;
    }
    ++drained.pages;
    EXPECT_LE(page->records.size(), max_records);
    for (const Record& record : page->records) {
      EXPECT_GE(record.position, drained.next);
      EXPECT_LT(record.position, page->next);
      drained.records.push_back(keep(record));
    }
    drained.corrupt += page->corrupt;
    if (page->next == drained.next) return drained;
    drained.next = page->next;
  }
}

/// Appends values, each an append of its own, and waits until all are settled.
inline std::vector<Written> write_values(LogWriter& writer, const std::vector<std::string>& values) {
  auto written = std::make_shared<std::vector<Written>>();
  for (const std::string& value : values) {
    Record record;
    record.value = as_bytes(value);
    const Status accepted = writer.append({&record, 1}, [written](Result<Written> result) {
      EXPECT_TRUE(result) << result.error().describe();
      if (result) written->push_back(*result);
    });
    EXPECT_TRUE(accepted.ok()) << accepted.describe();
  }
  const Status flushed = writer.flush(60'000);
  EXPECT_TRUE(flushed.ok()) << flushed.describe();
  return *written;
}

}  // namespace sluice::test
