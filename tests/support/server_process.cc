// SPDX-License-Identifier: Apache-2.0
#include "support/server_process.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace sluice::test {

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

Status ServerProcess::launch(const std::vector<std::string>& arguments) {
  if (directory_.empty()) return Status(StatusCode::internal, "no temporary directory");
  if (arguments.empty()) return Status(StatusCode::invalid, "no program was named");
  const char* path = std::getenv("PATH");
  const std::string wider = fmt::format("{}:/usr/sbin:/usr/local/sbin", path != nullptr ? path : "/usr/bin");
  const std::string log_file = directory_ + "/log";
  std::vector<char*> list;
  for (const std::string& argument : arguments) list.push_back(const_cast<char*>(argument.c_str()));
  list.push_back(nullptr);
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
    setenv("PATH", wider.c_str(), 1);
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
                fmt::format("{} cannot be started: {}; is it installed?", arguments.front(), std::strerror(error)),
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

void ServerProcess::pause() {
  if (!running()) return;
  ::kill(process_, SIGSTOP);
  // Until it is: its other threads may be in the middle of an answer.
  int how = 0;
  if (waitpid(process_, &how, WUNTRACED) == process_ && !WIFSTOPPED(how)) process_ = -1;
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

bool takes_connections(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool taken = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return taken;
}

}  // namespace sluice::test
