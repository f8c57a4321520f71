// SPDX-License-Identifier: Apache-2.0
#include "redis/sentinel.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "redis/classify.hpp"
#include "redis/keys.hpp"

namespace sluice::redis {

Task<Result<std::vector<Address>>> SentinelFinder::find(int64_t deadline_ns) {
  Status why(StatusCode::unavailable, "no sentinel");
  const std::vector<Address> sentinels = sentinels_;
  const int64_t share_ns = (deadline_ns - now_ns()) / static_cast<int64_t>(sentinels.size());
  for (const Address& sentinel : sentinels) {
    Talk talk(common_);
    talks_.push_back(&talk);
    const Result<Address> master = co_await ask(talk, sentinel, std::min(deadline_ns, now_ns() + share_ns));
    std::erase(talks_, &talk);
    if (master) {
      const auto answered = std::find(sentinels_.begin(), sentinels_.end(), sentinel);
      if (answered != sentinels_.end()) std::rotate(sentinels_.begin(), answered, answered + 1);
      co_return std::vector<Address>{*master};
    }
    // What an operator must mend goes before a sentinel that is down.
    if (status_class(why.code()) == 300) why = master.error().in("sentinel");
  }
  co_return fail(why);
}

Task<Result<Address>> SentinelFinder::ask(Talk& talk, Address sentinel, int64_t deadline_ns) {
  const Settings& settings = common_.settings;
  Status status = co_await talk.dialer.dial(talk.connection, sentinel, deadline_ns);
  if (status.ok()) {
    status = co_await log_in(talk.connection, settings.sentinel_username, settings.sentinel_password, deadline_ns);
  }
  if (!status.ok()) co_return fail(status);
  const Command question{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", settings.master};
  const Answer answer = co_await talk.connection.call(question, deadline_ns);
  if (!answer.replied()) co_return fail(answer.why);
  if (answer[0].is_error()) co_return fail(status_of(answer[0].text()));
  const auto port = parse_number(answer[0][1].text());
  if (!port || *port < 1 || *port > 65'535) {
    co_return fail(StatusCode::invalid, fmt::format("{} knows no master \"{}\"", sentinel.text(), settings.master));
  }
  Address master;
  master.host = answer[0][0].text();
  master.port = static_cast<uint16_t>(*port);
  co_return master;
}

void SentinelFinder::give_up() {
  for (Talk* talk : talks_) {
    talk->dialer.give_up();
    talk->connection.cut(Status(StatusCode::unavailable, "the storage is being stopped"));
  }
}

}  // namespace sluice::redis
