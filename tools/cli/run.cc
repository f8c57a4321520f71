// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <cstdio>

#include "cli/commands.hpp"
#include "cli/text.hpp"
#include "sluice/storage_abi.h"

namespace sluice::cli {

int run(const Arguments& arguments) {
  const Status status =
      std::visit([&](const auto& command) { return run(command, arguments.common); }, arguments.command);
  const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  if (status.ok() && written) return kExitOk;
  // Some failures have been told already, one by one.
  const std::string text = status.ok() ? "standard output cannot be written" : status.text();
  if (!text.empty()) fmt::print(stderr, "sluice: {}\n", text);
  return kExitFailure;
}

Status run(const Version&, const Common& common) {
  const std::string abi = fmt::format("{}.{}", SLUICE_ABI_MAJOR, SLUICE_ABI_MINOR);
  if (common.json) {
    print_json({{"sluice", SLUICE_VERSION}, {"storage_abi", abi}, {"librdkafka", rd_kafka_version_str()}});
  } else {
    fmt::print("sluice {} (storage ABI {}, librdkafka {})\n", SLUICE_VERSION, abi, rd_kafka_version_str());
  }
  return {};
}

}  // namespace sluice::cli
