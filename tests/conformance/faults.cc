// SPDX-License-Identifier: Apache-2.0
#include "conformance/faults.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace sluice::conformance {
namespace {

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
    std::string* wanted = name == "option"   ? &plan.option
                          : name == "value"  ? &plan.value
                          : name == "fill"   ? &plan.fill
                          : name == "drain"  ? &plan.drain
                          : name == "damage" ? &plan.damage
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

std::string FaultServer::expand(std::string text, uint16_t at_port) const {
  test::replace_all(text, "{port}", std::to_string(at_port));
  if (proxy_) test::replace_all(text, "{proxy}", std::to_string(proxy_->port()));
  test::replace_all(text, "{directory}", directory());
  return text;
}

test::LoopbackServer::Command FaultServer::command() {
  Command made;
  if (!proxy_) proxy_ = std::make_unique<test::TcpProxy>(port());
  for (const std::string& argument : plan_.server) made.arguments.push_back(expand(argument, port()));
  return made;
}

void FaultServer::must_start() {
  const Status started = start();
  require(started.ok(), "{}", started.describe());
}

void FaultServer::run(const std::string& shell_command) const {
  const std::string whole = expand(shell_command, port());
  require(std::system(whole.c_str()) == 0, "the command failed: {}", whole);
}

FaultWorld::FaultWorld(Context& context, uint32_t kind) : context_(context), plan_(plan_of(context)), server_(plan_) {
  server_.must_start();
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
    storage_ = make(server_.proxy().port());
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
  return make(server_.proxy().port(), plan_.denied);
}

bool FaultWorld::durable() const {
  return (context_.known_condition()->capabilities & SLUICE_CAP_DURABLE) != 0;
}

bool FaultWorld::atomic() const {
  return (context_.known_condition()->capabilities & SLUICE_CAP_ATOMIC) != 0;
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
