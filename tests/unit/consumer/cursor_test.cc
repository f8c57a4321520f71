// SPDX-License-Identifier: Apache-2.0
#include "sluice/cursor.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/crc32c.hpp"
#include "consumer/base64url.hpp"
#include "sluice/source.hpp"

namespace sluice {
namespace {

Cursor make(std::initializer_list<std::pair<const char*, int64_t>> entries) {
  Cursor cursor;
  for (const auto& [id, next] : entries) EXPECT_TRUE(cursor.set(id, next));
  return cursor;
}

// The text of these bytes, with a right checksum.
std::string text_of(const std::vector<uint8_t>& body, std::string prefix = "slc1.") {
  std::vector<uint8_t> bytes = body;
  const uint32_t checksum = crc32c_extend(crc32c(as_bytes(prefix)), body);
  for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(checksum >> (8 * i)));
  consumer::base64url_append(bytes, prefix);
  return prefix;
}

StatusCode code_of(std::string_view text) {
  const auto cursor = Cursor::decode(text);
  return cursor ? StatusCode::ok : cursor.error().code();
}

TEST(Cursor, comes_back_from_its_text) {
  const Cursor cursor = make({{"orders/10", 7}, {"orders/1", 0}, {"a", INT64_MAX}});
  const auto back = Cursor::decode(cursor.encode());
  ASSERT_TRUE(back) << back.error().describe();
  EXPECT_EQ(*back, cursor);
  EXPECT_EQ(back->at(0).id, "a");
  EXPECT_EQ(back->next("orders/10"), 7);
  EXPECT_EQ(back->next("orders/2"), std::nullopt);
  EXPECT_EQ(back->encode(), cursor.encode());
  EXPECT_TRUE(Cursor::decode(Cursor().encode())->empty());
}

TEST(Cursor, base64url_is_that_of_rfc_4648) {
  const std::pair<const char*, const char*> cases[] = {
      {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
      {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : cases) {
    std::string text;
    consumer::base64url_append(as_bytes(plain), text);
    EXPECT_EQ(text, coded);
  }
  std::mt19937 random(7);
  for (size_t size = 0; size < 100; ++size) {
    std::vector<uint8_t> bytes(size);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    std::string text;
    consumer::base64url_append(bytes, text);
    EXPECT_EQ(text.size(), consumer::base64url_size(size));
    Buffer back;
    EXPECT_EQ(consumer::base64url_decode(text, back), std::nullopt);
    EXPECT_EQ(as_text(back), as_text(bytes));
  }
  Buffer out;
  EXPECT_EQ(consumer::base64url_decode("Zm9vYm+y", out), 6u);  // not of this alphabet
  EXPECT_EQ(consumer::base64url_decode("Zm9vY", out), 4u);     // no bytes have this length
  EXPECT_EQ(consumer::base64url_decode("Zh", out), 1u);        // bits beyond the last byte
  EXPECT_EQ(consumer::base64url_decode("Zm9=", out), 3u);
}

TEST(Cursor, base64url_is_decoded_alike_with_and_without_vectors) {
  if (!consumer::base64url_detail::has_vectors()) GTEST_SKIP() << "this processor has none of those";
  std::mt19937 random(11);
  // Right texts of many lengths, and each byte there is at each place of a vector.
  for (size_t round = 0; round < 400 + 256 * 32; ++round) {
    std::vector<uint8_t> bytes(round < 400 ? 3 * (round % 100) : 72);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    std::string text;
    consumer::base64url_append(bytes, text);
    if (round >= 400) text[round % 32] = static_cast<char>((round - 400) / 32);
    const auto* const in = reinterpret_cast<const uint8_t*>(text.data());
    // As much room as is allowed to be touched, and no more: sanitizers see the rest.
    std::vector<uint8_t> plain(bytes.size() + 1), fast(bytes.size() + 1);
    const bool right = consumer::base64url_detail::decode_with_tables(in, in + text.size(), plain.data());
    EXPECT_EQ(consumer::base64url_detail::decode_with_vectors(in, in + text.size(), fast.data()), right) << round;
    plain.pop_back(), fast.pop_back();
    if (right) {
      EXPECT_EQ(plain, fast) << round;
    }
    if (round < 400) {
      EXPECT_EQ(fast, bytes) << round;
    }
  }
}

TEST(Cursor, B31_positions_compare_as_numbers_and_never_regress) {
  Cursor cursor = make({{"s", 9}});
  EXPECT_TRUE(cursor.advance("s", 10));
  EXPECT_EQ(cursor.next("s"), 10);
  const Status back = cursor.advance("s", 9);
  EXPECT_EQ(back.code(), StatusCode::invalid);
  EXPECT_EQ(cursor.next("s"), 10);
  EXPECT_EQ(Cursor::compare(make({{"s", 9}}), make({{"s", 10}})), CursorOrder::before);
  EXPECT_EQ(Cursor::compare(make({{"s", 100}}), make({{"s", 99}})), CursorOrder::after);
  EXPECT_EQ(cursor.set("s", -1).code(), StatusCode::invalid);
}

TEST(Cursor, B31_a_malformed_position_is_an_error) {
  // One shard "s", its position as given: how many bytes, and these.
  const auto with = [](std::vector<uint8_t> position) {
    std::vector<uint8_t> body = {1, 1, 0, 's'};
    body.insert(body.end(), position.begin(), position.end());
    return text_of(body);
  };
  EXPECT_EQ(Cursor::decode(with({1, 9}))->next("s"), 9);
  EXPECT_EQ(Cursor::decode(with({0}))->next("s"), 0);
  EXPECT_EQ(Cursor::decode(with({2, 0, 1}))->next("s"), 256);
  const std::vector<uint8_t> most = {8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
  EXPECT_EQ(Cursor::decode(with(most))->next("s"), INT64_MAX);
  EXPECT_EQ(code_of(with({2, 9, 0})), StatusCode::invalid);                       // 9 with a leading zero
  EXPECT_EQ(code_of(with({1, 0})), StatusCode::invalid);                          // 0 with one
  EXPECT_EQ(code_of(with({8, 0, 0, 0, 0, 0, 0, 0, 0x80})), StatusCode::invalid);  // 2^63
  EXPECT_EQ(code_of(with({9, 1, 1, 1, 1, 1, 1, 1, 1, 1})), StatusCode::invalid);  // 2^64 up
  EXPECT_EQ(code_of(with({2, 9})), StatusCode::invalid);                          // cut off
  EXPECT_EQ(code_of(with({1})), StatusCode::invalid);                             // all of it
  EXPECT_EQ(code_of(with({})), StatusCode::invalid);                              // none
  EXPECT_EQ(code_of(with({1, 9, 9})), StatusCode::invalid);                       // one too many
  EXPECT_EQ(code_of("{\"s\":9}"), StatusCode::invalid);                           // another format
  EXPECT_EQ(code_of(""), StatusCode::invalid);
  EXPECT_EQ(code_of(text_of({0}, "slc2.")), StatusCode::unsupported);

  EXPECT_EQ(parse_position("0"), 0);
  EXPECT_EQ(parse_position("9223372036854775807"), INT64_MAX);
  const std::pair<const char*, int64_t> wrong[] = {
      {"", 0}, {"00", 0}, {"-1", 0}, {"1e3", 1}, {"9223372036854775808", 18}};
  for (const auto& [text, byte] : wrong) {
    const auto position = parse_position(text);
    ASSERT_FALSE(position) << text;
    EXPECT_EQ(position.error().code(), StatusCode::invalid) << text;
    EXPECT_EQ(position.error().native_code(), byte) << text;
  }
}

TEST(Cursor, says_where_a_text_is_wrong) {
  std::string text = make({{"orders/1", 5}, {"orders/2", 6}}).encode();
  text[9] = '!';
  const auto cursor = Cursor::decode(text);
  ASSERT_FALSE(cursor);
  EXPECT_EQ(cursor.error().code(), StatusCode::invalid);
  EXPECT_EQ(cursor.error().native_code(), 9);
  EXPECT_NE(cursor.error().text().find("byte 9"), std::string::npos);
}

TEST(Cursor, every_changed_character_is_noticed) {
  const std::string text = make({{"orders/1", 5}, {"orders/2", 6'000'000}}).encode();
  for (size_t i = 0; i < text.size(); ++i) {
    for (const char c : std::string("A_z0")) {
      std::string changed = text;
      changed[i] = c;
      if (changed == text) continue;
      EXPECT_NE(code_of(changed), StatusCode::ok) << i;
    }
    EXPECT_NE(code_of(text.substr(0, i)), StatusCode::ok) << i;
  }
}

TEST(Cursor, has_one_text_only) {
  // Two shards at 1: the lengths of their ids, and these.
  const auto with = [](std::vector<uint8_t> ids) {
    ids.insert(ids.begin(), 2);
    ids.insert(ids.end(), {1, 1, 1});
    return text_of(ids);
  };
  EXPECT_EQ(code_of(with({1, 1, 1, 'a', 'a', 'b'})), StatusCode::ok);
  EXPECT_EQ(code_of(with({1, 0, 1, 'a', 'b'})), StatusCode::ok);
  EXPECT_EQ(code_of(with({0, 1, 2, 'a', 'b', 0})), StatusCode::ok);
  EXPECT_EQ(code_of(with({0, 1, 1, 'b', 'a'})), StatusCode::invalid);             // ids fall
  EXPECT_EQ(code_of(with({1, 1, 0, 'a', 'b'})), StatusCode::invalid);             // the same, by what they share
  EXPECT_EQ(code_of(with({0, 1, 1, 'a', 'a'})), StatusCode::invalid);             // twice the same
  EXPECT_EQ(code_of(with({1, 0, 0, 'a'})), StatusCode::invalid);                  // the same, by what they share
  EXPECT_EQ(code_of(with({0, 0, 1, 'a'})), StatusCode::invalid);                  // an empty one
  EXPECT_EQ(code_of(with({0, 2, 2, 'a', 'a', 'a', 'b'})), StatusCode::invalid);   // share less than they could
  EXPECT_EQ(code_of(with({1, 0x81, 0, 1, 'a', 'a', 'b'})), StatusCode::invalid);  // a length in two bytes
  EXPECT_EQ(code_of(with({1, 1, 9, 'a', 'a', 'b'})), StatusCode::invalid);        // an id that is cut off
  EXPECT_EQ(code_of(text_of({1, 1, 0, 'a', 1, 1})), StatusCode::ok);
  EXPECT_EQ(code_of(text_of({1, 0, 1, 'a', 1, 1})), StatusCode::invalid);  // one alone is all prefix
}

TEST(Cursor, long_ids_that_differ_late_are_in_order) {
  // The same first bytes, of which the ninth and later ones decide, and zero bytes, which are more than nothing.
  Cursor cursor;
  const std::string stem = "aaaaaaaa";
  for (const std::string& id : {stem + "b", stem + "a", stem, stem + std::string(1, '\0'), stem + std::string(2, '\0'),
                                stem + std::string(300, 'z'), std::string("b"), std::string("\0", 1)}) {
    ASSERT_TRUE(cursor.set(id, 7));
  }
  const auto back = Cursor::decode(cursor.encode());
  ASSERT_TRUE(back) << back.error().describe();
  EXPECT_EQ(*back, cursor);
}

TEST(Cursor, limits_come_before_memory) {
  std::vector<uint8_t> many = {0xff, 0xff, 0x7f};  // two million shards in three bytes
  EXPECT_EQ(code_of(text_of(many)), StatusCode::invalid);
  std::vector<uint8_t> within = {0x80, 0x80, 0x04, 0, 1, 1, 'a', 'b', 0};  // 65,536
  EXPECT_EQ(code_of(text_of(within)), StatusCode::invalid);
  std::vector<uint8_t> long_id = {1, 0x81, 0x04, 0};  // an id of 513 bytes
  long_id.resize(4 + 513, 'x');
  long_id.push_back(0);
  EXPECT_EQ(code_of(text_of(long_id)), StatusCode::invalid);
  EXPECT_EQ(code_of(std::string(kMaxCursorTextBytes + 1, 'A')), StatusCode::too_large);
  Cursor cursor;
  EXPECT_EQ(cursor.set("", 0).code(), StatusCode::invalid);
  EXPECT_EQ(cursor.set(std::string(kMaxSourceIdBytes + 1, 'x'), 0).code(), StatusCode::invalid);
  EXPECT_TRUE(cursor.set(std::string(kMaxSourceIdBytes, 'x'), 0));
  EXPECT_EQ(Cursor::decode(cursor.encode()).value(), cursor);
}

TEST(Cursor, holds_as_many_shards_as_it_says) {
  Cursor cursor;
  char id[16];
  for (size_t i = 0; i < kMaxCursorShards; ++i) {
    std::snprintf(id, sizeof id, "shard/%08zu", i);
    ASSERT_TRUE(cursor.set(id, static_cast<int64_t>(i)));
  }
  EXPECT_EQ(cursor.set("one more", 0).code(), StatusCode::too_large);
  const std::string text = cursor.encode();
  EXPECT_LE(text.size(), kMaxCursorTextBytes);
  EXPECT_EQ(Cursor::decode(text).value(), cursor);
}

TEST(Cursor, B13_costs_what_is_used) {
  const Cursor cursor = make({{"topic/65535", 1}});
  EXPECT_EQ(cursor.size(), 1u);
  EXPECT_LT(cursor.memory_bytes(), 1024u);
  EXPECT_LT(cursor.encode().size(), 64u);
  EXPECT_LT(Cursor::decode(cursor.encode())->memory_bytes(), 1024u);
}

TEST(Cursor, copies_do_not_change_each_other) {
  Cursor first = make({{"b", 1}});
  Cursor second = first;
  ASSERT_TRUE(second.set("a", 2));
  ASSERT_TRUE(second.set("b", 3));
  EXPECT_EQ(first.size(), 1u);
  EXPECT_EQ(first.next("b"), 1);
  EXPECT_TRUE(first.erase("b"));
  EXPECT_FALSE(first.erase("b"));
  EXPECT_EQ(second.next("b"), 3);
  EXPECT_EQ(second.next("a"), 2);
}

TEST(Cursor, is_partly_ordered_and_merges_both_ways) {
  const Cursor left = make({{"a", 5}, {"b", 9}, {"left", 1}});
  const Cursor right = make({{"a", 9}, {"b", 3}, {"right", 2}});
  EXPECT_EQ(Cursor::compare(left, right), CursorOrder::apart);
  EXPECT_EQ(Cursor::compare(left, left), CursorOrder::equal);
  EXPECT_EQ(Cursor::compare(Cursor(), left), CursorOrder::before);
  EXPECT_EQ(Cursor::compare(make({{"a", 0}}), Cursor()), CursorOrder::after);
  EXPECT_EQ(Cursor::least(left, right), make({{"a", 5}, {"b", 3}}));
  EXPECT_EQ(Cursor::greatest(left, right), make({{"a", 9}, {"b", 9}, {"left", 1}, {"right", 2}}));
}

TEST(Cursor, random_ones_come_back) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 1'000; ++round) {
    Cursor cursor;
    const size_t count = random() % 100;
    const std::string stem(random() % 3 * (random() % 20), 's');  // shared by all, longer or shorter than a vector
    const size_t longest = 1 + random() % 40;
    for (size_t i = 0; i < count; ++i) {
      std::string id(1 + random() % longest, '\0');
      for (char& c : id) c = static_cast<char>(random() % 4 + (random() % 20 == 0 ? 254 : random() % 20 == 0 ? 0 : 97));
      id.insert(0, stem);
      ASSERT_TRUE(cursor.set(id, static_cast<int64_t>(random() >> (1 + random() % 63))));
      if (random() % 8 == 0) cursor.erase(id);
    }
    const auto back = Cursor::decode(cursor.encode());
    ASSERT_TRUE(back) << back.error().describe();
    EXPECT_EQ(*back, cursor);
    EXPECT_EQ(back->encode(), cursor.encode());
  }
}

}  // namespace
}  // namespace sluice
