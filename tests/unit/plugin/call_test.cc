// SPDX-License-Identifier: Apache-2.0
#include "plugin/call.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace sluice::plugin {
namespace {

struct Completion {
  sluice_ticket* ticket;
  sluice_status status;
};
std::vector<Completion> completions;

const sluice_host& host() {
  static const sluice_host table = [] {
    sluice_host made{};
    made.size = sizeof made;
    made.complete = [](const sluice_host*, sluice_ticket* ticket, sluice_status status) {
      completions.push_back({ticket, status});
    };
    return made;
  }();
  return table;
}

struct Ticket {
  Ticket() {
    completions.clear();
    error.size = sizeof error;
    error.text = text;
    error.text_capacity = sizeof text;
    raw.size = sizeof raw;
    raw.error = &error;
  }
  char text[64] = {};
  sluice_error error{};
  sluice_ticket raw{};
};

TEST(Pending, CompletesOnce) {
  Ticket ticket;
  Pending pending(&host(), &ticket.raw);
  pending.complete(Status(StatusCode::no_space, "full", 28));
  pending.complete();
  ASSERT_EQ(completions.size(), 1u);
  EXPECT_EQ(completions[0].ticket, &ticket.raw);
  EXPECT_EQ(completions[0].status, SLUICE_NO_SPACE);
  EXPECT_STREQ(ticket.text, "full");
  EXPECT_EQ(ticket.error.native_code, 28);
  EXPECT_FALSE(pending);
}

TEST(Pending, MovesItsTicket) {
  Ticket ticket;
  Pending first(&host(), &ticket.raw);
  Pending second(std::move(first));
  EXPECT_FALSE(first);
  second.complete();
  ASSERT_EQ(completions.size(), 1u);
  EXPECT_EQ(completions[0].status, SLUICE_OK);
}

TEST(Pending, DroppedIsUnknown) {
  Ticket ticket;
  { Pending pending(&host(), &ticket.raw); }
  ASSERT_EQ(completions.size(), 1u);
  EXPECT_EQ(completions[0].status, SLUICE_UNKNOWN);
}

TEST(Pending, AssignmentDropsWhatItHeld) {
  Ticket first;
  Ticket second;
  Pending pending(&host(), &first.raw);
  pending = Pending(&host(), &second.raw);
  ASSERT_EQ(completions.size(), 1u);
  EXPECT_EQ(completions[0].ticket, &first.raw);
  pending.complete();
}

TEST(Pending, NeverCompletesWithPending) {
  Ticket ticket;
  Pending pending(&host(), &ticket.raw);
  pending.complete(plugin::pending());
  ASSERT_EQ(completions.size(), 1u);
  EXPECT_EQ(completions[0].status, SLUICE_UNKNOWN);
}

TEST(WriteError, CutsAtWholeCharacters) {
  for (uint32_t capacity = 0; capacity < 8; ++capacity) {
    char text[16];
    std::memset(text, '#', sizeof text);
    sluice_error error{};
    error.size = sizeof error;
    error.text = text;
    error.text_capacity = capacity;
    write_error(&error, Status(StatusCode::internal, "a\xc3\xbc\xe2\x82\xac"));  // 1, 2 and 3 bytes
    EXPECT_EQ(text[capacity], '#') << capacity;
    static constexpr const char* kWanted[] = {"",          "",          "a",         "a",
                                              "a\xc3\xbc", "a\xc3\xbc", "a\xc3\xbc", "a\xc3\xbc\xe2\x82\xac"};
    if (capacity > 0) {
      EXPECT_STREQ(text, kWanted[capacity]) << capacity;
    }
  }
  write_error(nullptr, Status(StatusCode::internal, "x"));
}

TEST(Set, StaysWithinTheSizeOfTheStruct) {
  sluice_bounds bounds{};
  bounds.size = offsetof(sluice_bounds, capabilities);
  set(bounds, &sluice_bounds::largest_unit, 7u);
  set(bounds, &sluice_bounds::capabilities, 7u);
  EXPECT_EQ(bounds.largest_unit, 7u);
  EXPECT_EQ(bounds.capabilities, 0u);
  EXPECT_EQ(get(bounds, &sluice_bounds::largest_unit), 7u);
  EXPECT_EQ(get(bounds, &sluice_bounds::capabilities, uint64_t{9}), 9u);
}

}  // namespace
}  // namespace sluice::plugin
