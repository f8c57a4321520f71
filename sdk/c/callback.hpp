// SPDX-License-Identifier: Apache-2.0
// Calls of an application's functions. What an application may do inside one is release handles, and the end of some
// objects waits for the very call: while a thread is inside one, those are destroyed on another thread.
#pragma once

namespace sluice::c {

/// Lives while this thread runs a function of the application's.
class InCallback {
 public:
  InCallback() { ++depth(); }
  ~InCallback() { --depth(); }
  InCallback(const InCallback&) = delete;
  InCallback& operator=(const InCallback&) = delete;
  static bool now() { return depth() > 0; }

 private:
  static int& depth() {
    thread_local int value = 0;
    return value;
  }
};

}  // namespace sluice::c
