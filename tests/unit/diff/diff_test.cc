// SPDX-License-Identifier: Apache-2.0
#include "sluice/diff.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <random>

#include "diff/sha256.hpp"

namespace sluice {
namespace {

using Json = nlohmann::json;

// A diff with this patch, for this state, that promises whatever `after` is.
std::string diff_with(std::string_view state, std::string_view patch, std::string_view after = "0") {
  return Json{{"version", 1},
              {"before", hash_state(state).value()},
              {"after", hash_state(after).value()},
              {"patch", Json::parse(patch)}}
      .dump();
}

TEST(Sha256, AsPublished) {
  const auto sha = [](std::string_view text) {
    diff::Sha256 hash;
    hash.add(text);
    return hash.finish();
  };
  EXPECT_EQ(sha(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha(std::string(1'000'000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Diff, TurnsOneStateIntoTheOther) {
  const std::string before = R"({"a":1,"list":[1,2,3],"gone":true,"deep":{"x":{"y":[{}]}}})";
  const std::string after = R"({"a":2,"list":[1,3],"new":null,"deep":{"x":{"y":[{"z":"~/"}]}}})";
  const Result<std::string> diff = diff_states(before, after);
  ASSERT_TRUE(diff) << diff.error().describe();
  const Result<std::string> applied = apply_diff(before, *diff);
  ASSERT_TRUE(applied) << applied.error().describe();
  EXPECT_EQ(Json::parse(*applied), Json::parse(after));
  EXPECT_EQ(hash_state(*applied).value(), hash_state(after).value());
  EXPECT_TRUE(verify_diff(before, *diff).ok());
}

TEST(Diff, AnotherStateIsRefused) {
  const std::string diff = diff_states(R"({"a":1})", R"({"a":2})").value();
  const Result<std::string> applied = apply_diff(R"({"a":3})", diff);
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code(), StatusCode::conflict);
  EXPECT_EQ(verify_diff(R"({"a":2})", diff).code(), StatusCode::conflict) << "not twice either";
}

TEST(Diff, ADamagedPatchIsRefusedWhereItDiffers) {
  const std::string state = R"({"a":{"b":[1,2]},"n":null,"s":"text"})";
  const auto refused = [&](std::string_view patch) { return apply_diff(state, diff_with(state, patch)).error(); };
  EXPECT_EQ(refused(R"([])").code(), StatusCode::corrupt) << "gives another state than promised";
  const Status missing = refused(R"([{"op":"remove","path":"/a"},{"op":"remove","path":"/a/b"}])");
  EXPECT_EQ(missing.code(), StatusCode::corrupt);
  EXPECT_TRUE(missing.text().starts_with("diff: /patch/1 at '/a/b'")) << missing.text();
  EXPECT_EQ(refused(R"([{"op":"test","path":"/s","value":1}])").code(), StatusCode::corrupt);
  EXPECT_EQ(refused(R"([{"op":"add","path":"/s/x","value":1}])").code(), StatusCode::corrupt);
  EXPECT_EQ(refused(R"([{"op":"add","path":"/n/x","value":1}])").code(), StatusCode::corrupt);
  EXPECT_EQ(refused(R"([{"op":"add","path":"/a/b/3","value":1}])").code(), StatusCode::corrupt);
  EXPECT_EQ(refused(R"([{"op":"remove","path":""}])").code(), StatusCode::corrupt);
  EXPECT_EQ(refused(R"([{"op":"remove","path":"/a/b/-"}])").code(), StatusCode::corrupt);
  EXPECT_EQ(refused(R"([{"op":"add","path":"/a/b/01","value":1}])").code(), StatusCode::invalid);
  EXPECT_EQ(refused(R"([{"op":"add","path":"a","value":1}])").code(), StatusCode::invalid);
  EXPECT_EQ(refused(R"([{"op":"add","path":"/a"}])").code(), StatusCode::invalid);
  EXPECT_EQ(refused(R"([{"op":"move","from":"/a","path":"/a/b"}])").code(), StatusCode::invalid);
  EXPECT_EQ(refused(R"([{"op":"grow","path":"/a"}])").code(), StatusCode::invalid);
  EXPECT_EQ(refused(R"([{"op":1,"path":"/a"}])").code(), StatusCode::invalid);
  EXPECT_EQ(refused(R"([{"op":"copy","path":"/a"}])").code(), StatusCode::invalid);
  EXPECT_EQ(refused(R"([7])").code(), StatusCode::invalid);
}

TEST(Diff, AllOperationsOfTheStandardAreApplied) {
  const std::string state = R"({"a":[1,2],"b":{"c":"d"}})";
  const std::string after = R"({"a":[0,1,2,9],"m":"d","c":[1,2],"b":{"e":5}})";
  const std::string diff = diff_with(state, R"([
    {"op":"test","path":"/a/0","value":1}, {"op":"copy","from":"/a","path":"/c"}, {"op":"add","path":"/a/0","value":0},
    {"op":"add","path":"/a/-","value":9}, {"op":"move","from":"/b/c","path":"/m"}, {"op":"replace","path":"/b","value":{"x":1}},
    {"op":"remove","path":"/b/x"}, {"op":"add","path":"/b/e","value":5.0}])",
                                     after);
  const Result<std::string> applied = apply_diff(state, diff);
  ASSERT_TRUE(applied) << applied.error().describe();
  EXPECT_EQ(Json::parse(*applied), Json::parse(after));
}

TEST(Diff, NumbersThatAreEqualAreTheSameState) {
  EXPECT_EQ(hash_state("[1, 100, -0.0]").value(), hash_state("[1.0,1e2,0]").value());
  EXPECT_NE(hash_state("[0.1]").value(), hash_state("[0.2]").value());
  EXPECT_NE(hash_state("18446744073709551615").value(), hash_state("18446744073709551614").value());
  EXPECT_EQ(hash_state(R"({"b":1,"a":2})").value(), hash_state(R"( { "a" : 2.0, "b" : 1 } )").value());
  const std::string diff = diff_states("[1]", "[1.0]").value();
  EXPECT_TRUE(verify_diff("[1]", diff).ok());
}

TEST(Diff, FaultsInTheTextAreToldWithTheirPosition) {
  EXPECT_TRUE(hash_state("{\"a\":}").error().text().starts_with("state: byte 6:"))
      << hash_state("{\"a\":}").error().text();
  EXPECT_EQ(hash_state(R"({"a":1,"a":2})").error().text(), "state: member 'a' twice");
  EXPECT_TRUE(hash_state(R"([{"a":1},{"a":2}])"));
  EXPECT_EQ(hash_state("\"\xff\"").error().code(), StatusCode::invalid);
  EXPECT_EQ(hash_state("1e999").error().code(), StatusCode::invalid);
  EXPECT_EQ(hash_state("").error().code(), StatusCode::invalid);
  EXPECT_TRUE(diff_states("{}", "{").error().text().starts_with("after: byte 2"))
      << diff_states("{}", "{").error().text();
}

TEST(Diff, WhatIsNoDiffIsRefused) {
  const Json good = Json::parse(diff_states("1", "2").value());
  const auto with = [&](const char* name, const Json& value) {
    Json changed = good;
    changed[name] = value;
    return apply_diff("1", changed.dump()).error();
  };
  EXPECT_EQ(with("version", 2).code(), StatusCode::unsupported);
  EXPECT_EQ(with("version", "1").code(), StatusCode::invalid);
  EXPECT_EQ(with("before", "00").code(), StatusCode::invalid);
  EXPECT_EQ(with("after", std::string(64, 'G')).code(), StatusCode::invalid);
  EXPECT_EQ(with("after", std::string(64, '0')).code(), StatusCode::corrupt);
  EXPECT_EQ(with("patch", Json::object()).code(), StatusCode::invalid);
  EXPECT_EQ(with("more", 1).code(), StatusCode::invalid);
  EXPECT_EQ(apply_diff("1", "[]").error().code(), StatusCode::invalid);
}

TEST(Diff, LimitsHold) {
  DiffLimits limits;
  limits.max_depth = 3;
  EXPECT_TRUE(hash_state("[[[1]]]", limits));
  EXPECT_EQ(hash_state("[[[[1]]]]", limits).error().code(), StatusCode::too_large);
  EXPECT_EQ(
      apply_diff("[[1]]", diff_with("[[1]]", R"([{"op":"add","path":"/0/0","value":[[]]}])"), limits).error().code(),
      StatusCode::too_large);
  limits.max_depth = 0;
  EXPECT_TRUE(hash_state("1", limits).error().text().starts_with("diff.max_depth"));
  EXPECT_EQ(hash_state(std::string(1'000'000, '[')).error().code(), StatusCode::too_large);
  limits = DiffLimits();
  limits.max_state_bytes = 10;
  EXPECT_EQ(hash_state("[1,2,3,4,5]", limits).error().code(), StatusCode::too_large);
  limits = DiffLimits();
  limits.max_operations = 1;
  EXPECT_EQ(diff_states("[1,2]", "[2,1]", limits).error().code(), StatusCode::too_large);
  EXPECT_EQ(apply_diff("[1,2]", diff_states("[1,2]", "[2,1]").value(), limits).error().code(), StatusCode::too_large);
  limits = DiffLimits();
  limits.max_patch_bytes = 100;
  EXPECT_EQ(diff_states("1", "2", limits).error().code(), StatusCode::too_large);
  EXPECT_EQ(verify_diff("1", diff_states("1", "2").value(), limits).code(), StatusCode::too_large);
}

TEST(Diff, ABombOfCopiesIsRefusedBeforeItGoesOff) {
  const std::string state = R"({"a":["0123456789"]})";
  Json patch = Json::array();
  for (int i = 0; i < 60; ++i) patch.push_back({{"op", "copy"}, {"from", ""}, {"path", "/a/-"}});
  DiffLimits limits;
  limits.max_state_bytes = 1 << 20;
  EXPECT_EQ(apply_diff(state, diff_with(state, patch.dump()), limits).error().code(), StatusCode::too_large);
}

TEST(Diff, RandomStatesComeOutAsTheyShould) {
  std::mt19937 random(11);
  const std::function<Json(int)> make = [&](int depth) -> Json {
    switch (random() % (depth > 3 ? 5 : 7)) {
      case 0:
        return nullptr;
      case 1:
        return random() % 2 == 0;
      case 2:
        return static_cast<int64_t>(random()) - 1'000'000'000;
      case 3:
        return static_cast<double>(random() % 1'000) / 8;
      case 4:
        return std::string(random() % 5, '~') + (random() % 2 == 0 ? "/" : "é");
      case 5: {
        Json array = Json::array();
        for (uint32_t i = random() % 5; i > 0; --i) array.push_back(make(depth + 1));
        return array;
      }
      default: {
        Json object = Json::object();
        for (uint32_t i = random() % 5; i > 0; --i) object[std::string(1, "ab/~ "[random() % 5])] = make(depth + 1);
        return object;
      }
    }
  };
  for (int round = 0; round < 2'000; ++round) {
    const std::string before = make(0).dump();
    const std::string after = make(0).dump();
    const Result<std::string> diff = diff_states(before, after);
    ASSERT_TRUE(diff) << diff.error().describe();
    const Result<std::string> applied = apply_diff(before, *diff);
    ASSERT_TRUE(applied) << applied.error().describe() << before << after << *diff;
    EXPECT_EQ(hash_state(*applied).value(), hash_state(after).value());
  }
}

}  // namespace
}  // namespace sluice
