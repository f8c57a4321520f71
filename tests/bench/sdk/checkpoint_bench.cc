// SPDX-License-Identifier: Apache-2.0
// A commit of a checkpoint beside the plain program's write, fdatasync and rename, by turns on one file system; and
// beside the same with a sync of the directory, without which a loss of power may undo the rename. The first is what
// programs do, the second what a commit promises.
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

void plain_commit(const std::string& directory, const std::string& bytes, bool durable_name) {
  const std::string temporary = directory + "/plain.tmp";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  require(file >= 0, "open");
  require(::write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()), "write");
  require(::fdatasync(file) == 0, "fdatasync");
  ::close(file);
  require(::rename(temporary.c_str(), (directory + "/plain").c_str()) == 0, "rename");
  if (!durable_name) return;
  const int names = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  require(names >= 0 && ::fsync(names) == 0, "fsync of the directory");
  ::close(names);
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
  std::vector<double> durable;
  uint64_t id = 0;
  for (int round = 0; round < rounds; ++round) {
    plain.push_back(micros([&] { plain_commit(directory, cursor, false); }));
    durable.push_back(micros([&] { plain_commit(directory, cursor, true); }));
    ours.push_back(micros([&] {
      const auto committed = (*store)->commit("bench", id, cursor);
      require(committed.has_value(), "commit");
      id = *committed;
    }));
  }
  std::filesystem::remove_all(directory);
  fmt::print("checkpoint of {} bytes: commit p50 {:.0f} us\n", cursor_bytes, median(ours));
  fmt::print("  write + fdatasync + rename p50 {:.0f} us, ratio {:.2f}\n", median(plain), median(ours) / median(plain));
  fmt::print("  ... + fsync of the directory p50 {:.0f} us, ratio {:.2f}\n", median(durable),
             median(ours) / median(durable));
  return 0;
}
