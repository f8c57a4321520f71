// SPDX-License-Identifier: Apache-2.0
#include "conformance/world.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/bytes.hpp"
#include "base/crc32c.hpp"

namespace sluice::conformance {

Batch make_batch(int64_t base, int64_t last, int64_t timestamp, size_t size, int32_t records) {
  Batch batch;
  batch.base = base;
  batch.last = last;
  batch.timestamp = timestamp;
  batch.records = records >= 0 ? static_cast<uint32_t>(records) : static_cast<uint32_t>(last - base + 1);
  batch.bytes.resize(std::max(size, kSmallestBatchBytes));
  uint8_t* at = batch.bytes.data();
  store_be<int64_t>(at, base);
  store_be<int32_t>(at + 8, static_cast<int32_t>(batch.bytes.size() - 12));
  store_be<int32_t>(at + 12, 0);  // leader epoch
  at[16] = 2;                     // magic
  store_be<int16_t>(at + 21, 0);  // attributes
  store_be<int32_t>(at + 23, static_cast<int32_t>(last - base));
  store_be<int64_t>(at + 27, timestamp);
  store_be<int64_t>(at + 35, timestamp);
  store_be<int64_t>(at + 43, -1);
  store_be<int16_t>(at + 51, -1);
  store_be<int32_t>(at + 53, -1);
  store_be<int32_t>(at + 57, static_cast<int32_t>(batch.records));
  // Content that tells batches, and places within them, apart.
  uint64_t state = static_cast<uint64_t>(base) * 0x9e3779b97f4a7c15 + size;
  for (size_t i = kSmallestBatchBytes; i < batch.bytes.size(); ++i) {
    state = state * 6364136223846793005 + 1442695040888963407;
    at[i] = static_cast<uint8_t>(state >> 56);
  }
  store_be<uint32_t>(at + 17, crc32c({at + 21, batch.bytes.size() - 21}));
  return batch;
}

Unit make_unit(int64_t base, size_t count, size_t size, int64_t timestamp) {
  Unit unit;
  for (size_t i = 0; i < count; ++i) {
    const auto offset = base + static_cast<int64_t>(i);
    unit.push_back(make_batch(offset, offset, timestamp + static_cast<int64_t>(i), size));
  }
  return unit;
}

const sluice_log_descriptor* Descriptor::in(Call& call) const {
  auto* made = call.make<sluice_log_descriptor>();
  made->flags = flags;
  std::copy(id.begin(), id.end(), made->id);
  made->start_offset = start_offset;
  made->topic = call.copy(topic);
  std::copy(topic_id.begin(), topic_id.end(), made->topic_id);
  made->partition = partition;
  made->partition_count = partition_count;
  if (!settings.empty()) {
    auto* list = call.make_element<sluice_setting>(settings.size());
    for (size_t i = 0; i < settings.size(); ++i) {
      list[i].name = call.copy(settings[i].first);
      list[i].value = call.copy(settings[i].second);
    }
    made->settings = list;
    made->setting_count = static_cast<uint32_t>(settings.size());
  }
  return made;
}

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    release();
    slices_ = std::exchange(other.slices_, nullptr);
    count_ = std::exchange(other.count_, 0);
    owner_ = std::exchange(other.owner_, nullptr);
    release_ = std::exchange(other.release_, nullptr);
  }
  return *this;
}

std::vector<uint8_t> Lease::bytes() const {
  std::vector<uint8_t> all;
  for (uint32_t i = 0; i < count_; ++i) {
    const sluice_slice& slice = slices_[i];
    if (slice.data != nullptr) {
      all.insert(all.end(), slice.data, slice.data + slice.length);
      continue;
    }
    require(slice.fd >= 0, "a slice has neither memory nor a file descriptor");
    const size_t at = all.size();
    all.resize(at + slice.length);
    for (size_t done = 0; done < slice.length;) {
      const ssize_t got =
          pread(slice.fd, all.data() + at + done, slice.length - done, static_cast<off_t>(slice.position + done));
      require(got > 0, "the lent range of a file cannot be read ({})",
              got < 0 ? std::strerror(errno) : "it ends too early");
      done += static_cast<size_t>(got);
    }
  }
  return all;
}

uint64_t Lease::memory_bytes() const {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count_; ++i) sum += slices_[i].data != nullptr ? slices_[i].length : 0;
  return sum;
}

void Lease::release() {
  if (release_ != nullptr) std::exchange(release_, nullptr)(owner_);
  slices_ = nullptr;
  count_ = 0;
}

Context::Context(std::shared_ptr<const host::Library> library, host::OptionInputs inputs, RunOptions options,
                 std::string directory, uint64_t seed)
    : library_(std::move(library)),
      inputs_(std::move(inputs)),
      options_(std::move(options)),
      directory_(std::move(directory)),
      random_(seed) {}

Storage& Context::storage() {
  if (storage_ == nullptr) {
    storage_ = another();
    storage_->must_start();
  }
  return *storage_;
}

std::unique_ptr<Storage> Context::another() {
  std::filesystem::create_directories(directory_);
  return std::make_unique<Storage>(*this, inputs_, directory_);
}

std::unique_ptr<Storage> Context::with_option(const std::string& name, const host::OptionInput& value) {
  host::OptionInputs changed = inputs_;
  changed.insert_or_assign(name, value);
  const std::string folder = directory_ + "-" + name;
  std::filesystem::create_directories(folder);
  return std::make_unique<Storage>(*this, changed, folder);
}

void Context::drop_storage() {
  storage_.reset();
}

Descriptor Context::descriptor() {
  Descriptor made;
  for (uint8_t& byte : made.id) byte = static_cast<uint8_t>(random_());
  for (uint8_t& byte : made.topic_id) byte = static_cast<uint8_t>(random_());
  made.topic = fmt::format("conformance-{:08x}", static_cast<uint32_t>(random_()));
  return made;
}

const ConditionAnswer& Context::condition() {
  storage();
  return *condition_;
}

void Context::need_capability(uint64_t capabilities, const char* name) {
  if ((condition().capabilities & capabilities) != capabilities) {
    throw Inapplicable(fmt::format("the adapter does not claim {} here", name));
  }
}

size_t Context::unit_bytes(size_t wanted) {
  const uint64_t largest = condition().largest_unit;
  return largest == 0 ? wanted : static_cast<size_t>(std::min<uint64_t>(wanted, largest));
}

FreshLog::FreshLog(Context& context, int64_t start, uint32_t flags) : descriptor(context.descriptor()) {
  descriptor.start_offset = start;
  descriptor.flags = flags;
  context.storage().must_create(descriptor);
  log.emplace(context.storage(), descriptor);
}

void expect_status(sluice_status wanted, const Answer& answer, const char* what) {
  require(answer.status == wanted, "{}: {} was expected, the answer is {}{}{}", what, status_text(wanted),
          status_text(answer.status), answer.text.empty() ? "" : ": ", answer.text);
}

size_t first_at(const std::vector<Batch>& batches, int64_t offset) {
  size_t index = 0;
  while (index < batches.size() && batches[index].last < offset) ++index;
  return index;
}

size_t match_batches(const std::vector<uint8_t>& bytes, const std::vector<Batch>& batches, size_t first,
                     const char* what) {
  size_t at = 0;
  size_t index = first;
  while (at < bytes.size()) {
    require(index < batches.size(), "{}: {} bytes more than were stored were read", what, bytes.size() - at);
    const Batch& wanted = batches[index];
    require(bytes.size() - at >= wanted.bytes.size(), "{}: the batch at {} came cut: {} bytes of {}", what, wanted.base,
            bytes.size() - at, wanted.bytes.size());
    if (!std::equal(wanted.bytes.begin(), wanted.bytes.end(), bytes.begin() + static_cast<ptrdiff_t>(at))) {
      const auto got = load_be<int64_t>(bytes.data() + at);
      require(got == wanted.base, "{}: the batch at {} was expected, the one at {} came", what, wanted.base, got);
      fail_check("{}: the bytes of the batch at {} are not those that were appended", what, wanted.base);
    }
    at += wanted.bytes.size();
    ++index;
  }
  return index - first;
}

void verify_content(Log& log, const std::vector<Batch>& batches, int64_t start, int64_t end, uint64_t max_bytes) {
  const BoundsAnswer bounds = log.bounds();
  expect_status(SLUICE_OK, bounds, "bounds");
  require(bounds.end == end, "the end is {}, it should be {}", bounds.end, end);
  require(bounds.start <= start, "the start is {}, it should be at most {}", bounds.start, start);
  int64_t offset = start;
  size_t index = first_at(batches, start);
  while (index < batches.size()) {
    ReadAnswer answer = log.read(offset, kNoLimit, max_bytes);
    expect_status(SLUICE_OK, answer, "read");
    require(!answer.lease.empty(),
            "read at {}: nothing came, but the batch at {} was stored (end {}): a part of a unit is missing", offset,
            batches[index].base, end);
    const size_t count = match_batches(answer.lease.bytes(), batches, index, "read");
    require(count > 0, "read at {}: a lease without bytes", offset);
    index += count;
    require(answer.next == batches[index - 1].last + 1, "read at {}: next is {}, it should be {}", offset, answer.next,
            batches[index - 1].last + 1);
    offset = answer.next;
  }
  require(offset == end || batches.empty(), "the batches end at {}, the log at {}", offset, end);
  const ReadAnswer behind = log.read(end);
  expect_status(SLUICE_OK, behind, "read at the end");
  require(behind.lease.empty() && behind.next == end, "read at the end gave batches, or a `next` that is not the end");
}

}  // namespace sluice::conformance
