// SPDX-License-Identifier: Apache-2.0
// The C face called in any order, with any text, size and handle: the input is a program of calls on a few handles.
// Nothing may crash, whatever a caller does that C lets him do (pointers to memory that is not there excepted).
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "sluice/sluice.h"

namespace {

constexpr size_t kHandles = 8;
constexpr size_t kMaxCalls = 64;
constexpr size_t kMaxTextBytes = 256;

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  bool more() const { return left_ > 0; }
  uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  uint64_t number() {
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | byte();
    return value;
  }
  std::string text() {
    const size_t size = std::min<size_t>(byte() % (kMaxTextBytes + 1), left_);
    std::string made(reinterpret_cast<const char*>(data_), size);
    data_ += size;
    left_ -= size;
    return made;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

sluice_span span(const std::string& bytes, bool null) {
  return {null ? nullptr : reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

/// Texts that get somewhere more often than chance does.
std::string config(Input& input, sluice_handle bus) {
  switch (input.byte() % 5) {
    case 0:
      return R"({"shards": 1, "capacity_events": 16, "retain_events": 16, "when_full": "drop_newest"})";
    case 1:
      return R"({"sources": [{"kind": "bus", "bus": )" + std::to_string(bus) + "}]}";
    case 2:
      return R"({"sources": [{"kind": "bus", "bus": )" + std::to_string(bus) + R"(}], "filter": ")" + input.text() +
             "\"}";
    case 3:
      return "{\"" + input.text() + "\": " + input.text() + "}";
    default:
      return input.text();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  sluice_handle made[kHandles] = {};
  sluice_failure failure{};
  failure.size = sizeof failure;
  std::vector<char> buffer(512);
  uint64_t needed = 0;
  for (size_t calls = 0; calls < kMaxCalls && input.more(); ++calls) {
    sluice_handle& target = made[input.byte() % kHandles];
    const uint8_t which = input.byte();
    const sluice_handle any = (which & 0x80) != 0 ? input.number() : made[which % kHandles];
    switch (input.byte() % 16) {
      case 0: {
        const std::string text = config(input, any);
        sluice_handle opened = 0;
        if (sluice_bus_open(text.data(), text.size(), &opened, &failure) == SLUICE_OK) {
          sluice_release(target, nullptr);
          target = opened;
        }
        break;
      }
      case 1: {
        const std::string text = config(input, any);
        const std::string cursor = (input.byte() & 1) != 0 ? input.text() : std::string();
        sluice_handle opened = 0;
        if (sluice_consumer_open(text.data(), text.size(), cursor.data(), cursor.size(), &opened, &failure) ==
            SLUICE_OK) {
          sluice_release(target, nullptr);
          target = opened;
        }
        break;
      }
      case 2: {
        const std::string text = input.text();
        sluice_handle opened = 0;
        const bool json = (input.byte() & 1) != 0;
        const sluice_status status = json ? sluice_filter_from_json(text.data(), text.size(), &opened, &failure)
                                          : sluice_filter_parse(text.data(), text.size(), &opened, &failure);
        if (status == SLUICE_OK) {
          sluice_release(target, nullptr);
          target = opened;
        }
        break;
      }
      case 3: {
        const std::string key = input.text();
        const std::string value = input.text();
        const uint8_t flags = input.byte();
        sluice_field header{span(key, (flags & 1) != 0), span(value, (flags & 2) != 0)};
        sluice_event event{};
        event.size = (flags & 4) != 0 ? input.byte() : sizeof event;
        event.key = span(key, (flags & 8) != 0);
        event.value = span(value, (flags & 16) != 0);
        event.headers = (flags & 32) != 0 ? nullptr : &header;
        event.header_count = flags >> 7;
        sluice_bus_ingest(any, &event, &failure);
        const sluice_event* const batch[] = {&event, (flags & 64) != 0 ? nullptr : &event};
        sluice_bus_ingest_batch(any, batch, 2, nullptr, &failure);
        break;
      }
      case 4: {
        sluice_poll poll{};
        poll.size = (which & 1) != 0 ? input.byte() : sizeof poll;
        poll.max_records = static_cast<uint32_t>(input.byte());
        poll.max_bytes = input.number();
        poll.min_records = input.byte();
        sluice_polled polled{};
        polled.size = sizeof polled;
        sluice_handle page = 0;
        if (sluice_consumer_poll(any, &poll, &page, &polled, &failure) == SLUICE_OK) {
          sluice_release(target, nullptr);
          target = page;
        }
        break;
      }
      case 5: {
        const sluice_record* records = nullptr;
        const sluice_note* notes = nullptr;
        uint64_t count = 0;
        uint64_t sum = 0;
        if (sluice_page_records(any, &records, &count, &failure) == SLUICE_OK) {
          for (uint64_t i = 0; i < count; ++i) {
            for (uint64_t j = 0; j < records[i].value.size; ++j) sum += records[i].value.data[j];
          }
        }
        sluice_page_notes(any, &notes, &count, sum == 1 ? nullptr : &failure);
        break;
      }
      case 6:
        sluice_page_cursor(any, buffer.data(), input.byte() * 2, &needed, &failure);
        break;
      case 7: {
        const std::string left = input.text();
        const std::string right = input.text();
        int32_t order = 0;
        sluice_cursor_compare(left.data(), left.size(), right.data(), right.size(), &order, &failure);
        break;
      }
      case 8: {
        const std::string text = input.text();
        sluice_consumer_seek(any, text.data(), text.size(), &failure);
        sluice_consumer_pause(any, text.data(), text.size(), &failure);
        sluice_consumer_resume(any, text.data(), text.size(), &failure);
        sluice_consumer_remove(any, text.data(), text.size(), &failure);
        break;
      }
      case 9: {
        const std::string text = config(input, any);
        sluice_consumer_add(any, text.data(), text.size(), nullptr, &failure);
        break;
      }
      case 10:
        sluice_consumer_wake(any, &failure);
        break;
      case 11: {
        sluice_candidate record{};
        const std::string value = input.text();
        record.size = sizeof record;
        record.value = span(value, false);
        record.header_count = input.byte() & 1;
        int32_t truth = 0;
        sluice_filter_judge(any, &record, &truth, &failure);
        sluice_filter_text(any, buffer.data(), buffer.size(), &needed, &failure);
        break;
      }
      case 12: {
        sluice_bus_counts counts{};
        counts.size = sizeof counts;
        sluice_bus_stats(any, &counts, &failure);
        sluice_bus_remove_shard(any, input.byte(), &failure);
        sluice_bus_add_shard(any, nullptr, &failure);
        break;
      }
      case 13:
        sluice_bus_shutdown(any, 1'000, &failure);
        break;
      case 14: {
        const std::string bytes = input.text();
        sluice_envelope_decode(span(bytes, false), input.byte() * 64U, reinterpret_cast<uint8_t*>(buffer.data()),
                               buffer.size(), &needed, nullptr, &failure);
        sluice_envelope_encode(span(bytes, false), input.byte() % 6, 1 << 16, reinterpret_cast<uint8_t*>(buffer.data()),
                               buffer.size(), &needed, &failure);
        break;
      }
      default:
        sluice_release(any, &failure);
        break;
    }
  }
  for (const sluice_handle handle : made) {
    sluice_bus_shutdown(handle, 1'000, nullptr);  // nothing is said of a bus that was shut down
    sluice_release(handle, nullptr);
  }
  if (sluice_handles() != 0) __builtin_trap();
  return 0;
}
