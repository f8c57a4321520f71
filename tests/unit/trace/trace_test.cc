// SPDX-License-Identifier: Apache-2.0
#include "sluice/trace.hpp"

#include <gtest/gtest.h>

#include <random>

namespace sluice {
namespace {

constexpr std::string_view kParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TraceRandom random_from(uint64_t seed) {
  return [engine = std::mt19937_64(seed)]() mutable { return engine(); };
}

std::vector<std::pair<std::string, std::string>> list(const Headers& headers) {
  std::vector<std::pair<std::string, std::string>> all;
  headers.each([&](const Header& header) {
    all.emplace_back(header.name, header.value ? as_text(*header.value) : "null");
    return true;
  });
  return all;
}

TEST(Trace, ATraceparentComesBackAsItWas) {
  const Result<TraceContext> context = parse_traceparent(kParent);
  ASSERT_TRUE(context);
  EXPECT_EQ(context->trace_id[0], 0x0a);
  EXPECT_EQ(context->trace_id[15], 0x9c);
  EXPECT_EQ(context->span_id[0], 0xb7);
  EXPECT_TRUE(context->sampled());
  EXPECT_EQ(format_traceparent(*context), kParent);
}

TEST(Trace, MalformedTraceparentsAreToldAtTheirPosition) {
  const auto refused = [](std::string text) {
    const Result<TraceContext> context = parse_traceparent(text);
    return context ? "" : context.error().text();
  };
  const std::string good(kParent);
  const auto with = [&](size_t at, char character) {
    std::string text = good;
    text[at] = character;
    return text;
  };
  EXPECT_EQ(refused(""), "traceparent: character 0: ends too early");
  EXPECT_EQ(refused(good.substr(0, 54)), "traceparent: character 54: ends too early");
  EXPECT_EQ(refused(with(5, 'A')), "traceparent: character 5: no lower-case hexadecimal digit");
  EXPECT_EQ(refused(with(54, 'g')), "traceparent: character 54: no lower-case hexadecimal digit");
  EXPECT_EQ(refused(with(35, '_')), "traceparent: character 35: no '-'");
  EXPECT_EQ(refused(good + "-00"), "traceparent: character 55: more than there should be");
  EXPECT_EQ(refused("ff" + good.substr(2)), "traceparent: character 0: version ff");
  EXPECT_EQ(refused("00-00000000000000000000000000000000-b7ad6b7169203331-01"), "traceparent: character 3: trace id 0");
  EXPECT_EQ(refused("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"),
            "traceparent: character 36: parent id 0");
}

TEST(Trace, LaterVersionsAreReadAsFarAsTheyAreKnown) {
  const std::string later = "cc" + std::string(kParent.substr(2));
  ASSERT_TRUE(parse_traceparent(later));
  EXPECT_EQ(format_traceparent(*parse_traceparent(later)), kParent);
  EXPECT_TRUE(parse_traceparent(later + "-what-the-future-brings"));
  EXPECT_FALSE(parse_traceparent(later + "."));
  EXPECT_EQ(parse_traceparent(std::string(kParent.substr(0, 53)) + "ff")->flags, 0x03) << "unknown flags are dropped";
}

TEST(Trace, ChildrenKeepTheTraceAndHaveSpansOfTheirOwn) {
  const TraceRandom random = random_from(1);
  const TraceContext root = new_trace(random, true);
  EXPECT_TRUE(root.sampled());
  EXPECT_EQ(root.flags & TraceContext::kRandom, TraceContext::kRandom);
  EXPECT_FALSE(new_trace(random, false).sampled());
  TraceContext parent = root;
  ASSERT_TRUE(set_tracestate(parent, "vendor", "1").ok());
  const TraceContext child = child_span(parent, random);
  EXPECT_EQ(child.trace_id, root.trace_id);
  EXPECT_NE(child.span_id, root.span_id);
  EXPECT_EQ(child.flags, root.flags);
  EXPECT_EQ(child.state, "vendor=1");
  // Zero is no id, and not the parent's either.
  int calls = 0;
  const TraceContext unlucky = new_trace([&] { return ++calls < 4 ? 0ULL : 7ULL; }, true);
  EXPECT_TRUE(parse_traceparent(format_traceparent(unlucky)));
  const auto stuck = [] { return uint64_t{0}; };
  const TraceContext first = new_trace(stuck, true);
  EXPECT_TRUE(parse_traceparent(format_traceparent(first)));
  EXPECT_NE(child_span(first, stuck).span_id, first.span_id);
}

TEST(Tracestate, IsBroughtToItsShortestForm) {
  EXPECT_EQ(parse_tracestate({"a=1, b=2 ,,\tc=3"}).value(), "a=1,b=2,c=3");
  EXPECT_EQ(parse_tracestate({"a=1", "", "b= x y"}).value(), "a=1,b= x y");
  EXPECT_EQ(parse_tracestate({}).value(), "");
  EXPECT_EQ(parse_tracestate({"0tenant/*-_@sys=v"}).value(), "0tenant/*-_@sys=v");
}

TEST(Tracestate, WhatTheGrammarDoesNotAllowIsTold) {
  const auto refused = [](const std::vector<std::string_view>& headers) {
    const Result<std::string> state = parse_tracestate(headers);
    return state ? "" : state.error().text();
  };
  EXPECT_EQ(refused({"a"}), "tracestate: character 0: a member without '='");
  EXPECT_EQ(refused({"a=1,A=2"}), "tracestate: character 4: not a key");
  EXPECT_EQ(refused({"a=1", "=2"}), "tracestate: character 4: not a key");
  EXPECT_EQ(refused({"a@1b=1"}), "tracestate: character 0: not a key");
  EXPECT_EQ(refused({"a="}), "tracestate: character 0: not a value");
  EXPECT_EQ(refused({"a=b=c"}), "tracestate: character 0: not a value");
  EXPECT_EQ(refused({"a=\x7f"}), "tracestate: character 0: not a value");
  EXPECT_EQ(refused({"a=1,b=2", "a=3"}), "tracestate: character 8: 'a' twice");
  const std::string key(257, 'k');
  EXPECT_NE(refused({key + "=1"}), "");
  const std::string value = "k=" + std::string(257, 'v');
  EXPECT_NE(refused({value}), "");
  std::string many;
  for (int i = 0; i < 33; ++i) many += "k" + std::to_string(i) + "=v,";
  EXPECT_EQ(refused({many}), "tracestate: character 182: too many members");
  const std::string longest(kMaxTracestateBytes + 1, ' ');
  EXPECT_EQ(parse_tracestate({longest}).error().code(), StatusCode::too_large);
}

TEST(Tracestate, AMemberThatIsSetComesFirst) {
  TraceContext context;
  for (int i = 0; i < 32; ++i) ASSERT_TRUE(set_tracestate(context, "k" + std::to_string(i), "v").ok());
  EXPECT_TRUE(context.state.starts_with("k31=v,k30=v"));
  EXPECT_TRUE(context.state.ends_with(",k0=v"));
  ASSERT_TRUE(set_tracestate(context, "k5", "new").ok());
  EXPECT_TRUE(context.state.starts_with("k5=new,k31=v"));
  EXPECT_TRUE(context.state.ends_with(",k0=v")) << "it took its own place";
  ASSERT_TRUE(set_tracestate(context, "another", "v").ok());
  EXPECT_TRUE(context.state.ends_with(",k1=v")) << "the oldest made room";
  EXPECT_TRUE(parse_tracestate({context.state}));
  const std::string before = context.state;
  EXPECT_FALSE(set_tracestate(context, "Upper", "v").ok());
  EXPECT_FALSE(set_tracestate(context, "k", "a,b").ok());
  EXPECT_EQ(context.state, before);
}

TEST(TraceHeaders, ATraceGoesThroughARecordAndOthersStayAsTheyWere) {
  const std::vector<Header> original = {{"tenant", as_bytes("a")},
                                        {"TraceParent", as_bytes(kParent)},
                                        {"tenant", std::nullopt},
                                        {"tracestate", as_bytes("a=1")},
                                        {"tracestate", as_bytes("b=2")}};
  const auto context = extract_trace(Headers(original));
  ASSERT_TRUE(context);
  EXPECT_EQ(context->state, "a=1,b=2");
  const TraceContext child = child_span(*context, random_from(5));
  const TracedHeaders traced(Headers(original), child);
  EXPECT_EQ(
      list(traced.headers()),
      (std::vector<std::pair<std::string, std::string>>{
          {"tenant", "a"}, {"tenant", "null"}, {"traceparent", format_traceparent(child)}, {"tracestate", "a=1,b=2"}}));
  EXPECT_EQ(extract_trace(traced.headers()), child);
  const TraceContext without_state = new_trace(random_from(6), false);
  EXPECT_EQ(TracedHeaders(Headers(), without_state).headers().count(), 1);
}

TEST(TraceHeaders, NoneSeveralNullOrMalformedMeanANewTrace) {
  const auto none = [](const std::vector<Header>& headers) { return !extract_trace(Headers(headers)).has_value(); };
  EXPECT_TRUE(none({}));
  EXPECT_TRUE(none({{"tracestate", as_bytes("a=1")}}));
  EXPECT_TRUE(none({{"traceparent", std::nullopt}}));
  EXPECT_TRUE(none({{"traceparent", as_bytes("")}}));
  EXPECT_TRUE(none({{"traceparent", as_bytes(kParent)}, {"traceparent", as_bytes(kParent)}}));
  EXPECT_TRUE(none({{"traceparent", as_bytes(kParent)}, {"TRACEPARENT", std::nullopt}}));
  const std::vector<Header> bad_state = {{"traceparent", as_bytes(kParent)}, {"tracestate", as_bytes("a=1,a=2")}};
  ASSERT_TRUE(extract_trace(Headers(bad_state)));
  EXPECT_EQ(extract_trace(Headers(bad_state))->state, "");
}

}  // namespace
}  // namespace sluice
