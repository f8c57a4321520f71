// SPDX-License-Identifier: Apache-2.0
#include "base/thread.hpp"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <string>

namespace sluice {
namespace {

sigset_t mask() {
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  return now;
}

TEST(StartThread, SignalsAreLeftToTheApplication) {
  const sigset_t before = mask();
  ASSERT_EQ(sigismember(&before, SIGINT), 0);
  sigset_t inside;
  start_thread("any", [&] { inside = mask(); }).join();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1, SIGALRM, SIGPIPE, SIGXFSZ}) {
    EXPECT_EQ(sigismember(&inside, signal), 1) << signal;
  }
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) EXPECT_EQ(sigismember(&inside, fault), 0) << fault;
  const sigset_t after = mask();
  for (int signal = 1; signal < 32; ++signal) {
    EXPECT_EQ(sigismember(&after, signal), sigismember(&before, signal)) << "the caller's own are as they were";
  }
}

TEST(StartThread, HasANameThatLinuxTakes) {
  std::string name(16, '\0');
  start_thread("a-name-that-is-too-long", [&] { pthread_getname_np(pthread_self(), name.data(), name.size()); }).join();
  EXPECT_STREQ(name.c_str(), "a-name-that-is-");
}

}  // namespace
}  // namespace sluice
