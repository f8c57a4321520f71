// SPDX-License-Identifier: Apache-2.0
// What the exported constant says, without calling anything but create.
#include <set>

#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

constexpr uint32_t kAnyKind = SLUICE_KIND_LOG | SLUICE_KIND_NATIVE;
constexpr uint64_t kKnownCapabilities =
    SLUICE_CAP_DURABLE | SLUICE_CAP_POWER_SAFE | SLUICE_CAP_NO_ROLLBACK | SLUICE_CAP_SHARED | SLUICE_CAP_ATOMIC;

void header(Context& context) {
  const sluice_plugin& plugin = context.plugin();
  require(plugin.magic == SLUICE_ABI_MAGIC, "the magic is {:#x}", plugin.magic);
  require(plugin.major == SLUICE_ABI_MAJOR, "the major is {}", plugin.major);
  require(plugin.lowest_host_minor <= SLUICE_ABI_MINOR, "the host's minor must be at least {}",
          plugin.lowest_host_minor);
  require(plugin.size >= sizeof(sluice_plugin), "the structure has {} bytes, 0.1 has {}", plugin.size,
          sizeof(sluice_plugin));
}

void description(Context& context) {
  const sluice_plugin& plugin = context.plugin();
  require(plugin.name != nullptr && *plugin.name != '\0', "it has no name");
  require(plugin.version != nullptr && *plugin.version != '\0', "it has no version");
  require(plugin.description != nullptr && *plugin.description != '\0', "it has no description");
  require(plugin.kinds != 0 && (plugin.kinds & ~kAnyKind) == 0, "the kinds are {:#x}", plugin.kinds);
  require((plugin.capabilities & ~kKnownCapabilities) == 0, "unknown capabilities: {:#x}", plugin.capabilities);
}

void functions(Context& context) {
  const sluice_storage_api* api = context.plugin().api;
  require(api != nullptr, "there is no table");
  require(api->size >= sizeof *api, "the table has {} bytes, that of 0.1 has {}", api->size, sizeof *api);
  const void* all[] = {reinterpret_cast<const void*>(api->create),     reinterpret_cast<const void*>(api->destroy),
                       reinterpret_cast<const void*>(api->start),      reinterpret_cast<const void*>(api->stop),
                       reinterpret_cast<const void*>(api->health),     reinterpret_cast<const void*>(api->bind),
                       reinterpret_cast<const void*>(api->create_log), reinterpret_cast<const void*>(api->delete_log),
                       reinterpret_cast<const void*>(api->list_logs),  reinterpret_cast<const void*>(api->open),
                       reinterpret_cast<const void*>(api->close),      reinterpret_cast<const void*>(api->append),
                       reinterpret_cast<const void*>(api->read),       reinterpret_cast<const void*>(api->bounds),
                       reinterpret_cast<const void*>(api->locate),     reinterpret_cast<const void*>(api->trim),
                       reinterpret_cast<const void*>(api->fence),      reinterpret_cast<const void*>(api->save),
                       reinterpret_cast<const void*>(api->load),       reinterpret_cast<const void*>(api->watch),
                       reinterpret_cast<const void*>(api->flush)};
  for (size_t i = 0; i < std::size(all); ++i) require(all[i] != nullptr, "function {} of the table is NULL", i);
}

void options(Context& context) {
  const sluice_plugin& plugin = context.plugin();
  require(plugin.option_count == 0 || plugin.options != nullptr, "there are {} options and no table",
          plugin.option_count);
  std::set<std::string> names;
  for (uint32_t i = 0; i < plugin.option_count; ++i) {
    const sluice_option& option = plugin.options[i];
    require(option.name != nullptr && *option.name != '\0', "option {} has no name", i);
    require(names.insert(option.name).second, "two options are called {}", option.name);
    require(option.help != nullptr && *option.help != '\0', "{} has no help", option.name);
    require(option.type >= SLUICE_OPTION_TEXT && option.type <= SLUICE_OPTION_PATH, "{}: type {}", option.name,
            option.type);
    require((option.flags & ~(SLUICE_OPTION_REQUIRED | SLUICE_OPTION_SECRET)) == 0, "{}: unknown flags", option.name);
    require((option.type == SLUICE_OPTION_CHOICE) == (option.choices != nullptr), "{}: choices belong to CHOICE",
            option.name);
    require(option.minimum <= option.maximum, "{}: the minimum is above the maximum", option.name);
  }
}

void extension(Context& context) {
  const sluice_plugin& plugin = context.plugin();
  if (plugin.extension == nullptr) return;
  require(plugin.extension("sluice.conformance/no-such-extension") == nullptr, "an unknown extension was found");
}

void create_only(Context& context) {
  // Neither started nor stopped: destroy frees it.
  for (int i = 0; i < 3; ++i) context.another();
}

constexpr Check kChecks[] = {
    {"entry.header",
     "These 24 bytes never change; major must be equal, the host's minor must be at least lowest_host_minor.", &header,
     kAnyKind},
    {"entry.description", "The entry says name, version, one sentence, kinds, and the most that the adapter can offer.",
     &description, kAnyKind},
    {"entry.functions", "None of the calls is NULL; what a kind does not offer answers SLUICE_UNSUPPORTED.", &functions,
     kAnyKind},
    {"entry.options", "Options are a table of names, types, ranges, defaults and help.", &options, kAnyKind},
    {"entry.extension", "Extensions are found by a string id; NULL for an unknown one.", &extension, kAnyKind},
    {"create.without_start", "create checks the options and makes a storage, without connecting; destroy frees it.",
     &create_only, kAnyKind},
};

}  // namespace

std::span<const Check> entry_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
