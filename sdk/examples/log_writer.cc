// SPDX-License-Identifier: Apache-2.0
// Writes a log on the disk twice, as two runs of a program would: the second has a higher epoch, and goes on where the
// first one ended.
#include "sluice/log_writer.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

int failed(const sluice::Status& status) {
  std::printf("%s\n", status.describe().c_str());
  return 1;
}

int run(const std::string& directory) {
  auto storage = sluice::StorageHost::open({.name = "store", .library = "disk", .data_directory = directory});
  if (!storage) return failed(storage.error());
  auto writer = sluice::LogWriter::open(*storage, {.log = "orders", .state_directory = directory + "/state"});
  if (!writer) return failed(writer.error());
  sluice::Record records[2];
  records[0].key = sluice::as_bytes("k1");
  records[0].value = sluice::as_bytes("first");
  records[1].value = sluice::as_bytes("second");
  const sluice::Status accepted = (*writer)->append(records, [](const sluice::Result<sluice::Written>& written) {
    if (written) std::printf("positions %ld to %ld, epoch %d\n", written->first, written->last, written->epoch);
  });
  if (!accepted) return failed(accepted);
  if (const sluice::Status closed = (*writer)->close(10'000); !closed) return failed(closed);
  return 0;
}

}  // namespace

int main() {
  std::string directory = (std::filesystem::temp_directory_path() / "sluice-example-XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) return 1;
  const int code = run(directory) + run(directory);
  std::filesystem::remove_all(directory);
  return code;
}
