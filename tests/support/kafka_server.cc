// SPDX-License-Identifier: Apache-2.0
#include "support/kafka_server.hpp"

#include <cstdlib>
#include <fstream>

namespace sluice::test {

LoopbackServer::Command KafkaServer::command() {
  const std::string data = directory() + "/data";
  if (is_apache()) {
    return {{settings_.program, std::to_string(port(0)), std::to_string(port(1)), data},
            {{"KAFKA_JARS", settings_.jars}}};
  }
  const std::string plugins = directory() + "/plugins.json";
  std::ofstream(plugins) << settings_.plugins;
  Command made{{settings_.program, "--data-dir", data, "--listen", address(), "--plugins", plugins,
                // Tests write records of other times, which are not to be thrown away meanwhile.
                "--override", "log.retention.ms=-1"}};
  if (const char* folder = std::getenv("SLUICE_PLUGIN_DIRECTORY")) {
    made.arguments.insert(made.arguments.end(), {"--plugin-dir", folder});
  }
  made.arguments.insert(made.arguments.end(), settings_.arguments.begin(), settings_.arguments.end());
  return made;
}

}  // namespace sluice::test
