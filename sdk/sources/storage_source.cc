// SPDX-License-Identifier: Apache-2.0
// The makers of sources on storages: what is asked for is checked, and how the log is found is settled here.
#include "sources/storage_source.hpp"

#include <fmt/format.h>

#include <utility>

#include "base/uuid.hpp"
#include "sources/nonce_file.hpp"
#include "sources/settings.hpp"

namespace sluice {
namespace {

using sources::LogOpener;
using OpenResult = Result<std::shared_ptr<host::Log>>;

Status wrong(std::string_view field, std::string_view why) {
  return Status(StatusCode::invalid, fmt::format("{}: {}", field, why));
}

Status of_kind(StorageHost::Core& core, uint32_t kind) {
  if (!core.storage->started()) {
    return Status(StatusCode::unavailable, fmt::format("storage {} is not started", core.name));
  }
  if (core.storage->condition().kind == kind) return {};
  return Status(
      StatusCode::invalid,
      kind == SLUICE_KIND_LOG
          ? fmt::format("storage {} has the engine's own topics: it is read with make_native_source", core.name)
          : fmt::format("storage {} has logs of Sluice's own: it is read with make_log_source", core.name));
}

class KnownLog final : public LogOpener {
 public:
  explicit KnownLog(host::LogDescriptor descriptor) : descriptor_(std::move(descriptor)) {}

  Task<OpenResult> open(StorageHost::Core& core) override {
    if (Status bad = of_kind(core, SLUICE_KIND_LOG); !bad.ok()) co_return fail(std::move(bad));
    co_return core.storage->open(descriptor_);
  }

 private:
  const host::LogDescriptor descriptor_;
};

/// A native topic is adopted under an id that every process makes in the same way; where a broker has adopted it, under
/// the broker's.
class AdoptedLog final : public LogOpener {
 public:
  AdoptedLog(std::string stream, int32_t partition) : stream_(std::move(stream)), partition_(partition) {}

  Task<OpenResult> open(StorageHost::Core& core) override {
    if (Status bad = of_kind(core, SLUICE_KIND_NATIVE); !bad.ok()) co_return fail(std::move(bad));
    host::LogDescriptor descriptor = describe(own_id(), true);
    const Status adopted = co_await core.storage->create_log(descriptor, core.loop);
    if (adopted.ok()) co_return core.storage->open(std::move(descriptor));
    if (adopted.code() != StatusCode::exists) co_return fail(adopted);
    const auto entries = co_await core.storage->list_logs(core.loop);
    if (!entries) co_return fail(entries.error());
    for (const host::LogEntry& entry : *entries) {
      if (entry.foreign || entry.topic != stream_ || entry.partition != partition_) continue;
      // The list does not tell whether it was adopted or made.
      for (const bool as_adopted : {true, false}) {
        OpenResult log = core.storage->open(describe(entry.id, as_adopted));
        if (!log) continue;
        const auto bounds = co_await (*log)->bounds(core.loop);
        if (bounds || bounds.error().code() != StatusCode::not_found) co_return log;
      }
    }
    co_return fail(adopted);
  }

 private:
  host::LogDescriptor describe(const host::LogId& id, bool adopted) const {
    host::LogDescriptor descriptor;
    descriptor.id = id;
    descriptor.topic = stream_;
    descriptor.partition = partition_;
    descriptor.partition_count = partition_ + 1;
    if (adopted) descriptor.settings.emplace_back("sluice.native.name", stream_);
    return descriptor;
  }

  /// FNV-1a of the name, twice.
  host::LogId own_id() const {
    const std::string text = fmt::format("{}/{}", stream_, partition_);
    host::LogId id{};
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t half = 0; half < 2; ++half) {
      for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
      store_be(id.data() + 8 * half, hash | 1);
    }
    return id;
  }

  const std::string stream_;
  const int32_t partition_;
};

class StorageSource final : public Source {
 public:
  StorageSource(std::string id, std::shared_ptr<sources::StorageReader> reader)
      : id_(std::move(id)), reader_(std::move(reader)) {}
  ~StorageSource() override { reader_->close(); }

  const std::string& id() const override { return id_; }
  // A callback may destroy this, and what it refers to goes on.
  void read(const PageRequest& request, PageCallback done) override {
    const auto keep = reader_;
    keep->read(request, std::move(done));
  }
  void bounds(BoundsCallback done) override { reader_->bounds(std::move(done)); }
  void locate(int64_t timestamp_ns, PositionCallback done) override { reader_->locate(timestamp_ns, std::move(done)); }
  void wake() override {
    const auto keep = reader_;
    keep->wake();
  }

 private:
  const std::string id_;
  const std::shared_ptr<sources::StorageReader> reader_;
};

std::unique_ptr<Source> make(const std::shared_ptr<StorageHost>& host, std::string id,
                             std::unique_ptr<LogOpener> opener, const StorageReadSettings& settings, int32_t partition,
                             const host::LogId* log) {
  auto reader = std::make_shared<sources::StorageReader>(host->core(), std::move(opener), settings, partition);
  if (log != nullptr) host->core()->listen(*log, reader);
  return std::make_unique<StorageSource>(settings.source_id.empty() ? std::move(id) : settings.source_id,
                                         std::move(reader));
}

}  // namespace

Result<std::unique_ptr<Source>> make_log_source(const std::shared_ptr<StorageHost>& host, LogSourceSettings settings) {
  if (!host) return fail(wrong("host", "none given"));
  if (Status bad = sources::check(settings); !bad.ok()) return fail(std::move(bad));
  std::optional<Uuid> id;
  if (settings.log_id.empty()) {
    const auto nonce = sources::read_nonce(settings.state_directory, settings.log);
    if (!nonce) return fail(nonce.error());
    if (!*nonce) {
      return fail(StatusCode::not_found,
                  fmt::format("{}: no writer has opened the log {} there", settings.state_directory, settings.log));
    }
    id = (*nonce)->id;
  } else {
    id = Uuid::parse(settings.log_id);
  }
  host::LogDescriptor descriptor;
  descriptor.id = id->bytes;
  descriptor.topic = settings.log;
  std::string name = fmt::format("{}:{}@{}", host->name(), settings.log, id->to_string());
  auto opener = std::make_unique<KnownLog>(descriptor);
  return make(host, std::move(name), std::move(opener), settings.read, 0, &descriptor.id);
}

Result<std::unique_ptr<Source>> make_native_source(const std::shared_ptr<StorageHost>& host,
                                                   NativeSourceSettings settings) {
  if (!host) return fail(wrong("host", "none given"));
  if (Status bad = sources::check(settings); !bad.ok()) return fail(std::move(bad));
  settings.read.verify_checksums = false;  // the adapter has just put the batches together
  std::string name = fmt::format("{}:{}/{}", host->name(), settings.stream, settings.partition);
  auto opener = std::make_unique<AdoptedLog>(settings.stream, settings.partition);
  return make(host, std::move(name), std::move(opener), settings.read, settings.partition, nullptr);
}

}  // namespace sluice
