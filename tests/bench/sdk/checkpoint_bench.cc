// SPDX-License-Identifier: Apache-2.0
// A commit of a checkpoint beside the plain program's write, fdatasync and rename, by turns on one file system.
//
//     checkpoint_bench [DIRECTORY] [ROUNDS] [CURSOR_BYTES]
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "sluice/checkpoint.hpp"

namespace {

using Micros = std::chrono::duration<double, std::micro>;

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

template <class Work>
double micros(Work&& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return Micros(std::chrono::steady_clock::now() - begin).count();
}

void require(bool well, const char* what) {
  if (well) return;
  fmt::print(stderr, "{} failed\n", what);
  std::exit(1);
}

void plain_commit(const std::string& directory, const std::string& bytes) {
  const std::string temporary = directory + "/plain.tmp";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  require(file >= 0, "open");
  require(::write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()), "write");
  require(::fdatasync(file) == 0, "fdatasync");
  ::close(file);
  require(::rename(temporary.c_str(), (directory + "/plain").c_str()) == 0, "rename");
}

}  // namespace

int main(int count, char** arguments) {
  std::string directory = (std::filesystem::path(count > 1 ? arguments[1] : ".") / "checkpoint-bench-XXXXXX").string();
  const int rounds = count > 2 ? std::atoi(arguments[2]) : 300;
  const size_t cursor_bytes = count > 3 ? std::strtoul(arguments[3], nullptr, 10) : 1'000;
  require(rounds > 0 && ::mkdtemp(directory.data()) != nullptr, "mkdtemp");

  sluice::CheckpointSettings settings;
  settings.directory = directory + "/store";
  auto store = sluice::CheckpointStore::open(settings);
  require(store.has_value(), "open");
  const std::string cursor(cursor_bytes, 'c');
  std::vector<double> ours;
  std::vector<double> plain;
  uint64_t id = 0;
  for (int round = 0; round < rounds; ++round) {
    plain.push_back(micros([&] { plain_commit(directory, cursor); }));
    ours.push_back(micros([&] {
      const auto committed = (*store)->commit("bench", id, cursor);
      require(committed.has_value(), "commit");
      id = *committed;
    }));
  }
  std::filesystem::remove_all(directory);
  fmt::print("checkpoint of {} bytes: commit p50 {:.0f} us, write + fdatasync + rename p50 {:.0f} us, ratio {:.2f}\n",
             cursor_bytes, median(ours), median(plain), median(ours) / median(plain));
  return 0;
}
