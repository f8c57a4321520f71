// SPDX-License-Identifier: Apache-2.0
// A source behind a handle: one consumer at a time has it, and it is free again when that lets it go. Any thread.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "base/status.hpp"
#include "sluice/source.hpp"

namespace sluice::c {

class Lending {
 public:
  /// `what` it is, for messages: "shard in memory".
  Lending(std::unique_ptr<Source> source, std::string what)
      : shared_(std::make_shared<Shared>(std::move(source))), what_(std::move(what)) {}

  /// BUSY: another consumer reads it.
  Result<std::shared_ptr<Source>> lend() const {
    if (shared_->lent.exchange(true)) return fail(StatusCode::busy, "another consumer reads this " + what_);
    return std::make_shared<Lent>(shared_);
  }

 private:
  struct Shared {
    explicit Shared(std::unique_ptr<Source> made) : source(std::move(made)) {}
    const std::unique_ptr<Source> source;
    std::atomic<bool> lent{false};
  };

  /// What a consumer holds.
  class Lent final : public Source {
   public:
    explicit Lent(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
    ~Lent() override { shared_->lent = false; }
    const std::string& id() const override { return shared_->source->id(); }
    void read(const PageRequest& request, PageCallback done) override {
      shared_->source->read(request, std::move(done));
    }
    void bounds(BoundsCallback done) override { shared_->source->bounds(std::move(done)); }
    void locate(int64_t timestamp_ns, PositionCallback done) override {
      shared_->source->locate(timestamp_ns, std::move(done));
    }
    void wake() override { shared_->source->wake(); }

   private:
    const std::shared_ptr<Shared> shared_;
  };

  const std::shared_ptr<Shared> shared_;
  const std::string what_;
};

}  // namespace sluice::c
