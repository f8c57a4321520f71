// SPDX-License-Identifier: Apache-2.0
// sluice: the operator's command.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "cli/arguments.hpp"
#include "cli/commands.hpp"

int main(int argc, char** argv) {
  const char* bootstrap = std::getenv("SLUICE_BOOTSTRAP");
  const auto parsed = sluice::cli::parse_arguments(std::vector<std::string>(argv + 1, argv + argc), bootstrap);
  if (!parsed.arguments) {
    std::fputs(parsed.text.c_str(), parsed.exit_code == sluice::cli::kExitOk ? stdout : stderr);
    return parsed.exit_code;
  }
  return sluice::cli::run(*parsed.arguments);
}
