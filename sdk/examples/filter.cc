// SPDX-License-Identifier: Apache-2.0
// Filters: one is made from a text, tried on records, and shown as JSON data; another has a fault, which is pointed at.
#include "sluice/filter.hpp"

#include <iostream>
#include <string_view>
#include <vector>

namespace {

sluice::Record order(std::string_view key, std::string_view json, const std::vector<sluice::Header>& headers) {
  sluice::Record record;
  record.key = sluice::as_bytes(key);
  record.value = sluice::as_bytes(json);
  record.headers = sluice::Headers(headers);
  return record;
}

}  // namespace

int main() {
  const auto filter = sluice::Filter::parse(
      "headers[\"tenant\"] in (\"acme\", \"globex\") and"
      " (value.order.items[0].price >= 100 or value.order.coupon is missing) and not (key starts with \"test-\")");
  if (!filter) {
    std::cerr << filter.error().text() << "\n";
    return 1;
  }

  const std::vector<sluice::Header> acme = {{"tenant", sluice::as_bytes("acme")}};
  const std::vector<sluice::Header> initech = {{"tenant", sluice::as_bytes("initech")}};
  const std::vector<sluice::Record> records = {
      order("o-1", R"({"order": {"items": [{"price": 250}], "coupon": "MAY"}})", acme),  // dear
      order("o-2", R"({"order": {"items": [{"price": 20}]}})", acme),                    // no coupon
      order("o-3", R"({"order": {"items": [{"price": 20}], "coupon": "MAY"}})", acme),   // cheap, and with one
      order("o-4", R"({"order": {"items": [{"price": 250}]}})", initech),                // another tenant: not read
      order("test-5", R"({"order": {"items": [{"price": 250}]}})", acme),                // a test: not read
      order("o-6", "not JSON at all", acme),                                             // unknown: does not pass
  };
  sluice::FilterEvaluator evaluator(*filter);
  for (const sluice::Record& record : records) {
    std::cout << sluice::as_text(*record.key) << (evaluator.passes(record) ? ": passes\n" : ": does not pass\n");
  }
  const sluice::FilterCounts& counts = evaluator.counts();
  std::cout << counts.passed << " of " << counts.evaluated << " passed; " << counts.payloads_read
            << " values were read, of which no JSON: " << counts.payloads_unreadable << "\n\n";

  // As data, for a configuration or a request; it comes back as the same filter.
  std::cout << filter->json() << "\n\n";
  const auto again = sluice::Filter::from_json(filter->json());
  if (!again || again->text() != filter->text()) return 1;

  const auto faulty = sluice::Filter::parse("key exists and value.order.total > oops");
  if (faulty) return 1;
  std::cout << faulty.error().text() << "\n";
  return counts.passed == 2 && counts.payloads_read == 4 && counts.payloads_unreadable == 1 ? 0 : 1;
}
