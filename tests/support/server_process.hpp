// SPDX-License-Identifier: Apache-2.0
// A server as a process of a test's: with a directory of its own that is removed at the end, ended by its own process
// id, and dying with the thread that started it. One thread at a time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/status.hpp"

namespace sluice::test {

class ServerProcess {
 public:
  /// `kind` is a part of the directory's name.
  explicit ServerProcess(const std::string& kind);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  /// Starts `arguments`, the program first, looked for where Debian keeps servers too, with `environment` added to this
  /// process's; what it prints goes to log(). NOT_FOUND when there is no such program. Does not wait for anything it
  /// does.
  Status launch(const std::vector<std::string>& arguments,
                const std::vector<std::pair<std::string, std::string>>& environment = {});
  bool running() const { return process_ > 0; }
  /// Whether it has ended by itself; it is no longer running() then.
  bool has_ended();
  /// SIGKILL, and waits.
  void kill();
  /// SIGSTOP, waiting until nothing of it runs any more, and SIGCONT.
  void pause();
  void resume();

  /// CPU time that it used since it was launched; 0 when it is not running.
  double cpu_seconds() const;

  /// "" where none could be made.
  const std::string& directory() const { return directory_; }
  /// What the server said, for a message about a failure.
  std::string log() const;

 private:
  std::string directory_;
  pid_t process_ = -1;
};

/// What a program prints on both its outputs, without the newlines at the end; waits until it has ended. "" when it
/// cannot be started.
std::string output_of(const std::vector<std::string>& arguments);

/// For programs that run a command beside a server: runs `arguments` with each `placeholder` in them replaced by
/// `value` and waits. The command's exit code, 128 and the signal where one ended it.
int run_command(std::vector<std::string> arguments, const std::string& placeholder, const std::string& value);

/// Replaces each `what` in `text`.
void replace_all(std::string& text, const std::string& what, const std::string& by);

}  // namespace sluice::test
