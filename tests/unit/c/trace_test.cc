// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cstring>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

constexpr std::string_view kParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

sluice_trace_ids ids_of(sluice_handle trace) {
  sluice_trace_ids ids{};
  ids.size = sizeof ids;
  EXPECT_EQ(sluice_trace_read(trace, &ids, nullptr), SLUICE_OK);
  return ids;
}
std::string parent_of(sluice_handle trace) {
  return text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
    return sluice_trace_parent(trace, buffer, capacity, needed, nullptr);
  });
}
std::string state_of(sluice_handle trace) {
  return text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
    return sluice_trace_state(trace, buffer, capacity, needed, nullptr);
  });
}

TEST(TraceFace, a_record_goes_on_with_the_trace_it_carries) {
  const sluice_field received[] = {{span("tenant"), span("north")},
                                   {span("TraceParent"), span(kParent)},
                                   {span("tracestate"), span("a=1")},
                                   {span("tenant"), {nullptr, 0}}};
  Owned parent;
  Owned child;
  Owned changed;
  ASSERT_EQ(sluice_trace_extract(received, 4, &parent.handle, nullptr), SLUICE_OK);
  EXPECT_EQ(parent_of(parent), kParent);
  EXPECT_EQ(parent_of(parent).size(), SLUICE_TRACEPARENT_BYTES);
  ASSERT_EQ(sluice_trace_child(parent, &child.handle, nullptr), SLUICE_OK);
  const auto before = ids_of(parent);
  const auto after = ids_of(child);
  EXPECT_EQ(std::memcmp(before.trace_id, after.trace_id, 16), 0);
  EXPECT_NE(std::memcmp(before.span_id, after.span_id, 8), 0);
  EXPECT_EQ(after.flags, SLUICE_TRACE_SAMPLED);
  ASSERT_EQ(sluice_trace_with_state(child, "b", 1, "2", 1, &changed.handle, nullptr), SLUICE_OK);
  EXPECT_EQ(state_of(changed), "b=2,a=1");
  EXPECT_EQ(state_of(child), "a=1");

  sluice_field sent[6];
  uint64_t count = 0;
  EXPECT_EQ(sluice_trace_headers(changed, received, 4, sent, 3, &count, nullptr), SLUICE_TOO_LARGE);
  ASSERT_EQ(sluice_trace_headers(changed, received, 4, sent, 6, &count, nullptr), SLUICE_OK);
  ASSERT_EQ(count, 4U);
  EXPECT_EQ(view(sent[0].value), "north");
  EXPECT_EQ(sent[1].value.data, nullptr);
  EXPECT_EQ(view(sent[2].name), "traceparent");
  EXPECT_EQ(view(sent[2].value), parent_of(changed));
  EXPECT_EQ(view(sent[3].value), "b=2,a=1");
}

TEST(TraceFace, a_trace_begins_with_ids_of_its_own) {
  Owned first;
  Owned second;
  ASSERT_EQ(sluice_trace_begin(1, &first.handle, nullptr), SLUICE_OK);
  ASSERT_EQ(sluice_trace_begin(0, &second.handle, nullptr), SLUICE_OK);
  EXPECT_NE(std::memcmp(ids_of(first).trace_id, ids_of(second).trace_id, 16), 0);
  EXPECT_EQ(ids_of(first).flags, SLUICE_TRACE_SAMPLED | SLUICE_TRACE_RANDOM);
  EXPECT_EQ(ids_of(second).flags, SLUICE_TRACE_RANDOM);
  EXPECT_EQ(state_of(first), "");
  EXPECT_EQ(sluice_trace_begin(2, &first.handle, nullptr), SLUICE_INVALID);
}

TEST(TraceFace, what_is_malformed_is_told_or_not_there) {
  Owned trace;
  Failure failure;
  EXPECT_EQ(sluice_trace_parse("00-xyz", 6, nullptr, 0, &trace.handle, &failure), SLUICE_INVALID);
  EXPECT_EQ(failure.index, 0);
  EXPECT_EQ(sluice_trace_parse(kParent.data(), kParent.size(), "=", 1, &trace.handle, &failure), SLUICE_INVALID);
  EXPECT_EQ(failure.index, 1);
  const sluice_field twice[] = {{span("traceparent"), span(kParent)}, {span("traceparent"), span(kParent)}};
  EXPECT_EQ(sluice_trace_extract(twice, 2, &trace.handle, &failure), SLUICE_NOT_FOUND);
  EXPECT_EQ(sluice_trace_extract(nullptr, 2, &trace.handle, &failure), SLUICE_INVALID);
  ASSERT_EQ(sluice_trace_parse(kParent.data(), kParent.size(), "a=1", 3, &trace.handle, &failure), SLUICE_OK);
  sluice_trace_ids ids{};
  EXPECT_EQ(sluice_trace_read(trace, &ids, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_trace_with_state(trace, "A B", 3, "1", 1, &trace.handle, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_trace_headers(trace, nullptr, 0, nullptr, 2, nullptr, &failure), SLUICE_INVALID);
}

}  // namespace
}  // namespace sluice::c::testing
