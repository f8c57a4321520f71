// SPDX-License-Identifier: Apache-2.0
// The conformance kit: takes any storage adapter and proves, sentence by sentence, that it keeps the contract of
// sluice/storage_abi.h. A library without a test framework, because the `sluice` command ships it.
//
// The adapter is driven through the raw C table with the kit's own checked tickets; nothing of sdk/host but the loading
// and the checking of options stands between. One run at a time per process: the host table is shared.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"
#include "host/library.hpp"
#include "host/options.hpp"

namespace sluice::conformance {

enum class Verdict {
  passed,
  failed,
  not_applicable,  // the kind or the capabilities do not promise it, or the options do not allow to see it
};

std::string_view verdict_name(Verdict verdict);

struct CheckResult {
  std::string name;      // "append.conflict"
  std::string sentence;  // of the contract, that this proves
  Verdict verdict = Verdict::passed;
  std::string message;  // why it failed or does not apply; empty when passed
  int64_t elapsed_ms = 0;
};

struct Report {
  std::string adapter;
  std::string version;
  std::string library;
  std::string server;  // what the adapter says it runs on
  uint32_t kind = 0;   // of the storage, once one was started
  uint64_t capabilities = 0;
  uint64_t seed = 0;
  std::vector<CheckResult> results;

  size_t count(Verdict verdict) const;
  /// Something was checked, and nothing failed.
  bool passed() const { return count(Verdict::failed) == 0 && count(Verdict::passed) > 0; }
  std::string to_json() const;
};

/// How the kit reaches an adapter's server, to attack it: what the adapter's author tells. In texts, {port} and
/// {directory} stand for what the kit chose.
struct FaultPlan {
  std::string option;               // of the adapter, that names the server's address
  std::string value;                // ... and what it is set to, "127.0.0.1:{port}": the server's port or our proxy's
  std::vector<std::string> server;  // the program and its arguments; it stays in the foreground
  /// Shell commands that fill the server so that it has no room, and give it room again; may be empty.
  std::string fill = {};
  std::string drain = {};
  /// A shell command that puts a unit behind the end of the log {log} (its id, 32 hexadecimal digits), from {at} to
  /// {last}, which ends it at {end}, under the token {token}, whose bytes are no batch; may be empty.
  std::string damage = {};
  host::OptionInputs denied = {};  // options with which the server refuses the adapter for good; may be empty
};

/// `{"server": ["redis-server", "--port", "{port}", ...], "option": "address", "value": "127.0.0.1:{port}"}`. INVALID
/// names what is wrong.
Result<FaultPlan> fault_plan_from_json(const std::string& json);

struct RunOptions {
  /// Where adapters that keep files may keep them; absolute; each check gets a folder of its own below it, which is
  /// removed when the check passed. Empty: a new folder in the temporary directory, removed at the end.
  std::string work_directory;
  /// Checks whose name contains this; empty: all.
  std::string filter;
  /// How long one call may take before it counts as lost.
  int64_t call_timeout_ms = 10'000;
  /// How long start and stop may take.
  int64_t lifecycle_timeout_ms = 60'000;
  /// Of ids, sizes and interleavings; 0: a random one, which the report names.
  uint64_t seed = 0;
  /// NATIVE, each may be empty: a name of the engine's own that may be adopted and written to; shell commands that
  /// write one entry, and one that cannot be decoded, under the name that stands for {name}.
  std::string native_name = {};
  std::string native_write = {};
  std::string native_damage = {};
  /// With it, checks attack the adapter through servers of their own, and all others run against one that the kit
  /// starts.
  std::optional<FaultPlan> faults = {};
};

using Reporter = std::function<void(const CheckResult&)>;

/// Runs every check. `reporter` (may be empty) hears each result as it comes, on the calling thread. Blocks for seconds
/// to minutes. Reserves nothing after it returns, but for storages that lost a call: they are never freed.
Report run(const std::shared_ptr<const host::Library>& library, const host::OptionInputs& inputs,
           const RunOptions& options, const Reporter& reporter = {});

/// Names and sentences of all checks, in the order in which they run.
std::vector<CheckResult> list_checks();

/// `{"max_bytes": "64MiB"}` -> inputs. INVALID with position for anything but an object of texts, numbers and booleans.
Result<host::OptionInputs> inputs_from_json(std::string_view json);

}  // namespace sluice::conformance
