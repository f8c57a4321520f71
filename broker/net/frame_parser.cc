// SPDX-License-Identifier: Apache-2.0
#include "net/frame_parser.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace sluice::net {

FrameParser::Event FrameParser::next(Bytes& input) {
  if (prefix_filled_ < kPrefixBytes) {
    const size_t n = std::min(kPrefixBytes - prefix_filled_, input.size());
    if (n != 0) std::memcpy(prefix_.data() + prefix_filled_, input.data(), n);
    prefix_filled_ += n;
    input = input.subspan(n);
    if (prefix_filled_ < kPrefixBytes) return Event::more;
    claimed_size_ = load_be<int32_t>(prefix_.data());
    if (claimed_size_ < 0) return Event::negative;
    if (claimed_size_ == 0) return Event::empty;
    if (claimed_size_ > max_frame_bytes_) return Event::too_large;
    wanted_ = std::min(claimed_size_, kFirstShareBytes);
  }
  if (wanted_ != 0) return Event::memory;
  const MutableBytes to = room();
  const size_t n = std::min(to.size(), input.size());
  if (n != 0) {
    std::memcpy(to.data(), input.data(), n);
    filled(n);
    input = input.subspan(n);
  }
  if (filled_ == claimed_size_) return Event::whole;
  if (filled_ < granted_) return Event::more;
  wanted_ = std::min(claimed_size_ - granted_, granted_);
  return Event::memory;
}

void FrameParser::begin(FramePtr frame) {
  frame_ = std::move(frame);
  grow();
}

void FrameParser::grow() {
  frame_->account(wanted_);
  granted_ += std::exchange(wanted_, 0);
}

MutableBytes FrameParser::room() {
  if (frame_ == nullptr) return {};
  return frame_->bytes().subspan(static_cast<size_t>(filled_), static_cast<size_t>(granted_ - filled_));
}

FramePtr FrameParser::take() {
  FramePtr frame = std::move(frame_);
  reset();
  return frame;
}

void FrameParser::reset() {
  frame_.reset();
  prefix_filled_ = 0;
  claimed_size_ = wanted_ = granted_ = filled_ = 0;
}

}  // namespace sluice::net
