// SPDX-License-Identifier: Apache-2.0
// Storages that a bus delivers to while their servers are killed, stopped and started again. One thread, which has to
// live as long as the engine: servers die with it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common.hpp"
#include "sluice/sink.hpp"
#include "sluice/status.hpp"

namespace sluice::soak {

class Engine {
 public:
  using Visit = std::function<void(const Record&)>;
  virtual ~Engine() = default;

  virtual const std::string& name() const = 0;
  /// Its server runs, and it is connected.
  virtual Status start() = 0;
  /// An outage begins: killed, or stopped; counted in `figures`.
  virtual Status take_down(Random& random, Figures& figures) = 0;
  /// It is over.
  virtual Status bring_up() = 0;
  /// Another sink on the same log or topic, with settings at random. The one before is gone.
  virtual Result<std::shared_ptr<Sink>> make_sink(Random& random) = 0;
  /// Everything that came since the last time, in order of each shard's, and lets the storage drop it. The sink is
  /// gone.
  virtual Status read_back(const Visit& visit) = 0;
};

/// `directory` is there, absolute, and the engine's alone.
std::unique_ptr<Engine> make_redis(const std::string& directory);
std::unique_ptr<Engine> make_jetstream(const std::string& directory);
std::unique_ptr<Engine> make_disk(const std::string& directory);
/// `broker`: the program sluiced.
std::unique_ptr<Engine> make_kafka(const std::string& broker);

}  // namespace sluice::soak
