// SPDX-License-Identifier: Apache-2.0
// Cuts a stream of bytes into frames: a size of four bytes, big-endian, signed, then as many bytes. Does no I/O, waits
// for nothing and takes no memory: it says when a frame needs some, and goes on once it has been given. One thread at a
// time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "net/frame.hpp"

namespace sluice::net {

class FrameParser {
 public:
  static constexpr size_t kPrefixBytes = 4;
  /// The first share of a frame's memory; each next one doubles what there is, so that what is reserved stays in
  /// proportion to what has arrived.
  static constexpr int64_t kFirstShareBytes = 128 << 10;

  enum class Event {
    more,       // all input is used up
    memory,     // wanted() bytes are to be reserved, then granted()
    whole,      // take() it
    empty,      // a frame of size 0: the stream is unusable from here on, as for the next two
    negative,   // size below 0
    too_large,  // size above the limit
  };

  explicit FrameParser(int64_t max_frame_bytes) : max_frame_bytes_(max_frame_bytes) {}

  /// Takes bytes from the front of `input` up to the next thing that somebody must know.
  Event next(Bytes& input);

  /// After Event::memory: how much is wanted, in bytes.
  int64_t wanted() const { return wanted_; }
  /// Whether the frame has been begun, and this is more of it.
  bool has_frame() const { return frame_ != nullptr; }
  /// The first share is reserved: `frame`, of claimed_size() bytes, is where the bytes go, and
  /// accounts for it.
  void begin(FramePtr frame);
  /// A further share is reserved.
  void grow();
  /// The frame in progress holds the budget's overdraft.
  void set_overdrawn() { frame_->set_overdrawn(); }

  /// Where bytes of the frame in progress may be read to directly, and how to say that they were; empty between frames.
  /// If reaches_end(), what comes after it belongs to the next frame.
  MutableBytes room();
  bool reaches_end() const { return frame_ != nullptr && granted_ == claimed_size_; }
  void filled(size_t bytes) { filled_ += static_cast<int64_t>(bytes); }

  /// The whole frame; the parser is then between frames.
  FramePtr take();

  /// Something of a frame has come, but not all.
  bool in_frame() const { return prefix_filled_ != 0; }
  /// What the prefix said, once it is whole.
  int64_t claimed_size() const { return claimed_size_; }
  /// Forgets the frame in progress.
  void reset();

 private:
  const int64_t max_frame_bytes_;
  std::array<uint8_t, kPrefixBytes> prefix_{};
  size_t prefix_filled_ = 0;
  int64_t claimed_size_ = 0;
  int64_t wanted_ = 0;   // above 0: a share has been asked for
  int64_t granted_ = 0;  // of the frame's bytes, how many may be filled
  int64_t filled_ = 0;
  FramePtr frame_;
};

}  // namespace sluice::net
