// SPDX-License-Identifier: Apache-2.0
#include "native/unit.hpp"

#include <gtest/gtest.h>

#include "records/builder.hpp"
#include "records/control.hpp"
#include "records/record.hpp"

namespace sluice::native {
namespace {

constexpr uint64_t kLargest = 1'048'588;

/// A request over batches that it keeps.
class Request {
 public:
  void add(Buffer batch) {
    buffers_.push_back(std::move(batch));
    elements_.push_back({buffers_.back().data(), buffers_.back().size(), 0, 0, 0, 1, 0});
  }
  sluice_append get() const {
    sluice_append request{};
    request.size = sizeof request;
    request.batches = elements_.data();
    request.batch_count = static_cast<uint32_t>(elements_.size());
    return request;
  }

 private:
  std::vector<Buffer> buffers_;
  std::vector<sluice_batch> elements_;
};

Buffer batch_of(int records, size_t size, records::BatchOptions options = {}) {
  records::BatchBuilder builder(options);
  const std::string value(size, 'x');
  for (int i = 0; i < records; ++i) {
    records::NewRecord record;
    record.value = as_bytes(value);
    EXPECT_TRUE(builder.add(record).ok());
  }
  return std::move(*builder.build());
}

TEST(NativeUnit, UnpacksEveryCodec) {
  for (const records::Codec codec : {records::Codec::none, records::Codec::gzip, records::Codec::snappy,
                                     records::Codec::lz4, records::Codec::zstd}) {
    Request request;
    records::BatchOptions options;
    options.codec = codec;
    request.add(batch_of(10, 1'000, options));
    request.add(batch_of(3, 10, options));
    const auto unit = unpack(request.get(), kLargest);
    ASSERT_TRUE(unit) << unit.error().describe();
    EXPECT_EQ(unit->records, 13u);
    EXPECT_GT(unit->bytes, 10'000u);
    ASSERT_EQ(unit->batches.size(), 2u);
    records::RecordIterator records(unit->batches[0].section, unit->batches[0].batch);
    records::RecordView record;
    ASSERT_TRUE(records.next(record));
    EXPECT_EQ(record.value->size(), 1'000u);
  }
}

TEST(NativeUnit, RefusesTheWholeUnitForOneBatch) {
  const auto refused = [](Buffer batch, StatusCode code) {
    Request request;
    request.add(batch_of(3, 10));
    request.add(std::move(batch));
    const auto unit = unpack(request.get(), kLargest);
    ASSERT_FALSE(unit);
    EXPECT_EQ(unit.error().code(), code) << unit.error().describe();
  };
  records::BatchOptions transactional;
  transactional.is_transactional = true;
  transactional.producer_id = 1;
  transactional.producer_epoch = 0;
  transactional.base_sequence = 0;
  refused(batch_of(1, 10, transactional), StatusCode::invalid);
  refused(records::make_marker({}, 1), StatusCode::invalid);
  refused(Buffer::copy_of(as_bytes("no batch at all")), StatusCode::invalid);
  refused(batch_of(1, kLargest), StatusCode::too_large);
  Buffer damaged = batch_of(3, 10);
  std::fill(damaged.data() + records::kBatchHeaderBytes, damaged.data() + damaged.size(), uint8_t{0xff});
  refused(std::move(damaged), StatusCode::invalid);
  records::BatchOptions gzip;
  gzip.codec = records::Codec::gzip;
  Buffer garbage = batch_of(3, 10, gzip);
  std::fill(garbage.data() + records::kBatchHeaderBytes, garbage.data() + garbage.size(), uint8_t{7});
  refused(std::move(garbage), StatusCode::invalid);
}

// S14: what unpacks to more than the limit is refused before the memory is taken.
TEST(NativeUnit, ABombIsRefused) {
  records::BatchOptions options;
  options.codec = records::Codec::zstd;
  Request request;
  for (int i = 0; i < 3; ++i) request.add(batch_of(100, 1'000'000, options));
  const auto unit = unpack(request.get(), kLargest);
  ASSERT_FALSE(unit);
  EXPECT_EQ(unit.error().code(), StatusCode::too_large);
}

}  // namespace
}  // namespace sluice::native
