// SPDX-License-Identifier: Apache-2.0
#include "c/handle_table.hpp"

#include <fmt/format.h>

#include <system_error>

#include "base/thread.hpp"
#include "c/callback.hpp"

namespace sluice::c {

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::bus:
      return "a bus";
    case Kind::consumer:
      return "a consumer";
    case Kind::page:
      return "a page";
    case Kind::filter:
      return "a filter";
    case Kind::checkpoints:
      return "a checkpoint store";
    case Kind::limiter:
      return "a limiter";
    case Kind::telemetry:
      return "a telemetry";
    case Kind::instrument:
      return "an instrument";
    case Kind::meter:
      return "a meter";
    case Kind::trace:
      return "a trace";
    case Kind::storage:
      return "a storage";
    case Kind::cluster:
      return "a cluster";
    case Kind::log:
      return "a log";
    case Kind::memory:
      return "a shard in memory";
    case Kind::sink:
      return "a sink";
    case Kind::answer:
      return "an answer";
    case Kind::source:
      return "a source";
    case Kind::source_answer:
      return "an answer of a source's";
    case Kind::observing:
      return "an observer";
    case Kind::observations:
      return "what an observer says";
    case Kind::dead_letters:
      return "a dead letter queue";
    case Kind::cursor:
      return "a cursor";
    case Kind::subscription:
      return "a subscription";
    case Kind::envelope_writer:
      return "an envelope writer";
    case Kind::envelope_reader:
      return "an envelope reader";
  }
  return "nothing";
}

HandleTable::~HandleTable() {
  for (auto& chunk : chunks_) delete chunk.load();
}

Object& HandleTable::Use::object() const {
  return *slot_->object;
}

HandleTable::Slot* HandleTable::find(uint64_t handle) const {
  const auto index = static_cast<uint32_t>(handle);
  if (index >= kMaxHandles) return nullptr;
  Chunk* chunk = chunks_[index / kSlotsPerChunk].load(std::memory_order_acquire);
  return chunk == nullptr ? nullptr : &(*chunk)[index % kSlotsPerChunk];
}

Result<uint64_t> HandleTable::insert(std::unique_ptr<Object>&& object) {
  uint32_t index = 0;
  {
    const std::scoped_lock lock(mutex_);
    if (!free_.empty()) {
      index = free_.back();
      free_.pop_back();
    } else if (used_ < kMaxHandles) {
      index = used_++;
      auto& chunk = chunks_[index / kSlotsPerChunk];
      if (chunk.load(std::memory_order_relaxed) == nullptr) chunk.store(new Chunk, std::memory_order_release);
    } else {
      return fail(StatusCode::busy, fmt::format("there are {} handles, and no more are given out", kMaxHandles));
    }
  }
  Slot& slot = *find(index);
  slot.index = index;
  slot.object = std::move(object);
  // Calls with numbers of earlier lives come and go meanwhile: only their uses may change beside this.
  uint64_t state = slot.state.load(std::memory_order_relaxed);
  uint64_t open = 0;
  do {
    const uint64_t generation = (state >> kGenerationShift) + 1;
    open = (generation << kGenerationShift) | kOccupied | ((state & kUses) + 1);
  } while (!slot.state.compare_exchange_weak(state, open, std::memory_order_acq_rel));
  size_.fetch_add(1, std::memory_order_relaxed);
  return (open >> kGenerationShift << kGenerationShift) | index;
}

Result<HandleTable::Use> HandleTable::acquire(uint64_t handle, Kind kind) {
  Slot* slot = find(handle);
  if (slot == nullptr || handle == 0)
    return fail(StatusCode::not_found, fmt::format("handle {} names nothing", handle));
  const uint64_t state = slot->state.fetch_add(1, std::memory_order_acq_rel);
  Use use(this, slot);
  if ((state & kClosed) != 0 || state >> kGenerationShift != handle >> kGenerationShift) {
    return fail(StatusCode::not_found, fmt::format("handle {} was released", handle));
  }
  if (slot->object->kind() != kind) {
    return fail(StatusCode::invalid,
                fmt::format("handle {} is {}, not {}", handle, kind_name(slot->object->kind()), kind_name(kind)));
  }
  return use;
}

Status HandleTable::release(uint64_t handle) {
  Slot* slot = find(handle);
  if (slot == nullptr || handle == 0)
    return Status(StatusCode::not_found, fmt::format("handle {} names nothing", handle));
  uint64_t state = slot->state.load(std::memory_order_acquire);
  do {
    if ((state & kClosed) != 0 || state >> kGenerationShift != handle >> kGenerationShift) {
      return Status(StatusCode::not_found, fmt::format("handle {} was released before", handle));
    }
  } while (!slot->state.compare_exchange_weak(state, state | kClosed, std::memory_order_acq_rel));
  slot->object->released();  // the table's own use still holds it
  leave(*slot);
  return {};
}

void HandleTable::leave(Slot& slot) {
  uint64_t state = slot.state.fetch_sub(1, std::memory_order_acq_rel) - 1;
  // A call with an old number may come between: then it is the one that leaves last.
  while ((state & kUses) == 0 && (state & kClosed) != 0 && (state & kOccupied) != 0) {
    if (slot.state.compare_exchange_weak(state, state & ~kOccupied, std::memory_order_acq_rel)) {
      end(slot);
      return;
    }
  }
}

void HandleTable::end(Slot& slot) {
  const Ends where = slot.object->ends();
  if (where == Ends::elsewhere || (where == Ends::not_in_callback && InCallback::now())) {
    end_elsewhere(slot.object.release());
  } else {
    slot.object.reset();
    size_.fetch_sub(1, std::memory_order_relaxed);
  }
  // The last generation of a slot is its end: a number must not come twice.
  if (slot.state.load(std::memory_order_relaxed) >> kGenerationShift == max_lives_) return;
  const std::scoped_lock lock(mutex_);
  free_.push_back(slot.index);
}

/// The object's end may wait for the callback that this thread is in. Tables are not destroyed while objects are.
void HandleTable::end_elsewhere(Object* object) {
  try {
    start_thread("sluice-release", [this, object] {
      delete object;
      size_.fetch_sub(1, std::memory_order_relaxed);
    }).detach();
  } catch (const std::system_error&) {
    // There is no thread to be had: the object stays, and is counted.
  }
}

HandleTable& handles() {
  static auto* const table = new HandleTable;
  return *table;
}

}  // namespace sluice::c
