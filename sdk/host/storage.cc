// SPDX-License-Identifier: Apache-2.0
// A storage's life: made, started, stopped and destroyed on its worker, each with a deadline. Calls on whole logs are
// in storage_calls.cc.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>

#include "base/clock.hpp"
#include "host/log_impl.hpp"
#include "host/services.hpp"
#include "host/storage_impl.hpp"

namespace sluice::host {
namespace {

constexpr size_t kLifecycleTextBytes = 1024;
constexpr int64_t kNsPerMs = 1'000'000;
/// How often stop looks whether threads are still inside an asynchronous call; they are through within microseconds.
constexpr int64_t kGatePollUs = 50;
/// A question for health that takes longer has its answer.
constexpr int64_t kHealthTimeoutMs = 10'000;

/// Fixed text of an adapter, which may lack its final zero.
template <size_t N>
std::string fixed_text(const char (&text)[N]) {
  return std::string(text, ::strnlen(text, N));
}

}  // namespace

void Voice::say(int level, const std::string& text) {
  std::lock_guard lock(mutex_);
  if (sink_) {
    sink_(level, text);
    return;
  }
  static constexpr const char* kLevels[] = {"debug", "info", "warning", "error"};
  const std::string line = fmt::format("{}: storage {}: {}\n", kLevels[std::clamp(level, 0, 3)], storage_, text);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

/// All that a lifecycle call points to. Shared with the worker, so that a call that is left behind keeps it.
struct StorageImpl::LifecycleCall {
  const char* name = "";
  int64_t deadline_ns = 0;
  sluice_error error{};
  char text[kLifecycleTextBytes]{};
  Guarded<sluice_condition> condition;
  sluice_bind bind{};
  sluice_status status = SLUICE_OK;
  std::string threw;
  Status outcome;

  LifecycleCall(const char* call, int64_t deadline) : name(call), deadline_ns(deadline) {
    error.size = sizeof error;
    error.text_capacity = sizeof text;
    error.text = text;
    condition.prepare();
  }
  /// Calls the adapter. Nothing that it throws goes further.
  template <class F>
  void run(F&& invoke) {
    try {
      status = invoke(*this);
    } catch (const std::exception& e) {
      status = SLUICE_INTERNAL;
      threw = e.what();
    } catch (...) {
      status = SLUICE_INTERNAL;
      threw = "something that is no std::exception";
    }
    text[sizeof text - 1] = '\0';
  }
};

StorageImpl::StorageImpl(std::shared_ptr<const Library> library, StorageOptions options)
    : library_(std::move(library)),
      options_(std::move(options)),
      timers_(options_.timers != nullptr ? options_.timers : &process_timers()),
      voice_(std::make_shared<Voice>(options_.name, std::move(options_.log))),
      checker_(options_.checked ? std::make_unique<Checker>(std::move(options_.on_breach), metrics_) : nullptr),
      calls_(*this),
      host_(make_host_services(voice_)),
      worker_(options_.name) {}

StorageImpl::~StorageImpl() {
  if (adapter_ == nullptr) return;
  const bool running = needs_stop_;
  const int64_t deadline_ns = system_clock().monotonic_ns() + options_.lifecycle_timeout_ms * kNsPerMs;
  const auto call = std::make_shared<LifecycleCall>("destroy", deadline_ns);
  const sluice_storage_api* api = &this->api();
  auto job = [call, api, adapter = adapter_, running, voice = voice_, library = library_] {
    if (running) call->run([&](LifecycleCall& c) { return api->stop(adapter, c.deadline_ns, &c.error); });
    if (running && call->status != SLUICE_OK) {
      voice->say(SLUICE_LOG_ERROR, fmt::format("stopped with data left behind: {}{}", call->text, call->threw));
    }
    call->run([&](LifecycleCall&) {
      api->destroy(adapter);
      return SLUICE_OK;
    });
    if (!call->threw.empty())
      voice->say(SLUICE_LOG_ERROR, fmt::format("the adapter threw out of destroy: {}", call->threw));
  };
  if (inside_host_service()) {
    worker_.post("destroy", std::move(job));
  } else if (worker_.run("destroy", std::move(job), deadline_ns) != LifecycleWorker::Outcome::ended) {
    voice_->say(SLUICE_LOG_ERROR, fmt::format("the adapter of {} did not let go within {} ms and is left behind",
                                              library_->path(), options_.lifecycle_timeout_ms));
  }
}

/// Runs `invoke` on the worker and, right after it and there too, `after` with what became of it: also when nobody
/// waits for it any more.
Status StorageImpl::lifecycle(const char* name, int64_t timeout_ms, Invoke invoke, After after) {
  const auto call = std::make_shared<LifecycleCall>(name, system_clock().monotonic_ns() + timeout_ms * kNsPerMs);
  auto job = [self = std::static_pointer_cast<StorageImpl>(shared_from_this()), call, invoke = std::move(invoke),
              after = std::move(after)]() mutable {
    call->run(invoke);
    const char* plugin = self->library_->plugin().name;
    if (!call->threw.empty()) {
      call->outcome = Status(StatusCode::internal,
                             fmt::format("adapter {} {} ({}) threw a C++ exception out of {}: {}", plugin,
                                         self->library_->version(), self->library_->path(), call->name, call->threw));
    } else if (call->status != SLUICE_OK) {
      sluice_status status = call->status;
      if (status < 100 || status > 599) {
        if (self->checker_)
          self->checker_->breach(*self, call->name, fmt::format("ended with {}, which is no status", status));
        status = SLUICE_INTERNAL;
      }
      call->outcome =
          Status(static_cast<StatusCode>(status),
                 call->text[0] != '\0' ? call->text : fmt::format("adapter {} failed to {}", plugin, call->name),
                 call->error.native_code);
      call->outcome.set_retry_after_ms(call->error.retry_after_ms);
    }
    if (self->checker_ && !call->condition.intact())
      self->checker_->breach(*self, call->name, "wrote behind the end of sluice_condition");
    after(*call, call->outcome);
  };
  switch (worker_.run(name, std::move(job), call->deadline_ns)) {
    case LifecycleWorker::Outcome::ended:
      return call->outcome;
    case LifecycleWorker::Outcome::running:
      return Status(StatusCode::unavailable,
                    fmt::format("storage {}: adapter {} ({}) did not come back from {} within {} ms", options_.name,
                                library_->name(), library_->path(), name, timeout_ms));
    default:
      return Status(StatusCode::unavailable,
                    fmt::format("storage {}: adapter {} ({}) is still busy with {}, so {} must wait", options_.name,
                                library_->name(), library_->path(), worker_.current(), name));
  }
}

tl::expected<std::shared_ptr<Storage>, OptionError> Storage::create(std::shared_ptr<const Library> library,
                                                                    StorageOptions options) {
  const auto refuse = [](std::string text) { return tl::make_unexpected(OptionError{"", std::move(text)}); };
  if (options.name.empty()) return refuse("a storage needs a name");
  if (options.call_timeout_ms <= 0 || options.lifecycle_timeout_ms <= 0) return refuse("timeouts must be above 0 ms");
  if (options.max_bytes_in_flight == 0 || options.max_bytes_leased == 0) return refuse("budgets must be above 0 bytes");
  auto values = check_options(library->plugin(), options.inputs, options.data_directory);
  if (!values) return tl::make_unexpected(std::move(values.error()));
  options.inputs.clear();  // may hold secrets
  auto storage = std::make_shared<StorageImpl>(std::move(library), std::move(options));
  if (const Status made = storage->create_adapter(*values); !made.ok()) return refuse(made.text());
  return storage;
}

Status StorageImpl::create_adapter(const std::vector<OptionValue>& values) {
  struct Request {
    std::vector<OptionValue> source;
    std::vector<sluice_value> values;
    std::string name;
    std::string directory;
    sluice_create abi{};
    sluice_storage* made = nullptr;
  };
  auto request = std::make_shared<Request>();
  request->source = values;
  request->name = options_.name;
  request->directory = options_.data_directory;
  for (size_t i = 0; i < values.size(); ++i) {
    const uint32_t type = library_->plugin().options[i].type;
    const bool text = type == SLUICE_OPTION_TEXT || type == SLUICE_OPTION_PATH || type == SLUICE_OPTION_CHOICE;
    sluice_value value{};
    value.present = request->source[i].present ? 1 : 0;
    value.number = request->source[i].number;
    value.text = text && request->source[i].present ? request->source[i].text.c_str() : nullptr;
    request->values.push_back(value);
  }
  request->abi.size = sizeof(sluice_create);
  request->abi.value_count = static_cast<uint32_t>(request->values.size());
  request->abi.host = host_;
  request->abi.name = request->name.c_str();
  request->abi.data_directory = request->directory.c_str();
  request->abi.values = request->values.data();
  const sluice_storage_api* api = &this->api();
  const Status status = lifecycle(
      "create", options_.lifecycle_timeout_ms,
      [request, api](LifecycleCall& call) { return api->create(&request->abi, &request->made, &call.error); },
      [](LifecycleCall&, const Status&) {});
  // A create that is left behind keeps its object: nobody could tell when it may be destroyed.
  if (!status.ok()) return status;
  if (request->made == nullptr) {
    return Status(StatusCode::internal, fmt::format("adapter {} ({}) said OK to create and made nothing",
                                                    library_->name(), library_->path()));
  }
  adapter_ = request->made;
  return {};
}

void StorageImpl::adopt_condition(const sluice_condition& reported) {
  Condition condition;
  condition.kind = reported.kind;
  condition.capabilities = reported.capabilities;
  condition.largest_unit = reported.largest_unit;
  condition.preferred_unit = reported.preferred_unit;
  condition.appends_in_flight = reported.appends_in_flight;
  condition.server = fixed_text(reported.server);
  condition.advice = fixed_text(reported.advice);
  const sluice_plugin& plugin = library_->plugin();
  if (checker_ && (condition.kind != SLUICE_KIND_LOG && condition.kind != SLUICE_KIND_NATIVE)) {
    checker_->breach(*this, "start",
                     fmt::format("reported the kind {}, which is neither LOG nor NATIVE", condition.kind));
  }
  if (checker_ && (condition.kind & ~plugin.kinds) != 0)
    checker_->breach(*this, "start", "reported a kind that its entry does not offer");
  if (checker_ && (condition.capabilities & ~plugin.capabilities) != 0) {
    checker_->breach(*this, "start", "reported capabilities that its entry does not offer");
  }
  native_ = condition.kind == SLUICE_KIND_NATIVE;
  largest_unit_ = condition.largest_unit == 0 ? UINT64_MAX : condition.largest_unit;
  const bool asked = condition.preferred_unit != 0;
  const uint64_t gathered = asked ? std::min(condition.preferred_unit, kMostGatheredBytes) : kGatheredBytes;
  gathered_bytes_ = asked && native_ ? gathered : std::min(gathered, largest_unit_.load());
  appends_in_flight_ = native_ ? std::clamp(condition.appends_in_flight, 1u, kMostAppendsInFlight) : 1;
  std::lock_guard lock(mutex_);
  condition_ = std::move(condition);
}

Result<Condition> StorageImpl::start() {
  if (accepting_) return condition();
  const Status status = lifecycle(
      "start", options_.lifecycle_timeout_ms,
      [this](LifecycleCall& call) {
        if (accepting_) return SLUICE_OK;  // an earlier start that was given up came back meanwhile
        return api().start(adapter_, call.deadline_ns, &call.condition.value, &call.error);
      },
      [this](LifecycleCall& call, const Status& outcome) {
        if (!outcome.ok() || accepting_) return;
        adopt_condition(call.condition.value);
        incarnation_.fetch_add(1);
        needs_stop_ = true;
        accepting_ = true;
      });
  if (!status.ok()) return fail(status);
  return condition();
}

Status StorageImpl::stop(int64_t deadline_ms) {
  return lifecycle(
      "stop", deadline_ms,
      [this](LifecycleCall& call) {
        if (!needs_stop_) return SLUICE_OK;
        // From here no call begins; those that have begun do not wait, and are let out before the adapter hears of the
        // stop.
        accepting_ = false;
        while (inside_.load() > 0 && system_clock().monotonic_ns() < call.deadline_ns) {
          std::this_thread::sleep_for(std::chrono::microseconds(kGatePollUs));
        }
        return api().stop(adapter_, call.deadline_ns, &call.error);
      },
      [this](LifecycleCall&, const Status& outcome) {
        if (outcome.ok()) needs_stop_ = false;
      });
}

Result<Condition> StorageImpl::health() {
  if (!accepting_) return fail(not_started());
  const Status status = lifecycle(
      "health", std::min(options_.lifecycle_timeout_ms, kHealthTimeoutMs),
      [this](LifecycleCall& call) {
        if (!accepting_) return SLUICE_UNAVAILABLE;
        return api().health(adapter_, call.deadline_ns, &call.condition.value, &call.error);
      },
      [this](LifecycleCall& call, const Status& outcome) {
        if (outcome.ok()) adopt_condition(call.condition.value);
      });
  if (!status.ok()) return fail(status);
  return condition();
}

Result<std::array<uint8_t, 16>> StorageImpl::bind(const std::array<uint8_t, 16>& cluster_id, bool replace) {
  if (!accepting_) return fail(not_started());
  std::array<uint8_t, 16> tied{};
  // `tied` is written after the worker has come back only if this thread still waits: so it goes through shared memory.
  const auto shared = std::make_shared<std::array<uint8_t, 16>>();
  const Status status = lifecycle(
      "bind", options_.lifecycle_timeout_ms,
      [this, cluster_id, replace](LifecycleCall& call) {
        if (!accepting_) return SLUICE_UNAVAILABLE;
        call.bind.size = sizeof(sluice_bind);
        call.bind.flags = replace ? SLUICE_BIND_REPLACE : 0;
        std::copy(cluster_id.begin(), cluster_id.end(), call.bind.cluster_id);
        return api().bind(adapter_, call.deadline_ns, &call.bind, &call.error);
      },
      [shared](LifecycleCall& call, const Status&) {
        std::copy_n(call.bind.cluster_id, shared->size(), shared->begin());
      });
  if (!status.ok()) return fail(status);
  tied = *shared;
  return tied;
}

Condition StorageImpl::condition() const {
  std::lock_guard lock(mutex_);
  return condition_;
}

Status StorageImpl::not_started() const {
  return Status(StatusCode::unavailable, fmt::format("storage {} is not started", options_.name));
}

void StorageImpl::hold_off(const std::string& why) {
  {
    std::lock_guard lock(mutex_);
    held_off_why_ = why;
  }
  held_off_ = true;
}

Status StorageImpl::refusal() const {
  if (!held_off()) return not_started();
  std::lock_guard lock(mutex_);
  return Status(StatusCode::unavailable, fmt::format("storage {}: {}", options_.name, held_off_why_));
}

bool StorageImpl::enter() {
  inside_.fetch_add(1);
  if (accepting_.load() && !held_off()) return true;
  inside_.fetch_sub(1);
  return false;
}

bool StorageImpl::begin_flight(size_t before) {
  const uint32_t most = appends_in_flight_.load(std::memory_order_relaxed);
  if (before > 0 && (before >= most || flights_.load(std::memory_order_relaxed) >= kMostPipelines * most)) return false;
  flights_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

bool StorageImpl::reserve_bytes(uint64_t bytes) {
  const auto amount = static_cast<int64_t>(bytes);
  const int64_t before = metrics_.bytes_in_flight.fetch_add(amount);
  // One batch always fits, or a batch above the budget could never be appended.
  if (before <= 0 || static_cast<uint64_t>(before) + bytes <= options_.max_bytes_in_flight) return true;
  metrics_.bytes_in_flight.fetch_sub(amount);
  metrics_.refused_busy.fetch_add(1);
  return false;
}

}  // namespace sluice::host
