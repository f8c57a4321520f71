// SPDX-License-Identifier: Apache-2.0
#include "plugin/lease.hpp"

#include <utility>

#include "plugin/call.hpp"

namespace sluice::plugin {

void Lease::keep(const Owner& owner) {
  if (owners_.empty() || owners_.back() != owner) owners_.push_back(owner);
}

void Lease::add_memory(Bytes bytes, const Owner& owner) {
  if (bytes.empty()) return;
  const bool same = !owners_.empty() && owners_.back() == owner;
  if (same && !slices_.empty()) {
    sluice_slice& last = slices_.back();
    if (last.data != nullptr && last.data + last.length == bytes.data()) {
      last.length += bytes.size();
      return;
    }
  }
  keep(owner);
  slices_.push_back({bytes.data(), bytes.size(), 0, -1, 0});
}

void Lease::add_file(int32_t fd, uint64_t position, uint64_t length, const Owner& owner) {
  if (length == 0) return;
  keep(owner);
  if (!slices_.empty()) {
    sluice_slice& last = slices_.back();
    if (last.data == nullptr && last.fd == fd && last.position + last.length == position) {
      last.length += length;
      return;
    }
  }
  slices_.push_back({nullptr, length, position, fd, 0});
}

void Lease::lend(std::unique_ptr<Lease> lease, sluice_read_result& result) noexcept {
  if (lease == nullptr || lease->slices_.empty()) return;
  Lease* lent = lease.release();
  set(result, &sluice_read_result::slice_count, lent->slices_.size());
  set(result, &sluice_read_result::slices, lent->slices_.data());
  set(result, &sluice_read_result::pinned_bytes, lent->pinned_bytes_);
  set(result, &sluice_read_result::owner, lent);
  set(
      result, &sluice_read_result::release, +[](void* owner) { delete static_cast<Lease*>(owner); });
}

void LogList::add(const Uuid& id, std::string topic, int32_t partition, uint32_t flags) {
  sluice_log_entry entry{};
  std::memcpy(entry.id, id.bytes.data(), sizeof entry.id);
  entry.partition = partition;
  entry.flags = flags;
  entries_.push_back(entry);
  topics_.push_back(std::move(topic));
}

void LogList::lend(std::unique_ptr<LogList> list, sluice_log_list& result) {
  for (size_t i = 0; i < list->entries_.size(); ++i) list->entries_[i].topic = list->topics_[i].c_str();
  LogList* lent = list.release();
  set(result, &sluice_log_list::count, lent->entries_.size());
  set(result, &sluice_log_list::entries, lent->entries_.data());
  set(result, &sluice_log_list::owner, lent);
  set(
      result, &sluice_log_list::release, +[](void* owner) { delete static_cast<LogList*>(owner); });
}

void lend_value(Bytes value, Owner owner, sluice_load_result& result) {
  auto held = std::make_unique<Owner>(std::move(owner));
  set(result, &sluice_load_result::present, 1u);
  set(result, &sluice_load_result::value, value.data());
  set(result, &sluice_load_result::value_size, value.size());
  set(result, &sluice_load_result::owner, held.release());
  set(
      result, &sluice_load_result::release, +[](void* held_owner) { delete static_cast<Owner*>(held_owner); });
}

void lend_nothing(sluice_load_result& result) noexcept {
  set(result, &sluice_load_result::present, 0u);
}

}  // namespace sluice::plugin
