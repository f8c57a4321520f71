// SPDX-License-Identifier: Apache-2.0
// What tests of many folders share: a folder of a test's own, waiting until something holds, and descriptors that other
// processes have too.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace sluice::test {

inline constexpr auto kPatience = std::chrono::seconds(60);

class Folder {
 public:
  Folder() {
    std::string made = (std::filesystem::temp_directory_path() / "sluice-test-XXXXXX").string();
    path_ = ::mkdtemp(made.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }
  /// A folder in it, made where it is not there yet.
  std::string in(const std::string& name) const {
    const std::string path = path_ + "/" + name;
    std::filesystem::create_directories(path);
    return path;
  }
  /// Writes a file there and gives its path.
  std::string write(const std::string& name, const std::string& content) const {
    std::string file = path_ + "/" + name;
    std::ofstream(file, std::ios::binary) << content;
    return file;
  }

 private:
  std::string path_;
};

/// Whether `holds` says true before kPatience is over.
template <class Holds>
bool comes_true(Holds&& holds) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

/// Another descriptor for the file at `path`, which is canonical and open here: what a process that is being started
/// has between fork and exec. -1: it is not open.
inline int copy_of_descriptor(const std::string& path) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(entry.path(), gone) == path) return ::dup(std::stoi(entry.path().filename()));
  }
  return -1;
}

}  // namespace sluice::test
