// SPDX-License-Identifier: Apache-2.0
// A subscription keeps its consumer's handle in use. It ends on a thread of its own, since its end waits for the
// application's function, and whoever releases it may be what that function waits for.
#include "sluice/c/subscription.h"

#include <optional>

#include "c/boundary.hpp"
#include "c/callback.hpp"
#include "c/consumer.hpp"
#include "c/page.hpp"
#include "sluice/consumer_stream.hpp"

namespace sluice::c {
namespace {

using Gone = void (*)(void*);

struct SubscriptionObject final : Object {
  static constexpr Kind kKind = Kind::subscription;
  SubscriptionObject(Held<ConsumerObject> of, const PollRequest& request, sluice_push push, Gone when_gone, void* with)
      : Object(kKind, Ends::elsewhere),
        consumer(std::move(of)),
        gone(when_gone),
        context(with),
        subscription(std::in_place, *consumer->consumer, request,
                     [at = &*consumer, push, with](Result<Response> response) {
                       return hand_over(*at, push, with, std::move(response));
                     }) {}
  ~SubscriptionObject() override {
    subscription.reset();
    if (gone == nullptr) return;
    const InCallback inside;
    gone(context);
  }
  void released() override { static_cast<void>(subscription->stop(0)); }

  static bool hand_over(ConsumerObject& from, sluice_push push, void* context, Result<Response> response) {
    const InCallback inside;
    Status why = response ? Status() : response.error();
    if (response) {
      sluice_polled polled{};
      polled.size = sizeof polled;
      sluice_handle handle = 0;
      why = from.show(std::move(*response), &handle, &polled);
      if (why.ok()) return push(context, handle, &polled, nullptr) != 0;
    }
    // Also where no handle is to be had: what was polled was given back, and the end says why.
    sluice_failure failure{};
    failure.size = sizeof failure;
    tell(&failure, why);
    push(context, 0, nullptr, &failure);
    return false;
  }

  const Held<ConsumerObject> consumer;
  const Gone gone;
  void* const context;
  std::optional<Subscription> subscription;  // the last: it begins at once
};

}  // namespace
}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_subscribe(sluice_handle consumer, const sluice_poll* request, sluice_push push,
                               void (*gone)(void* context), void* context, sluice_handle* subscription,
                               sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    if (Status status = check_out(subscription, "subscription"); !status.ok()) return status;
    if (push == nullptr) return Status(StatusCode::invalid, "push is NULL");
    const auto wanted = request_of(request);
    if (!wanted) return wanted.error();
    auto held = acquire<ConsumerObject>(consumer);
    if (!held) return held.error();
    return give(std::make_unique<SubscriptionObject>(std::move(*held), *wanted, push, gone, context), subscription);
  });
}

sluice_status sluice_subscription_pause(sluice_handle subscription, sluice_failure* failure) {
  return on<SubscriptionObject>(subscription, failure, [](SubscriptionObject& object) -> Verdict {
    object.subscription->pause();
    return {};
  });
}

sluice_status sluice_subscription_resume(sluice_handle subscription, sluice_failure* failure) {
  return on<SubscriptionObject>(subscription, failure, [](SubscriptionObject& object) -> Verdict {
    object.subscription->resume();
    return {};
  });
}

sluice_status sluice_subscription_running(sluice_handle subscription, uint32_t* running, sluice_failure* failure) {
  return on<SubscriptionObject>(subscription, failure, [&](SubscriptionObject& object) -> Verdict {
    if (Status status = check_out(running, "running"); !status.ok()) return status;
    *running = object.subscription->running() ? 1 : 0;
    return {};
  });
}

sluice_status sluice_subscription_stop(sluice_handle subscription, int64_t deadline_ms, sluice_failure* failure) {
  return on<SubscriptionObject>(subscription, failure, [&](SubscriptionObject& object) -> Verdict {
    return object.subscription->stop(deadline_ms);
  });
}

}  // extern "C"
