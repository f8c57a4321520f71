// SPDX-License-Identifier: Apache-2.0
#include "support/server_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace sluice::test {
namespace {

// For execvp; as long as `arguments` stay.
std::vector<char*> list_of(const std::vector<std::string>& arguments) {
  std::vector<char*> list;
  for (const std::string& argument : arguments) list.push_back(const_cast<char*>(argument.c_str()));
  list.push_back(nullptr);
  return list;
}

// Debian keeps servers where ordinary users do not look.
std::string wider_path() {
  const char* path = std::getenv("PATH");
  return fmt::format("{}:/usr/sbin:/usr/local/sbin", path != nullptr ? path : "/usr/bin");
}

}  // namespace

ServerProcess::ServerProcess(const std::string& kind) {
  const char* base = std::getenv("TMPDIR");
  std::string path = fmt::format("{}/sluice-{}-XXXXXX", base != nullptr ? base : "/tmp", kind);
  if (mkdtemp(path.data()) != nullptr) directory_ = path;
}

ServerProcess::~ServerProcess() {
  kill();
  std::error_code ignored;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
}

Status ServerProcess::launch(const std::vector<std::string>& arguments,
                             const std::vector<std::pair<std::string, std::string>>& environment) {
  if (directory_.empty()) return Status(StatusCode::internal, "no temporary directory");
  if (arguments.empty()) return Status(StatusCode::invalid, "no program was named");
  const std::string path = wider_path();
  const std::string log_file = directory_ + "/log";
  const std::vector<char*> list = list_of(arguments);
  int failure[2];
  if (pipe2(failure, O_CLOEXEC) != 0) return Status(StatusCode::internal, "no pipe", errno);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return Status(StatusCode::internal, "no process", errno);
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    const int output = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    setenv("PATH", path.c_str(), 1);
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    execvp(list[0], list.data());
    const int error = errno;
    [[maybe_unused]] const ssize_t written = write(failure[1], &error, sizeof error);
    _exit(127);
  }
  close(failure[1]);
  int error = 0;
  const bool failed = read(failure[0], &error, sizeof error) == sizeof error;
  close(failure[0]);
  process_ = child;
  if (!failed) return {};
  waitpid(child, nullptr, 0);
  process_ = -1;
  return Status(StatusCode::not_found,
                fmt::format("{} cannot be started: {}; is it installed (tools/install-deps)?", arguments.front(),
                            std::strerror(error)),
                error);
}

bool ServerProcess::has_ended() {
  int how = 0;
  if (!running() || waitpid(process_, &how, WNOHANG) != process_) return false;
  process_ = -1;
  return true;
}

void ServerProcess::kill() {
  if (!running()) return;
  ::kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  process_ = -1;
}

double ServerProcess::cpu_seconds() const {
  clockid_t clock{};
  timespec used{};
  if (process_ <= 0 || clock_getcpuclockid(process_, &clock) != 0 || clock_gettime(clock, &used) != 0) return 0;
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

void ServerProcess::pause() {
  if (!running()) return;
  ::kill(process_, SIGSTOP);
  // Until it is: its other threads may be in the middle of an answer.
  int how = 0;
  pid_t changed;
  while ((changed = waitpid(process_, &how, WUNTRACED)) < 0 && errno == EINTR) {
  }
  if (changed == process_ && !WIFSTOPPED(how)) process_ = -1;
}

void ServerProcess::resume() {
  if (running()) ::kill(process_, SIGCONT);
}

std::string ServerProcess::log() const {
  std::ifstream file(directory_ + "/log");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string output_of(const std::vector<std::string>& arguments) {
  const std::string path = wider_path();
  const std::vector<char*> list = list_of(arguments);
  int output[2];
  if (pipe2(output, O_CLOEXEC) != 0) return {};
  const pid_t child = fork();
  if (child == 0) {
    dup2(output[1], STDOUT_FILENO);
    dup2(output[1], STDERR_FILENO);
    setenv("PATH", path.c_str(), 1);
    execvp(list[0], list.data());
    _exit(127);
  }
  close(output[1]);
  std::string text;
  char part[4096];
  for (ssize_t got; child > 0 && (got = read(output[0], part, sizeof part)) > 0;) {
    text.append(part, static_cast<size_t>(got));
  }
  close(output[0]);
  if (child > 0) waitpid(child, nullptr, 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

int run_command(std::vector<std::string> arguments, const std::string& placeholder, const std::string& value) {
  for (std::string& argument : arguments) replace_all(argument, placeholder, value);
  const std::vector<char*> list = list_of(arguments);
  const pid_t child = fork();
  if (child < 0) return 2;
  if (child == 0) {
    execvp(list[0], list.data());
    std::perror(list[0]);
    _exit(127);
  }
  int how = 0;
  waitpid(child, &how, 0);
  return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}

void replace_all(std::string& text, const std::string& what, const std::string& by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
}

}  // namespace sluice::test
