// SPDX-License-Identifier: Apache-2.0
// A callable that is moved, never copied, so that it may own what it captures. Small ones live inside the object.
#pragma once

#include <cstddef>
#include <functional>
#include <new>
#include <type_traits>
#include <utility>

namespace sluice {

template <class Signature>
class UniqueFunction;

/// Like std::move_only_function of C++23. Calling an empty one is undefined. Not synchronised.
template <class R, class... Args>
class UniqueFunction<R(Args...)> {
 public:
  static constexpr size_t kInlineBytes = 64;

  UniqueFunction() = default;
  UniqueFunction(std::nullptr_t) {}
  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, UniqueFunction> &&
                                              std::is_invocable_r_v<R, std::decay_t<F>&, Args...>>>
  UniqueFunction(F&& f) {
    using D = std::decay_t<F>;
    if constexpr (fits<D>()) {
      ::new (static_cast<void*>(storage_)) D(std::forward<F>(f));
    } else {
      *reinterpret_cast<D**>(storage_) = new D(std::forward<F>(f));
    }
    table_ = &kTable<D>;
  }
  UniqueFunction(UniqueFunction&& other) noexcept { take(other); }
  UniqueFunction& operator=(UniqueFunction&& other) noexcept {
    if (this != &other) {
      reset();
      take(other);
    }
    return *this;
  }
  ~UniqueFunction() { reset(); }

  explicit operator bool() const { return table_ != nullptr; }
  R operator()(Args... args) { return table_->call(storage_, std::forward<Args>(args)...); }

 private:
  struct Table {
    R (*call)(void*, Args&&...);
    void (*move)(void* from, void* to);
    void (*destroy)(void*);
  };
  template <class D>
  static constexpr bool fits() {
    return sizeof(D) <= kInlineBytes && alignof(D) <= alignof(std::max_align_t) && std::is_nothrow_move_constructible_v<D>;
  }
  template <class D>
  static D& get(void* storage) {
    if constexpr (fits<D>()) {
      return *std::launder(reinterpret_cast<D*>(storage));
    } else {
      return **reinterpret_cast<D**>(storage);
    }
  }
  template <class D>
  static R call(void* storage, Args&&... args) {
    return std::invoke(get<D>(storage), std::forward<Args>(args)...);
  }
  template <class D>
  static void move(void* from, void* to) {
    if constexpr (fits<D>()) {
      ::new (to) D(std::move(get<D>(from)));
      get<D>(from).~D();
    } else {
      *reinterpret_cast<D**>(to) = *reinterpret_cast<D**>(from);
    }
  }
  template <class D>
  static void destroy(void* storage) {
    if constexpr (fits<D>()) {
      get<D>(storage).~D();
    } else {
      delete *reinterpret_cast<D**>(storage);
    }
  }
  template <class D>
  static constexpr Table kTable = {&call<D>, &move<D>, &destroy<D>};

  void take(UniqueFunction& other) {
    table_ = other.table_;
    if (table_ != nullptr) table_->move(other.storage_, storage_);
    other.table_ = nullptr;
  }
  void reset() {
    if (table_ != nullptr) table_->destroy(storage_);
    table_ = nullptr;
  }

  const Table* table_ = nullptr;
  alignas(std::max_align_t) unsigned char storage_[kInlineBytes];
};

}  // namespace sluice
