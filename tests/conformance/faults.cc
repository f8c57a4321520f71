// SPDX-License-Identifier: Apache-2.0
#include "conformance/faults.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "support/nats_server.hpp"

namespace sluice::conformance {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kLook = std::chrono::milliseconds(2);
constexpr int kMostPorts = 3;

void replace_all(std::string& text, std::string_view what, const std::string& by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
}

const FaultPlan& plan_of(Context& context) {
  if (!context.options().faults) throw Inapplicable("the kit was not told how to start the server (--faults)");
  return *context.options().faults;
}

}  // namespace

Result<FaultPlan> fault_plan_from_json(const std::string& text) {
  const auto wrong = [](const std::string& what) { return fail(StatusCode::invalid, "the plan of faults: " + what); };
  const auto parsed = nlohmann::json::parse(text, nullptr, false);
  if (parsed.is_discarded() || !parsed.is_object()) return wrong("it is not a JSON object");
  FaultPlan plan;
  for (const auto& [name, value] : parsed.items()) {
    std::string* wanted = name == "option"  ? &plan.option
                          : name == "value" ? &plan.value
                          : name == "fill"  ? &plan.fill
                          : name == "drain" ? &plan.drain
                                            : nullptr;
    if (wanted != nullptr && value.is_string()) {
      *wanted = value.get<std::string>();
    } else if (name == "server" && value.is_array() &&
               std::ranges::all_of(value, [](const auto& each) { return each.is_string(); })) {
      plan.server = value.get<std::vector<std::string>>();
    } else if (name == "denied" && value.is_object()) {
      auto denied = inputs_from_json(value.dump());
      if (!denied) return wrong(denied.error().text());
      plan.denied = std::move(*denied);
    } else {
      return wrong(fmt::format("\"{}\" is not known, or of another type", name));
    }
  }
  if (plan.option.empty() || plan.value.empty() || plan.server.empty())
    return wrong("\"option\", \"value\" and \"server\" are needed");
  if (plan.fill.empty() != plan.drain.empty()) return wrong("\"fill\" and \"drain\" go together");
  return plan;
}

bool eventually(const std::function<bool()>& holds, int64_t within_ms) {
  const auto until = Clock::now() + std::chrono::milliseconds(within_ms);
  while (!holds()) {
    if (Clock::now() > until) return false;
    std::this_thread::sleep_for(kLook);
  }
  return true;
}

std::string FaultServer::expand(std::string text, uint16_t port) const {
  replace_all(text, "{port}", std::to_string(port));
  replace_all(text, "{directory}", process_.directory());
  return text;
}

void FaultServer::start() {
  const bool first = port_ == 0;
  for (int attempt = 1;; ++attempt) {
    if (first) port_ = test::free_port();
    std::vector<std::string> arguments;
    for (const std::string& argument : plan_.server) arguments.push_back(expand(argument, port_));
    const Status launched = process_.launch(arguments);
    require(launched.ok(), "{}", launched.describe());
    const bool up = eventually([&] { return process_.has_ended() || test::takes_connections(port_); }, kStartMs);
    if (up && process_.running()) return;
    process_.kill();
    // Somebody may have taken the port in between: once more, with another where that is possible.
    require(first && attempt < kMostPorts, "the server does not come up:\n{}", process_.log());
  }
}

void FaultServer::run(const std::string& command) const {
  const std::string whole = expand(command, port_);
  require(std::system(whole.c_str()) == 0, "the command failed: {}", whole);
}

FaultWorld::FaultWorld(Context& context, uint32_t kind) : context_(context), plan_(plan_of(context)), server_(plan_) {
  server_.start();
  proxy_ = std::make_unique<test::TcpProxy>(server_.port());
  storage();
  if (context_.known_condition()->kind != kind) throw Inapplicable("the adapter does not offer this kind of storage");
}

std::unique_ptr<Storage> FaultWorld::make(uint16_t port, const host::OptionInputs& changed) {
  host::OptionInputs inputs = context_.inputs();
  inputs.insert_or_assign(plan_.option, server_.expand(plan_.value, port));
  for (const auto& [name, value] : changed) inputs.insert_or_assign(name, value);
  std::filesystem::create_directories(context_.directory());
  return std::make_unique<Storage>(context_, inputs, context_.directory());
}

Storage& FaultWorld::storage() {
  if (!storage_) {
    storage_ = make(proxy_->port());
    storage_->must_start();
  }
  return *storage_;
}

std::unique_ptr<Storage> FaultWorld::direct() {
  auto made = make(server_.port());
  made->must_start();
  return made;
}

std::unique_ptr<Storage> FaultWorld::refused() {
  return make(proxy_->port(), plan_.denied);
}

bool FaultWorld::durable() const {
  return (context_.known_condition()->capabilities & SLUICE_CAP_DURABLE) != 0;
}

size_t FaultWorld::unit_bytes(size_t wanted) const {
  const uint64_t largest = context_.known_condition()->largest_unit;
  return largest == 0 ? wanted : static_cast<size_t>(std::min<uint64_t>(wanted, largest));
}

void FaultWorld::must_create(Storage& storage, const Descriptor& descriptor, int64_t within_ms) {
  Answer answer;
  eventually(
      [&] {
        answer = storage.create_log(descriptor);
        return answer.status != SLUICE_UNAVAILABLE && answer.status != SLUICE_UNKNOWN && answer.status != SLUICE_BUSY;
      },
      within_ms);
  expect_status(SLUICE_OK, answer, "create_log");
}

}  // namespace sluice::conformance
