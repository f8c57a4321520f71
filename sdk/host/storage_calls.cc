// SPDX-License-Identifier: Apache-2.0
// Calls on whole logs: create, delete, list, open.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "host/log_impl.hpp"
#include "host/storage_impl.hpp"

namespace sluice::host {
namespace {

constexpr const char* kOverran = "wrote behind the end of its result struct";

struct CreateCall final : AwaitedCall {
  static constexpr CallKind kKind = CallKind::create_log;
  CreateCall() : AwaitedCall(kKind) {}
  AbiDescriptor descriptor;
};

struct DeleteCall final : AwaitedCall {
  static constexpr CallKind kKind = CallKind::delete_log;
  DeleteCall() : AwaitedCall(kKind) {}
  AbiDescriptor descriptor;
};

struct ListCall final : AwaitedCall {
  static constexpr CallKind kKind = CallKind::list_logs;
  ListCall() : AwaitedCall(kKind) {}
  Guarded<sluice_log_list> list;

  void reset() override { list.prepare(); }
  void discard(sluice_status status) override {
    if (status == SLUICE_OK && list.value.release != nullptr) list.value.release(list.value.owner);
  }
  std::string fault(sluice_status status) override {
    if (!list.intact()) return kOverran;
    if (status != SLUICE_OK) return {};
    if (list.value.count > 0 && list.value.entries == nullptr) return "counted entries and gave none";
    for (uint32_t i = 0; i < list.value.count; ++i) {
      if (list.value.entries[i].topic == nullptr) return "gave an entry whose topic is NULL";
    }
    return {};
  }
};

}  // namespace

void AbiDescriptor::fill(LogDescriptor descriptor) {
  source = std::move(descriptor);
  settings.clear();
  for (const auto& [name, value] : source.settings) settings.push_back({name.c_str(), value.c_str()});
  abi = sluice_log_descriptor{};
  abi.size = sizeof abi;
  abi.flags = source.flags;
  std::copy(source.id.begin(), source.id.end(), abi.id);
  abi.start_offset = source.start_offset;
  abi.topic = source.topic.c_str();
  std::copy(source.topic_id.begin(), source.topic_id.end(), abi.topic_id);
  abi.partition = source.partition;
  abi.partition_count = source.partition_count;
  abi.settings = settings.empty() ? nullptr : settings.data();
  abi.setting_count = static_cast<uint32_t>(settings.size());
}

Task<Status> StorageImpl::create_log(LogDescriptor descriptor, Executor& on) {
  CallRef<CreateCall> call = calls_.take<CreateCall>(shared_from_this());
  call->descriptor.fill(std::move(descriptor));
  CreateCall* c = call.get();
  co_await issue_call(*c, on, call_deadline_ns(),
                      [this, c] { return api().create_log(adapter_, c->ticket(), &c->descriptor.abi); });
  co_return call->conclude();
}

Task<Status> StorageImpl::delete_log(LogDescriptor descriptor, Executor& on) {
  CallRef<DeleteCall> call = calls_.take<DeleteCall>(shared_from_this());
  call->descriptor.fill(std::move(descriptor));
  DeleteCall* c = call.get();
  co_await issue_call(*c, on, call_deadline_ns(),
                      [this, c] { return api().delete_log(adapter_, c->ticket(), &c->descriptor.abi); });
  co_return call->conclude();
}

Task<Result<std::vector<LogEntry>>> StorageImpl::list_logs(Executor& on) {
  CallRef<ListCall> call = calls_.take<ListCall>(shared_from_this());
  ListCall* c = call.get();
  co_await issue_call(*c, on, call_deadline_ns(),
                      [this, c] { return api().list_logs(adapter_, c->ticket(), &c->list.value); });
  Status status = call->conclude();
  if (!status.ok()) co_return fail(std::move(status));
  const sluice_log_list& list = call->list.value;
  std::vector<LogEntry> entries;
  entries.reserve(list.count);
  for (uint32_t i = 0; i < list.count; ++i) {
    const sluice_log_entry& from = list.entries[i];
    LogEntry& entry = entries.emplace_back();
    std::copy(std::begin(from.id), std::end(from.id), entry.id.begin());
    if (from.topic != nullptr) entry.topic = from.topic;
    entry.partition = from.partition;
    entry.foreign = (from.flags & SLUICE_ENTRY_FOREIGN) != 0;
  }
  if (list.release != nullptr) list.release(list.owner);
  co_return entries;
}

Result<std::shared_ptr<Log>> StorageImpl::open(LogDescriptor descriptor) {
  auto log =
      std::make_shared<LogImpl>(std::static_pointer_cast<StorageImpl>(shared_from_this()), std::move(descriptor));
  if (Status opened = log->open(); !opened.ok()) return fail(std::move(opened));
  return std::shared_ptr<Log>(std::move(log));
}

}  // namespace sluice::host
