// SPDX-License-Identifier: Apache-2.0
#include "storage/storages.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

#include "../support/folder.hpp"

namespace sluice::storage {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class StoragesTest : public testing::Test {
 protected:
  /// `storages`: the members of "storages"; the first one named "a" is the default.
  Result<std::unique_ptr<Storages>> open(const std::string& storages) {
    auto config = parse_plugins_config("{\"storages\": {" + storages + "}, \"default\": \"a\"}", "plugins.json");
    if (!config) return fail(config.error());
    StoragesOptions options;
    options.data_directory = folder_.path();
    options.plugin_directory = SLUICE_TEST_ADAPTERS;
    options.lifecycle_timeout_ms = timeout_ms_;
    options.log = [this](int, const std::string& text) {
      std::lock_guard lock(mutex_);
      lines_.push_back(text);
    };
    return Storages::open(std::move(*config), std::move(options));
  }

  std::string lines() {
    std::lock_guard lock(mutex_);
    std::string result;
    for (const std::string& line : lines_) result += line + "\n";
    return result;
  }

  static int64_t elapsed_ms(std::chrono::steady_clock::time_point since) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - since).count();
  }

  test::Folder folder_;
  int64_t timeout_ms_ = 20'000;

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

constexpr const char* kGood = R"("a": {"library": "unruly"})";

TEST_F(StoragesTest, OpensStartsFindsAndStops) {
  auto storages =
      open(std::string(kGood) + R"(, "b": {"library": "unruly"}, "c": {"library": "unruly", "enabled": false})");
  ASSERT_TRUE(storages) << storages.error().text();
  EXPECT_EQ((*storages)->all().size(), 2u);
  const auto a = (*storages)->find("a");
  ASSERT_NE(a, nullptr);
  EXPECT_FALSE(a->started());
  EXPECT_EQ((*storages)->find("c"), nullptr);
  EXPECT_EQ((*storages)->find("d"), nullptr);
  ASSERT_TRUE((*storages)->start().ok());
  EXPECT_TRUE(a->started());
  EXPECT_THAT(lines(), HasSubstr("storage a: started, adapter unruly 0.0.7 on nothing 1.0"));
  EXPECT_TRUE((*storages)->stop(5'000).ok());
  EXPECT_FALSE(a->started());
}

TEST_F(StoragesTest, RefusesARequiredLibraryThatCannotBeHad) {
  const std::string truncated = folder_.path() + "/libtruncated.so";
  {
    std::ifstream whole(std::string(SLUICE_TEST_ADAPTERS) + "/libunruly.so", std::ios::binary);
    std::string bytes(3000, '\0');
    whole.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    std::ofstream(truncated, std::ios::binary) << bytes;
  }
  struct Case {
    std::string library;
    std::string file;
    std::string reason;
  };
  const std::string adapters = SLUICE_TEST_ADAPTERS;
  const Case cases[] = {
      {"missing", adapters + "/libmissing.so", "no such file"},
      {"/no/such/lib.so", "/no/such/lib.so", "no such file"},
      {"other_major", adapters + "/libother_major.so", "built for storage ABI 99.3, this host has"},
      {"no_symbol", adapters + "/libno_symbol.so", "exports no symbol sluice_plugin_entry"},
      {"undefined_symbol", adapters + "/libundefined_symbol.so", "sluice_test_symbol_that_nobody_defines"},
      {truncated, truncated, "is cut short: 3000 bytes are there"},
  };
  for (const Case& c : cases) {
    const std::string members = R"(, "b": {"library": ")" + c.library + "\"";
    const auto refused = open(kGood + members + "}");
    ASSERT_FALSE(refused) << c.library;
    EXPECT_THAT(refused.error().text(),
                AllOf(HasSubstr("plugins.json: storages.b.library: "), HasSubstr(c.file), HasSubstr(c.reason)));
    EXPECT_THAT(refused.error().text(), Not(HasSubstr("\n")));

    const auto accepted = open(kGood + members + R"(, "required": false})");
    ASSERT_TRUE(accepted) << accepted.error().text();
    EXPECT_EQ((*accepted)->find("b"), nullptr);
    EXPECT_THAT(lines(), AllOf(HasSubstr(c.file), HasSubstr("going on without storage b")));
  }
}

TEST_F(StoragesTest, OptionErrorsHaveTheirPath) {
  EXPECT_EQ(open(R"("a": {"library": "unruly", "options": {"start": 1}})").error().text(),
            "plugins.json: storages.a.options.start: unknown option of adapter unruly; it has start_ms, stop_ms, "
            "failures, hang, ill, durable, throws, password");
  EXPECT_EQ(open(R"("a": {"library": "unruly", "options": {"startms": 1}})").error().text(),
            "plugins.json: storages.a.options.startms: unknown option of adapter unruly, did you mean \"start_ms\"?");
  for (const char* value : {"-1", "60001", "99999999999999999999999", "\"5 parsecs\"", "true", "0.5", "\"\""}) {
    EXPECT_THAT(
        open(std::string(R"("a": {"library": "unruly", "options": {"start_ms": )") + value + "}}").error().text(),
        HasSubstr("plugins.json: storages.a.options.start_ms: "))
        << value;
  }
  EXPECT_EQ(open(R"("a": {"library": "unruly", "options": {"throws": "stones"}})").error().text(),
            "plugins.json: storages.a.options.throws: \"stones\" is not one of nothing, create, start");
}

TEST_F(StoragesTest, SecretsStayOutOfMessages) {
  ::setenv("SLUICE_TEST_SECRET", "hunter2", 1);
  const auto storages = open(R"("a": {"library": "unruly", "options": {"password": {"env": "SLUICE_TEST_SECRET"}}})");
  ASSERT_TRUE(storages) << storages.error().text();
  EXPECT_TRUE((*storages)->config().find("a")->options.empty()) << "secrets are not kept";
  EXPECT_EQ(open(R"("a": {"library": "unruly", "options": {"password": 77123}})").error().text(),
            "plugins.json: storages.a.options.password: the value given is not a text");
  EXPECT_THAT(lines(), Not(HasSubstr("hunter2")));
  ::unsetenv("SLUICE_TEST_SECRET");
}

TEST_F(StoragesTest, AThrowingAdapterIsAnError) {
  EXPECT_THAT(open(R"("a": {"library": "unruly", "options": {"throws": "create"}})").error().text(),
              AllOf(HasSubstr("plugins.json: storages.a: "), HasSubstr("unruly in create")));
  auto storages = open(R"("a": {"library": "unruly", "options": {"throws": "start"}})");
  ASSERT_TRUE(storages) << storages.error().text();
  EXPECT_THAT((*storages)->start().text(),
              AllOf(HasSubstr("plugins.json: storages.a: "), HasSubstr("unruly in start")));
}

TEST_F(StoragesTest, RequiredOnesMustStart) {
  auto storages = open(std::string(kGood) + R"(, "b": {"library": "unruly", "options": {"failures": 1}})");
  ASSERT_TRUE(storages) << storages.error().text();
  const Status status = (*storages)->start();
  EXPECT_EQ(status.code(), StatusCode::unavailable);
  EXPECT_EQ(status.text(), "plugins.json: storages.b: the engine is away");
}

TEST_F(StoragesTest, OthersAreLeftForLater) {
  auto storages =
      open(std::string(kGood) + R"(, "b": {"library": "unruly", "required": false, "options": {"failures": 2}})");
  ASSERT_TRUE(storages) << storages.error().text();
  EXPECT_TRUE((*storages)->start().ok());
  EXPECT_THAT(lines(), HasSubstr("plugins.json: storages.b: the engine is away; going on without storage b for now"));
  EXPECT_FALSE((*storages)->find("b")->started());
  EXPECT_FALSE((*storages)->is_required("b"));
}

TEST_F(StoragesTest, TheStorageOfInternalLogsIsAlwaysRequired) {
  EXPECT_FALSE(open(R"("a": {"library": "missing", "required": false})"));
  auto storages = open(R"("a": {"library": "unruly", "required": false, "options": {"failures": 1}})");
  ASSERT_TRUE(storages) << storages.error().text();
  EXPECT_FALSE((*storages)->start().ok());
}

TEST_F(StoragesTest, StartsAndStopsAllAtOnce) {
  auto storages = open(R"("a": {"library": "unruly", "options": {"start_ms": 1000, "stop_ms": 1000}},
                          "b": {"library": "unruly", "options": {"start_ms": 1000, "stop_ms": 1000}},
                          "c": {"library": "unruly", "options": {"start_ms": 1000, "stop_ms": 1000}},
                          "d": {"library": "unruly", "options": {"start_ms": 1000, "stop_ms": 1000}})");
  ASSERT_TRUE(storages) << storages.error().text();
  auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE((*storages)->start().ok());
  EXPECT_LT(elapsed_ms(begin), 3000);
  begin = std::chrono::steady_clock::now();
  ASSERT_TRUE((*storages)->stop(10'000).ok());
  EXPECT_LT(elapsed_ms(begin), 3000);
}

TEST_F(StoragesTest, ASlowStartCostsItsDeadline) {
  timeout_ms_ = 1'000;
  auto storages =
      open(std::string(kGood) + R"(, "b": {"library": "unruly", "required": false, "options": {"start_ms": 6000}})");
  ASSERT_TRUE(storages) << storages.error().text();
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE((*storages)->start().ok());
  EXPECT_LT(elapsed_ms(begin), 4000);
  EXPECT_THAT(lines(), HasSubstr("did not come back from start within 1000 ms"));
}

TEST_F(StoragesTest, StopNamesWhatDidNotStop) {
  auto storages = open(std::string(kGood) + R"(, "b": {"library": "unruly", "options": {"stop_ms": 3000}})");
  ASSERT_TRUE(storages) << storages.error().text();
  ASSERT_TRUE((*storages)->start().ok());
  const Status status = (*storages)->stop(1'000);
  EXPECT_EQ(status.code(), StatusCode::unavailable);
  EXPECT_THAT(status.text(), AllOf(HasSubstr("storage b did not stop"), Not(HasSubstr("storage a"))));
}

}  // namespace
}  // namespace sluice::storage
