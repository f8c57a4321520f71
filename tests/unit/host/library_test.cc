// SPDX-License-Identifier: Apache-2.0
// Adapters that are broken in each way that the gate knows: one clear sentence, with the file and, where they matter,
// both versions.
#include "host/library.hpp"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "fake_adapter.hpp"
#include "host/storage.hpp"

namespace sluice::host::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string bad(const std::string& name) {
  return std::string(SLUICE_BAD_PLUGINS) + "/libbad_" + name + ".so";
}

/// The refusal of a library, which has to be one line that names the file.
std::string refusal(const std::string& path) {
  const auto library = Library::load(path);
  if (library) return "loaded";
  EXPECT_THAT(library.error().text(), AllOf(HasSubstr(path), Not(HasSubstr("\n"))));
  return library.error().text();
}

class TemporaryFile {
 public:
  TemporaryFile() {
    char name[] = "/tmp/sluice-host-test-XXXXXX";
    ::close(::mkstemp(name));
    path_ = name;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(Library, MissingFile) {
  const auto library = Library::load("/nowhere/libdisk.so");
  ASSERT_FALSE(library.has_value());
  EXPECT_EQ(library.error().code(), StatusCode::not_found);
  EXPECT_EQ(library.error().text(), "storage library /nowhere/libdisk.so: no such file");
}

TEST(Library, RelativePathsAndFoldersAreRefused) {
  EXPECT_THAT(refusal("libdisk.so"), HasSubstr("is not an absolute path"));
  EXPECT_THAT(refusal("/tmp"), HasSubstr("is not a file"));
}

TEST(Library, NotASharedObject) {
  const TemporaryFile file;
  EXPECT_THAT(refusal(file.path()), HasSubstr("is empty"));
  std::ofstream(file.path()) << std::string(4096, 'x');
  EXPECT_THAT(refusal(file.path()), HasSubstr("cannot be loaded: invalid ELF header"));
}

TEST(Library, Truncated) {
  std::ifstream whole(bad("none"), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(whole)), std::istreambuf_iterator<char>());
  ASSERT_GT(bytes.size(), 1000u);
  for (const size_t length : {20u, 100u, 700u}) {
    const TemporaryFile file;
    std::ofstream(file.path(), std::ios::binary) << bytes.substr(0, length);
    EXPECT_THAT(refusal(file.path()), HasSubstr("is cut short: " + std::to_string(length) + " bytes are there"))
        << length;
  }
}

TEST(Library, WithoutTheSymbol) {
  EXPECT_THAT(refusal(bad("entry")),
              HasSubstr("exports no symbol sluice_plugin_entry: it is not a Sluice storage adapter"));
}

TEST(Library, UndefinedSymbols) {
  EXPECT_THAT(refusal(bad("undefined")), HasSubstr("undefined symbol: nobody_defines_this"));
}

TEST(Library, Versions) {
  EXPECT_THAT(refusal(bad("magic")), HasSubstr("its magic is 0x2a"));
  EXPECT_THAT(refusal(bad("major")),
              HasSubstr("built for storage ABI 7.1, this host has 0.1: the major versions must be equal"));
  EXPECT_THAT(refusal(bad("minor")),
              HasSubstr("built for storage ABI 0.6 and needs a host of at least 0.5, this host has 0.1"));
}

TEST(Library, Sizes) {
  EXPECT_THAT(refusal(bad("small")), HasSubstr("its entry says to be 16 bytes long, and 24 is the least there can be"));
  EXPECT_THAT(refusal(bad("size")),
              HasSubstr("its entry (storage ABI 0.1) is 72 bytes long, this host (0.1) needs 88"));
  EXPECT_THAT(refusal(bad("small_api")), HasSubstr("has a table of functions of 168 bytes, this host (0.1) needs 176"));
}

TEST(Library, Nonsense) {
  EXPECT_THAT(refusal(bad("name")), HasSubstr("its entry has no name, version or description"));
  EXPECT_THAT(refusal(bad("kind")), HasSubstr("adapter bad offers neither the kind LOG nor NATIVE"));
  EXPECT_THAT(refusal(bad("options")), HasSubstr("adapter bad counts 2 options and has no table of them"));
  EXPECT_THAT(refusal(bad("option_name")), HasSubstr("adapter bad: option 1 (NULL) has no name"));
  EXPECT_THAT(refusal(bad("option_twice")), HasSubstr("adapter bad: option first is there twice"));
  EXPECT_THAT(refusal(bad("option_type")), HasSubstr("adapter bad: option 0 (first) has the unknown type 99"));
  EXPECT_THAT(refusal(bad("choice")), HasSubstr("adapter bad: option 0 (first) is a choice without choices"));
  EXPECT_THAT(refusal(bad("no_api")), HasSubstr("adapter bad has no table of functions"));
  EXPECT_THAT(refusal(bad("no_function")), HasSubstr("adapter bad lacks the function fence"));
}

TEST(Library, GoodOnesLoadOnceAndStayLocal) {
  const auto library = Library::load(bad("none"));
  ASSERT_TRUE(library.has_value()) << library.error().text();
  EXPECT_EQ((*library)->name(), "bad");
  EXPECT_EQ((*library)->version(), "0.1");
  EXPECT_EQ(*Library::load(std::string(SLUICE_BAD_PLUGINS) + "/./libbad_none.so"), *library);
  EXPECT_EQ(::dlsym(RTLD_DEFAULT, "sluice_plugin_entry"), nullptr);
}

constexpr int64_t kGivenUpMs = 1'000;  // long enough for a thread of a busy machine to get there

StorageOptions options(const std::string& mode, const std::string& file = "") {
  StorageOptions result;
  result.name = "bad";
  result.data_directory = "/nowhere";
  result.lifecycle_timeout_ms = kGivenUpMs;
  result.inputs["mode"] = mode;
  if (!file.empty()) result.inputs["file"] = file;
  result.log = [](int, const std::string&) {};
  return result;
}

TEST(BadAdapter, ThrowsInCreate) {
  const std::string path = bad("throwing");
  const auto storage = Storage::create(*Library::load(path), options("throw in create"));
  ASSERT_FALSE(storage.has_value());
  EXPECT_EQ(storage.error().text,
            "adapter throwing 0.2 (" + path + ") threw a C++ exception out of create: thrown in create");
}

TEST(BadAdapter, ThrowsInStart) {
  const std::string path = bad("throwing");
  const auto storage = Storage::create(*Library::load(path), options("throw in start"));
  EXPECT_EQ(
      (*storage)->start().error().text(),
      "adapter throwing 0.2 (" + path + ") threw a C++ exception out of start: something that is no std::exception");
}

TEST(BadAdapter, IsSlowToStart) {
  const std::string path = bad("throwing");
  auto file = std::make_unique<TemporaryFile>();
  const auto storage = Storage::create(*Library::load(path), options("slow start", file->path()));
  EXPECT_EQ((*storage)->start().error().text(),
            "storage bad: adapter throwing (" + path + ") did not come back from start within 1000 ms");
  file = nullptr;
  EXPECT_TRUE((*storage)->stop(20'000).ok());
}

TEST(BadAdapter, IsSlowToStop) {
  const std::string path = bad("throwing");
  auto file = std::make_unique<TemporaryFile>();
  const auto storage = Storage::create(*Library::load(path), options("slow stop", file->path()));
  ASSERT_TRUE((*storage)->start().has_value());
  EXPECT_EQ((*storage)->stop(kGivenUpMs).text(),
            "storage bad: adapter throwing (" + path + ") did not come back from stop within 1000 ms");
  EXPECT_FALSE((*storage)->started());
  file = nullptr;
  EXPECT_TRUE((*storage)->stop(20'000).ok());
}

TEST(ResolveLibrary, PlainNamesAreFoundInTheFolder) {
  EXPECT_EQ(*resolve_library("disk", "/opt/plugins"), "/opt/plugins/libdisk.so");
  EXPECT_EQ(*resolve_library("/elsewhere/mine.so", "/opt/plugins"), "/elsewhere/mine.so");
  for (const char* wrong : {"", "./disk", "plugins/disk", "../disk", "."}) {
    EXPECT_EQ(resolve_library(wrong, "/opt/plugins").error().code(), StatusCode::invalid) << wrong;
  }
}

TEST(ResolveLibrary, TheEnvironmentNamesTheFolder) {
  const char* before = std::getenv("SLUICE_PLUGIN_DIRECTORY");
  const std::string saved = before == nullptr ? "" : before;
  ::setenv("SLUICE_PLUGIN_DIRECTORY", "/opt/plugins", 1);
  EXPECT_EQ(default_plugin_directory(), "/opt/plugins");
  ::unsetenv("SLUICE_PLUGIN_DIRECTORY");
  EXPECT_THAT(default_plugin_directory(), ::testing::EndsWith("/plugins"));
  if (before != nullptr) ::setenv("SLUICE_PLUGIN_DIRECTORY", saved.c_str(), 1);
}

}  // namespace
}  // namespace sluice::host::testing
