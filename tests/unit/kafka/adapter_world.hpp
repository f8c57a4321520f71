// SPDX-License-Identifier: Apache-2.0
// The Kafka adapter as the broker uses it, through the checked host, with records instead of bytes.
#pragma once

#include <fmt/format.h>

#include "native_client.hpp"
#include "records/builder.hpp"
#include "support/native_world.hpp"

namespace sluice::test {

inline std::string batch_of(const std::vector<NativeRecord>& records, records::Codec codec = records::Codec::none) {
  records::BatchOptions options;
  options.codec = codec;
  records::BatchBuilder builder(options);
  const auto view = [](const std::optional<std::string>& text) {
    return text ? records::OptionalBytes(as_bytes(*text)) : std::nullopt;
  };
  for (const NativeRecord& record : records) {
    std::vector<records::HeaderView> headers;
    for (const auto& [name, value] : record.headers) headers.push_back({as_bytes(name), view(value)});
    records::NewRecord made;
    made.timestamp = record.timestamp;
    made.key = view(record.key);
    made.value = view(record.value);
    made.headers = headers;
    EXPECT_TRUE(builder.add(made).ok());
  }
  return std::string(as_text(builder.build()->view()));
}

inline std::vector<NativeRecord> numbered(const std::string& prefix, size_t count, size_t size = 0) {
  std::vector<NativeRecord> records(count);
  for (size_t i = 0; i < count; ++i) {
    records[i].key = std::to_string(i % 5);
    records[i].value = fmt::format("{}-{}", prefix, i);
    records[i].timestamp += static_cast<int64_t>(i);
    if (records[i].value->size() < size) records[i].value->resize(size, 'x');
  }
  return records;
}

inline host::LogDescriptor topic_of(const std::string& topic, int32_t partition = 0, int32_t count = 1,
                                    bool adopted = false) {
  host::LogDescriptor made;
  made.id[15] = static_cast<uint8_t>(std::hash<std::string>()(topic) + static_cast<size_t>(partition));
  made.id[14] = 1;
  made.topic = adopted ? "as-we-call-it" : topic;
  made.partition = partition;
  made.partition_count = count;
  if (adopted) made.settings = {{"sluice.native.name", topic}};
  return made;
}

class Adapter : public NativeBroker {
 public:
  explicit Adapter(const std::string& bootstrap, host::OptionInputs inputs = {}, int64_t call_timeout_ms = 15'000)
      : NativeBroker("kafka", with(std::move(inputs), bootstrap), call_timeout_ms) {}

  Result<host::Condition> start() { return storage->start(); }

  /// Made, opened and acquired; patient while the cluster is away.
  std::shared_ptr<host::Log> ready(const host::LogDescriptor& wanted) {
    Status status;
    EXPECT_TRUE(eventually([&] { return (status = make(wanted)).ok(); })) << status.describe();
    auto log = *storage->open(wanted);
    EXPECT_TRUE(eventually([&] { return acquire(*log, 1).has_value(); }));
    return log;
  }

  std::future<host::AppendOutcome> send(host::Log& log, const std::vector<NativeRecord>& records,
                                        records::Codec codec = records::Codec::none) {
    return NativeBroker::send(log, batch_of(records, codec));
  }
  host::AppendOutcome append(host::Log& log, const std::vector<NativeRecord>& records,
                             records::Codec codec = records::Codec::none) {
    return send(log, records, codec).get();
  }

  /// Records of a lease.
  static std::vector<NativeRecord> records_of(const host::ReadResult& result) {
    std::vector<NativeRecord> all;
    const auto text = [](const records::OptionalBytes& view) {
      return view ? std::optional<std::string>(as_text(*view)) : std::nullopt;
    };
    see_records(result, [&](const records::RecordView& found, const records::BatchView& batch) {
      NativeRecord record{found.offset(batch), found.timestamp(batch), text(found.key), text(found.value), {}};
      auto headers = found.headers();
      for (records::HeaderView header; headers.next(header);)
        record.headers.emplace_back(std::string(as_text(header.key)), text(header.value));
      all.push_back(std::move(record));
    });
    return all;
  }
  /// All from `offset` to the end that bounds tells; patient while the cluster is away. `skipped` adds up.
  std::vector<NativeRecord> read_all(host::Log& log, int64_t offset = 0, uint64_t* skipped = nullptr) {
    Result<host::Bounds> found;
    EXPECT_TRUE(eventually([&] { return (found = try_bounds(log)).has_value(); })) << "no bounds";
    std::vector<NativeRecord> all;
    const auto until = Clock::now() + std::chrono::seconds(60);
    while (found && offset < found->end && Clock::now() < until) {
      const ReadAnswer answer = read(log, offset);
      if (!answer) {
        const StatusCode code = answer.error().status.code();
        if (code == StatusCode::unavailable || code == StatusCode::busy) continue;
        ADD_FAILURE() << "read at " << offset << ": " << answer.error().status.describe();
        break;
      }
      for (NativeRecord& record : records_of(*answer)) {
        if (record.offset >= offset) all.push_back(std::move(record));  // a batch may begin before
      }
      if (skipped != nullptr) *skipped += answer->skipped;
      offset = answer->next;
    }
    return all;
  }

 private:
  static host::OptionInputs with(host::OptionInputs inputs, const std::string& bootstrap) {
    inputs.try_emplace("bootstrap", bootstrap);
    return inputs;
  }
};

inline void expect_same(const std::vector<NativeRecord>& wanted, const std::vector<NativeRecord>& found) {
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_TRUE(found[i].same_as(wanted[i])) << "record " << i << " at " << found[i].offset;
    if (wanted[i].offset >= 0) {
      EXPECT_EQ(found[i].offset, wanted[i].offset) << i;
    }
  }
}

}  // namespace sluice::test
