// SPDX-License-Identifier: Apache-2.0
// Records for tests, with the bytes that they view.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "sluice/record.hpp"

namespace sluice {

class SampleRecord {
 public:
  SampleRecord& key(std::string bytes) { return record_.key = keep(std::move(bytes)), *this; }
  SampleRecord& value(std::string bytes) { return record_.value = keep(std::move(bytes)), *this; }
  SampleRecord& timestamp_ms(int64_t ms) { return record_.timestamp_ns = ms * 1'000'000, *this; }
  SampleRecord& timestamp_ns(int64_t ns) { return record_.timestamp_ns = ns, *this; }
  SampleRecord& partition(int32_t number) { return record_.partition = number, *this; }
  SampleRecord& position(int64_t number) { return record_.position = number, *this; }
  SampleRecord& header(std::string name, std::optional<std::string> bytes) {
    Header header;
    header.name = as_text(keep(std::move(name)));
    if (bytes) header.value = keep(std::move(*bytes));
    headers_.push_back(header);
    record_.headers = Headers(headers_);
    return *this;
  }

  const Record& record() const { return record_; }

 private:
  Bytes keep(std::string bytes) { return as_bytes(bytes_.emplace_back(std::move(bytes))); }

  std::deque<std::string> bytes_;
  std::vector<Header> headers_;
  Record record_;
};

}  // namespace sluice
