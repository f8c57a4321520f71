// SPDX-License-Identifier: Apache-2.0
// What the C face hands out instead of pointers: numbers that name a slot and the life of its object. A call that comes
// with a number whose object is gone touches only the slot, and slots are never freed, so that no call can reach freed
// memory, not even to ask whether it may (invariant B01). An object ends when it was released and the last call on it
// has returned. Numbers are never used again within a process, and fit a signed 64-bit integer.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.hpp"

namespace sluice::c {

enum class Kind : uint8_t {
  bus,
  consumer,
  page,
  filter,
  checkpoints,
  limiter,
  telemetry,
  instrument,
  meter,
  observing,
  observations,
  trace,
  storage,
  cluster,
  log,
  memory,
  sink,
  answer,
  source,
  source_answer,
  dead_letters,
  cursor,
  subscription,
  envelope_writer,
  envelope_reader,
};

/// "a bus".
std::string_view kind_name(Kind kind);

/// Where an object is destroyed: on the thread of the last call; there, but on one of its own if that is inside a
/// callback of the application's (InCallback), for which its end may wait; or always on one of its own.
enum class Ends : uint8_t { here, not_in_callback, elsewhere };

/// What a handle stands for. Its members are called from any thread.
class Object {
 public:
  explicit Object(Kind kind, Ends ends = Ends::here) : kind_(kind), ends_(ends) {}
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  Kind kind() const { return kind_; }
  Ends ends() const { return ends_; }
  /// The handle was released: wakes every call that waits on this object. Once, while calls may still be under way.
  virtual void released() {}

 private:
  const Kind kind_;
  const Ends ends_;
};

/// Thread-safe. acquire and release are lock-free; insert and the end of an object take a mutex for a few instructions.
class HandleTable {
  struct Slot;

 public:
  static constexpr uint32_t kSlotsPerChunk = 256;
  static constexpr uint32_t kMaxChunks = 4096;
  /// Objects that exist at once.
  static constexpr uint32_t kMaxHandles = kSlotsPerChunk * kMaxChunks;

  /// Lives of one slot: a number fits the integers of a configuration.
  static constexpr uint32_t kMaxLives = INT32_MAX;

  /// `max_lives`: at least 1, at most kMaxLives.
  explicit HandleTable(uint32_t max_lives = kMaxLives) : max_lives_(max_lives) {}
  ~HandleTable();
  HandleTable(const HandleTable&) = delete;
  HandleTable& operator=(const HandleTable&) = delete;

  /// A use of an object that keeps it alive.
  class Use {
   public:
    Use(Use&& other) noexcept : table_(other.table_), slot_(std::exchange(other.slot_, nullptr)) {}
    Use& operator=(Use&&) = delete;
    ~Use() {
      if (slot_ != nullptr) table_->leave(*slot_);
    }
    Object& object() const;

   private:
    friend class HandleTable;
    Use(HandleTable* table, Slot* slot) : table_(table), slot_(slot) {}
    HandleTable* table_;
    Slot* slot_;
  };

  /// The handle of a new object; never 0. BUSY: kMaxHandles objects exist, and this one stays with the caller.
  Result<uint64_t> insert(std::unique_ptr<Object>&& object);
  /// NOT_FOUND: no such handle, or it was released. INVALID: it is of another kind.
  Result<Use> acquire(uint64_t handle, Kind kind);
  /// Gives the handle up: no later acquire finds it. NOT_FOUND: it is gone already, which is harmless.
  Status release(uint64_t handle);
  /// Objects that exist, the destruction of some perhaps under way.
  uint64_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  // state: generation (32) | closed (1) | occupied (1) | uses (30). A released object's slot is closed; whoever takes
  // the last use of a closed, occupied slot away takes `occupied` away too, by one exchange that succeeds for one
  // thread only, and ends the object.
  static constexpr uint64_t kClosed = 1ull << 31;
  static constexpr uint64_t kOccupied = 1ull << 30;
  static constexpr uint64_t kUses = kOccupied - 1;
  static constexpr int kGenerationShift = 32;

  struct alignas(64) Slot {
    std::atomic<uint64_t> state{kClosed};
    std::unique_ptr<Object> object;
    uint32_t index = 0;
  };
  using Chunk = std::array<Slot, kSlotsPerChunk>;

  Slot* find(uint64_t handle) const;
  void leave(Slot& slot);
  void end(Slot& slot);
  void end_elsewhere(Object* object);

  const uint32_t max_lives_;
  std::array<std::atomic<Chunk*>, kMaxChunks> chunks_{};
  std::atomic<uint64_t> size_{0};
  std::mutex mutex_;
  std::vector<uint32_t> free_;  // indices; guarded by mutex_
  uint32_t used_ = 0;           // slots that were ever used; guarded by mutex_
};

/// The one table of a process. Never destroyed: calls may come from threads that outlive main.
HandleTable& handles();

/// A use of an object of type T, whose static member kKind says what it is.
template <class T>
class Held {
 public:
  explicit Held(HandleTable::Use use) : use_(std::move(use)) {}
  T* operator->() const { return static_cast<T*>(&use_.object()); }
  T& operator*() const { return *operator->(); }

 private:
  HandleTable::Use use_;
};

template <class T>
Result<Held<T>> acquire(uint64_t handle) {
  auto use = handles().acquire(handle, T::kKind);
  if (!use) return fail(std::move(use.error()));
  return Held<T>(std::move(*use));
}

}  // namespace sluice::c
