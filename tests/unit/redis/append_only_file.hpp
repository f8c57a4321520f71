// SPDX-License-Identifier: Apache-2.0
// The file of a server that was killed while it wrote to it.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "support/redis_server.hpp"

namespace sluice::redis {

/// What the server writes to; 6.2 has one file, beside the others.
inline std::filesystem::path append_only_file(const test::RedisServer& server) {
  std::filesystem::path newest = server.directory() + "/appendonly.aof";
  if (std::filesystem::exists(newest)) return newest;
  for (const auto& entry : std::filesystem::directory_iterator(server.directory() + "/appendonlydir")) {
    if (entry.path().string().ends_with(".incr.aof")) newest = entry.path();
  }
  return newest;
}

/// Cuts a killed server's file, which ends with a transaction, as if it had been killed in the middle of writing that:
/// behind so many writes, in the next. False if there is no other write behind them.
inline bool cut_last_transaction(const test::RedisServer& server, size_t writes) {
  const std::string multi = "*1\r\n$5\r\nMULTI\r\n";
  const std::string exec = "*1\r\n$4\r\nEXEC\r\n";
  std::ifstream file(append_only_file(server), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  size_t at = text.rfind(multi);
  if (at == std::string::npos || !text.ends_with(exec)) {
    ADD_FAILURE() << "no transaction at the end of the file";
    return false;
  }
  const auto number = [&] {
    const int64_t value = std::stoll(text.substr(at + 1, 20));
    at = text.find("\r\n", at) + 2;
    return value;
  };
  for (size_t i = 0; i < 1 + writes; ++i) {
    for (int64_t left = number(); left > 0; --left) at += static_cast<size_t>(number()) + 2;
  }
  if (text.substr(at) == exec) return false;
  std::filesystem::resize_file(append_only_file(server), at + 3);
  return true;
}

}  // namespace sluice::redis
