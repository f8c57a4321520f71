// SPDX-License-Identifier: Apache-2.0
// An adapter that misbehaves in its lifecycle as its options say, and, built with another definition, ones that no host
// may load. It keeps no logs.
#include <chrono>
#include <filesystem>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "plugin/adapter.hpp"

namespace {

using sluice::Result;
using sluice::Status;
using sluice::StatusCode;
namespace plugin = sluice::plugin;

constexpr sluice_option kOptions[] = {
    {"start_ms", "How long start takes.", "0", nullptr, SLUICE_OPTION_DURATION, 0, 0, 60'000},
    {"stop_ms", "How long stop takes.", "0", nullptr, SLUICE_OPTION_DURATION, 0, 0, 60'000},
    {"failures", "How many starts fail before one succeeds.", "0", nullptr, SLUICE_OPTION_INTEGER, 0, 0, 1000},
    {"hang", "While this file is there, health does not come back.", nullptr, nullptr, SLUICE_OPTION_TEXT, 0, 0, 0},
    {"ill", "While this file is there, health fails.", nullptr, nullptr, SLUICE_OPTION_TEXT, 0, 0, 0},
    {"durable", "While this file is there, it is DURABLE.", nullptr, nullptr, SLUICE_OPTION_TEXT, 0, 0, 0},
    {"throws", "Throw out of create or start.", "nothing", "nothing|create|start", SLUICE_OPTION_CHOICE, 0, 0, 0},
    {"password", "A secret.", nullptr, nullptr, SLUICE_OPTION_TEXT, SLUICE_OPTION_SECRET, 0, 0},
};

void wait_ms(int64_t time) {
  std::this_thread::sleep_for(std::chrono::milliseconds(time));
}

bool is_there(const std::string& file) {
  return !file.empty() && std::filesystem::exists(file);
}

class Unruly final : public plugin::StorageAdapter {
 public:
  explicit Unruly(const plugin::CreateRequest& request)
      : StorageAdapter(request.host),
        start_ms_(request.options.number("start_ms")),
        stop_ms_(request.options.number("stop_ms")),
        failures_(request.options.number("failures")),
        hang_(request.options.text("hang", "")),
        ill_(request.options.text("ill", "")),
        durable_(request.options.text("durable", "")),
        throws_(request.options.text("throws", "nothing")) {
    if (throws_ == "create") throw std::runtime_error("unruly in create");
  }

  Status start(int64_t, plugin::Condition& condition) override {
    wait_ms(start_ms_);
    if (throws_ == "start") throw std::runtime_error("unruly in start");
    if (failures_-- > 0) return Status(StatusCode::unavailable, "the engine is away");
    condition.server = "nothing 1.0";
    condition.capabilities = capabilities();
    return {};
  }
  Status stop(int64_t) override {
    wait_ms(stop_ms_);
    return {};
  }
  Status health(int64_t, plugin::Condition& condition) override {
    while (is_there(hang_)) wait_ms(2);
    condition.server = "nothing 1.0";
    condition.capabilities = capabilities();
    return is_there(ill_) ? Status(StatusCode::unavailable, "the engine is ill") : Status();
  }
  Status create_log(plugin::Call&, const sluice_log_descriptor&) override { return Status(StatusCode::unsupported); }
  Status delete_log(plugin::Call&, const sluice_log_descriptor&) override { return {}; }
  Status list_logs(plugin::Call&, sluice_log_list&) override { return Status(StatusCode::unsupported); }
  Result<std::unique_ptr<plugin::LogAdapter>> open(const sluice_log_descriptor&) override {
    return sluice::fail(StatusCode::unsupported, "keeps no logs");
  }

 private:
  uint64_t capabilities() const { return is_there(durable_) ? SLUICE_CAP_DURABLE : 0; }

  const int64_t start_ms_, stop_ms_;
  int64_t failures_;
  const std::string hang_, ill_, durable_;
  const std::string throws_;
};

[[maybe_unused]] Result<std::unique_ptr<plugin::StorageAdapter>> make(const plugin::CreateRequest& request) {
  return std::make_unique<Unruly>(request);
}

[[maybe_unused]] constexpr plugin::PluginInfo kInfo{.name = "unruly",
                                                    .version = "0.0.7",
                                                    .description = "Misbehaves.",
                                                    .capabilities = SLUICE_CAP_DURABLE,
                                                    .kinds = SLUICE_KIND_LOG,
                                                    .options = kOptions,
                                                    .option_count = std::size(kOptions)};

}  // namespace

#if defined(ADAPTER_UNRULY)
SLUICE_PLUGIN(kInfo, &make);
#elif defined(ADAPTER_OTHER_MAJOR)
extern "C" SLUICE_PLUGIN_EXPORT constinit const sluice_plugin sluice_plugin_entry = {SLUICE_ABI_MAGIC,
                                                                                     sizeof(sluice_plugin),
                                                                                     99,
                                                                                     3,
                                                                                     0,
                                                                                     kInfo.name,
                                                                                     kInfo.version,
                                                                                     kInfo.description,
                                                                                     0,
                                                                                     kInfo.kinds,
                                                                                     0,
                                                                                     nullptr,
                                                                                     nullptr,
                                                                                     nullptr};
#elif defined(ADAPTER_UNDEFINED_SYMBOL)
extern "C" int sluice_test_symbol_that_nobody_defines();
extern "C" SLUICE_PLUGIN_EXPORT int unruly_export() {
  return sluice_test_symbol_that_nobody_defines();
}
#else
extern "C" SLUICE_PLUGIN_EXPORT int unruly_export() {
  return static_cast<int>(kInfo.option_count);
}
#endif
