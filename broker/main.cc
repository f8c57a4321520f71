// SPDX-License-Identifier: Apache-2.0
// sluiced: start, signals, stop.
#include <Poco/AutoPtr.h>
#include <Poco/ConsoleChannel.h>
#include <Poco/FormattingChannel.h>
#include <Poco/Logger.h>
#include <Poco/PatternFormatter.h>
#include <Poco/Util/ServerApplication.h>
#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "app/broker.hpp"
#include "sluice/storage_abi.h"

extern char** environ;

namespace {

constexpr const char* kVersion = SLUICE_VERSION;

std::map<std::string, std::string> environment() {
  std::map<std::string, std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (const auto equals = text.find('='); equals != std::string_view::npos) result.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return result;
}

/// One JSON object a line, for machines.
class JsonFormatter final : public Poco::Formatter {
 public:
  void format(const Poco::Message& message, std::string& text) override {
    Poco::PatternFormatter time("%Y-%m-%dT%H:%M:%S.%iZ");
    std::string when;
    time.format(message, when);
    static const char* const kLevels[] = {"", "fatal", "critical", "error", "warning", "notice", "information", "debug", "trace"};
    nlohmann::ordered_json line;
    line["time"] = when;
    line["level"] = kLevels[message.getPriority()];
    line["message"] = message.getText();
    text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
};

class SluiceServer final : public Poco::Util::ServerApplication {
 public:
  explicit SluiceServer(sluice::app::Options options) : options_(std::move(options)) {}

 protected:
  // Only the logging subsystem is wanted of Poco's defaults.
  void initialize(Poco::Util::Application& self) override {
    Poco::AutoPtr<Poco::Formatter> formatter(options_.log_format == "json" ? static_cast<Poco::Formatter*>(new JsonFormatter)
                                                                           : new Poco::PatternFormatter("%Y-%m-%dT%H:%M:%S.%iZ %q %t"));
    Poco::AutoPtr<Poco::Channel> console(new Poco::ConsoleChannel(std::cerr));
    Poco::AutoPtr<Poco::Channel> channel(new Poco::FormattingChannel(formatter, console));
    Poco::Logger::root().setChannel(channel);
    Poco::Logger::root().setLevel(options_.log_level);
    ServerApplication::initialize(self);
  }

  int main(const std::vector<std::string>&) override {
    Poco::Logger& log = Poco::Logger::get("sluiced");
    log.setChannel(Poco::Logger::root().getChannel());
    log.setLevel(Poco::Logger::root().getLevel());
    sluice::app::BrokerApp broker(options_, [&log](int level, const std::string& text) {
      switch (level) {
        case SLUICE_LOG_DEBUG: log.debug(text); break;
        case SLUICE_LOG_INFO: log.information(text); break;
        case SLUICE_LOG_WARNING: log.warning(text); break;
        default: log.error(text);
      }
    });
    sluice::Status status = broker.start();
    if (!status.ok()) {
      log.error("cannot start: " + status.describe());
      broker.stop();
      return EXIT_CONFIG;
    }
    log.information(fmt::format("sluiced {} is ready", kVersion));
    waitForTerminationRequest();
    log.information("stopping");
    const bool clean = broker.stop();
    log.information(clean ? "stopped" : "stopped, not everything in time");
    return clean ? EXIT_OK : EXIT_SOFTWARE;
  }

 private:
  sluice::app::Options options_;
};

}  // namespace

int main(int argc, char** argv) {
  auto options = sluice::app::parse_options({argv + 1, argv + argc}, environment());
  if (!options) {
    fmt::print(stderr, "sluiced: {}\n", options.error().text());
    return 64;
  }
  if (options->help) {
    fmt::print("{}", sluice::app::usage());
    return 0;
  }
  if (options->version) {
    fmt::print("sluiced {}\n", kVersion);
    return 0;
  }
  // Blocked before any thread starts, so that only the wait for termination takes them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGQUIT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  SluiceServer server(std::move(*options));
  char* only_name[] = {argv[0], nullptr};
  return server.run(1, only_name);
}
