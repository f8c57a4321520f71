// SPDX-License-Identifier: Apache-2.0
#include "dlq/letter.hpp"

#include <algorithm>
#include <string>

namespace sluice::dlq {
namespace {

struct CauseHeader {
  std::string_view name;
  std::string value;
};

std::string cut(const std::string& text) {
  size_t size = std::min(text.size(), kMaxTextBytes);
  while (size > 0 && size < text.size() && (static_cast<unsigned char>(text[size]) & 0xc0U) == 0x80U) --size;
  return text.substr(0, size);
}

std::vector<CauseHeader> headers_of(const Record& record, const DeadLetterCause& cause) {
  std::vector<CauseHeader> headers;
  headers.push_back({kCauseHeader, std::string(status_name(cause.status.code()))});
  headers.push_back({kTextHeader, cut(cause.status.text())});
  if (cause.status.native_code() != 0) {
    headers.push_back({kNativeCodeHeader, std::to_string(cause.status.native_code())});
  }
  headers.push_back({kSourceHeader, std::string(cause.source.substr(0, kMaxTextBytes))});
  headers.push_back({kPartitionHeader, std::to_string(record.partition)});
  headers.push_back({kPositionHeader, std::to_string(record.position)});
  if (record.timestamp_ns != kNoTimestamp) {
    headers.push_back({kTimestampHeader, std::to_string(record.timestamp_ns)});
  }
  headers.push_back({kAttemptsHeader, std::to_string(cause.attempts)});
  return headers;
}

size_t size_of(const std::optional<Bytes>& bytes) {
  return bytes ? bytes->size() : 0;
}

struct Sizes {
  size_t bytes = 0;
  size_t headers = 0;
};

Sizes sizes_of(const Record& record, const std::vector<CauseHeader>& causes) {
  Sizes sizes;
  sizes.bytes = size_of(record.key) + size_of(record.value);
  record.headers.each([&](const Header& header) {
    sizes.bytes += header.name.size() + size_of(header.value);
    sizes.headers += 1;
    return true;
  });
  for (const CauseHeader& header : causes) sizes.bytes += header.value.size();  // their names are constants
  sizes.headers += causes.size();
  return sizes;
}

}  // namespace

uint64_t Letter::bytes_of(const Record& record, const DeadLetterCause& cause) {
  const Sizes sizes = sizes_of(record, headers_of(record, cause));
  return sizes.bytes + sizes.headers * sizeof(Header);
}

Letter::Letter(const Record& record, const DeadLetterCause& cause, int64_t now_ns) : timestamp_ns_(now_ns) {
  const std::vector<CauseHeader> causes = headers_of(record, cause);
  const Sizes sizes = sizes_of(record, causes);
  bytes_.reserve(std::max<size_t>(1, sizes.bytes));  // never grown: the views stay good
  headers_.reserve(sizes.headers);
  const auto keep = [&](Bytes bytes) {
    const size_t at = bytes_.size();
    bytes_.append(bytes);
    return Bytes(bytes_.data() + at, bytes.size());
  };
  const auto keep_optional = [&](const std::optional<Bytes>& bytes) {
    return bytes ? std::optional<Bytes>(keep(*bytes)) : std::nullopt;
  };
  key_ = keep_optional(record.key);
  value_ = keep_optional(record.value);
  record.headers.each([&](const Header& header) {
    const Bytes name = keep(as_bytes(header.name));
    headers_.push_back({as_text(name), keep_optional(header.value)});
    return true;
  });
  for (const CauseHeader& header : causes) headers_.push_back({header.name, keep(as_bytes(header.value))});
}

}  // namespace sluice::dlq
