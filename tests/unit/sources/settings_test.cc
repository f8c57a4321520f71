// SPDX-License-Identifier: Apache-2.0
// Settings are checked whole, before anything is opened or made, and what is wrong is named by its path.
#include <cmath>
#include <limits>

#include "world.hpp"

namespace sluice::test {
namespace {

void expect_field(const Status& status, const std::string& field) {
  EXPECT_EQ(status.code(), StatusCode::invalid) << field << ": " << status.describe();
  EXPECT_EQ(status.text().rfind(field + ":", 0), 0u) << field << " is not named: " << status.text();
}

TEST(StorageSettings, B03_each_field_is_checked_and_named) {
  Folder folder;
  StorageHostSettings good;
  good.name = "store";
  good.library = "memory";
  good.data_directory = folder.path();
  ASSERT_TRUE(StorageHost::make(good));
  const auto expect = [&](const std::string& field, const std::function<void(StorageHostSettings&)>& spoil) {
    StorageHostSettings bad = good;
    spoil(bad);
    const auto made = StorageHost::make(bad);
    ASSERT_FALSE(made) << field;
    expect_field(made.error(), field);
  };
  for (const std::string& name : {std::string(), std::string("a b"), std::string("a/b"), std::string(65, 'a')}) {
    expect("name", [&](auto& settings) { settings.name = name; });
  }
  expect("library", [](auto& settings) { settings.library = ""; });
  expect("library", [](auto& settings) { settings.library = "./relative.so"; });
  expect("data_directory", [](auto& settings) { settings.data_directory = "relative"; });
  for (const int64_t ms : {int64_t{0}, int64_t{-1}, INT64_MIN, INT64_MAX}) {
    expect("call_timeout_ms", [&](auto& settings) { settings.call_timeout_ms = ms; });
    expect("lifecycle_timeout_ms", [&](auto& settings) { settings.lifecycle_timeout_ms = ms; });
  }
  for (const uint64_t bytes : {uint64_t{0}, UINT64_MAX}) {
    expect("max_bytes_in_flight", [&](auto& settings) { settings.max_bytes_in_flight = bytes; });
    expect("max_bytes_leased", [&](auto& settings) { settings.max_bytes_leased = bytes; });
  }
  for (const double number : {std::nan(""), std::numeric_limits<double>::infinity(), 0.5, 0.0, 1e300}) {
    expect("options.max_bytes", [&](auto& settings) { settings.options["max_bytes"] = number; });
  }
  expect("options.max_byte", [](auto& settings) { settings.options["max_byte"] = int64_t{1}; });
}

TEST(StorageSettings, options_may_be_json) {
  const auto options = parse_storage_options(R"({"address": "a:1", "replicas": 3, "tls": true, "ratio": 0.5})");
  ASSERT_TRUE(options);
  EXPECT_EQ(std::get<std::string>(options->at("address")), "a:1");
  EXPECT_EQ(std::get<int64_t>(options->at("replicas")), 3);
  EXPECT_EQ(std::get<bool>(options->at("tls")), true);
  EXPECT_EQ(std::get<double>(options->at("ratio")), 0.5);
  expect_field(parse_storage_options("[1]").error(), "options");
  expect_field(parse_storage_options(R"({"a": [1]})").error(), "options.a");
  expect_field(parse_storage_options(R"({"a": 18446744073709551615})").error(), "options.a");
  const Status broken = parse_storage_options(R"({"a": })").error();
  EXPECT_NE(broken.text().find("byte 7"), std::string::npos) << broken.text();
}

TEST(LogWriterSettings, B03_each_field_is_checked_before_anything_is_made) {
  Folder folder;
  const auto host = open_storage("memory", folder.path() + "/data");
  LogWriterSettings good;
  good.log = "orders";
  good.state_directory = folder.path() + "/state";
  const auto expect = [&](const std::string& field, const std::function<void(LogWriterSettings&)>& spoil) {
    LogWriterSettings bad = good;
    spoil(bad);
    const auto opened = LogWriter::open(host, bad);
    ASSERT_FALSE(opened) << field;
    expect_field(opened.error(), field);
    EXPECT_FALSE(std::filesystem::exists(good.state_directory)) << field;
  };
  for (const std::string& log : {std::string(), std::string(".."), std::string("a/b"), std::string(201, 'a')}) {
    expect("log", [&](auto& settings) { settings.log = log; });
  }
  expect("state_directory", [](auto& settings) { settings.state_directory = "relative"; });
  expect("state_directory", [](auto& settings) { settings.state_directory = ""; });
  expect("compression", [](auto& settings) { settings.compression = "rar"; });
  for (const uint64_t bytes : {uint64_t{0}, UINT64_MAX}) {
    expect("max_batch_bytes", [&](auto& settings) { settings.max_batch_bytes = bytes; });
    expect("max_pending_bytes", [&](auto& settings) { settings.max_pending_bytes = bytes; });
  }
  for (const uint32_t records : {0u, UINT32_MAX}) {
    expect("max_batch_records", [&](auto& settings) { settings.max_batch_records = records; });
  }
  for (const int64_t ms : {int64_t{0}, int64_t{-1}, INT64_MAX}) {
    expect("delivery_timeout_ms", [&](auto& settings) { settings.delivery_timeout_ms = ms; });
  }
  expect_field(LogWriter::open(nullptr, good).error(), "host");
  EXPECT_TRUE(LogWriter::open(host, good));
}

TEST(SourceSettings, B03_each_field_is_checked_and_named) {
  Folder folder;
  const auto host = open_storage("memory", folder.path() + "/data");
  LogSourceSettings good;
  good.log = "orders";
  good.log_id = "AAAAAAAAQACAAAAAAAAAAQ";
  const auto expect = [&](const std::string& field, const std::function<void(LogSourceSettings&)>& spoil) {
    LogSourceSettings bad = good;
    spoil(bad);
    const auto made = make_log_source(host, bad);
    ASSERT_FALSE(made) << field;
    expect_field(made.error(), field);
  };
  EXPECT_TRUE(make_log_source(host, good)) << make_log_source(host, good).error().describe();
  expect("log", [](auto& settings) { settings.log = ""; });
  expect("log_id", [](auto& settings) { settings.log_id = "short"; });
  expect("log_id", [](auto& settings) { settings.log_id = "AAAAAAAAAAAAAAAAAAAAAA"; });
  expect("log_id", [](auto& settings) { settings.state_directory = "/tmp"; });
  expect("state_directory", [](auto& settings) {
    settings.log_id = "";
    settings.state_directory = "here";
  });
  expect("read.source_id", [](auto& settings) { settings.read.source_id = std::string(513, 'a'); });
  for (const uint64_t bytes : {uint64_t{0}, UINT64_MAX}) {
    expect("read.read_bytes", [&](auto& settings) { settings.read.read_bytes = bytes; });
    expect("read.max_batch_bytes", [&](auto& settings) { settings.read.max_batch_bytes = bytes; });
  }
  good.log_id = "";
  good.state_directory = folder.path();
  EXPECT_EQ(make_log_source(host, good).error().code(), StatusCode::not_found);
  NativeSourceSettings native;
  expect_field(make_native_source(host, native).error(), "stream");
  native.stream = "s";
  native.partition = -1;
  expect_field(make_native_source(host, native).error(), "partition");
  native.partition = 0;
  const auto source = make_native_source(host, native);
  ASSERT_TRUE(source);
  EXPECT_EQ((*source)->id(), "memory:s/0");
  EXPECT_EQ(read(**source, 0).error().code(), StatusCode::invalid) << "a storage of logs";
}

}  // namespace
}  // namespace sluice::test
