// SPDX-License-Identifier: Apache-2.0
//
// The interop cases for librdkafka's C API. Started and reporting as ../common/cases.py describes. Each case runs in a
// process of its own, ended by its parent when it takes too long; a failing case sends its reason through a pipe and
// ends.
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

enum {
  kCaseDeadlineS = 60,
  kConditionDeadlineMs = 40000,
  kLongPollWaitMs = 15000,
  kLongPollLimitMs = 5000,
  kReasonBytes = 1024,
  kNameBytes = 128,
  kMaxNumbers = 512,
};

static const char* corpus_path_;
static const char* prefix_;
static int reason_fd_ = STDERR_FILENO;

_Noreturn void fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vdprintf(reason_fd_, format, arguments);
  va_end(arguments);
  _exit(1);
}

static const char* name_of(const char* what) {
  static char name[kNameBytes];
  snprintf(name, sizeof name, "%s-%s", prefix_, what);
  return name;
}

static void topics(const char* argument) {
  const char* topic = name_of(argument);
  admin_create_topic(topic, kPartitions);
  CHECK(admin_try_create_topic(topic, kPartitions) == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS,
        "a topic could be created twice");
}

static void round_trip(const char* topic, const char* codec, bool idempotent) {
  admin_create_topic(topic, kPartitions);
  const struct corpus corpus = corpus_read(corpus_path_);
  rd_kafka_t* producer = producer_new(codec, idempotent);
  for (int32_t i = 0; i < corpus.count; ++i) produce(producer, topic, i % kPartitions, &corpus.records[i]);
  produce_finish(producer, corpus.count);

  rd_kafka_t* reader = reader_new(topic, kPartitions, RD_KAFKA_OFFSET_BEGINNING, 500);
  int64_t next[kPartitions] = {0};
  const int64_t deadline = now_ms() + kConditionDeadlineMs;
  for (int32_t got = 0; got < corpus.count;) {
    CHECK(now_ms() < deadline, "consumed %d of %d records", got, corpus.count);
    rd_kafka_message_t* message = poll(reader, 200);
    if (message == NULL) continue;
    CHECK(message->offset == next[message->partition], "offset %ld follows %ld", (long)message->offset,
          (long)next[message->partition] - 1);
    const int64_t index = next[message->partition]++ * kPartitions + message->partition;
    CHECK(record_equals(&corpus.records[index], message), "partition %d offset %ld came back changed",
          message->partition, (long)message->offset);
    rd_kafka_message_destroy(message);
    ++got;
  }
  consumer_close(reader);
}

static void codec(const char* argument) {
  // The case is called codec-NAME.
  round_trip(name_of(argument), argument + strlen("codec-"), false);
}

static void idempotent(const char* argument) {
  round_trip(name_of(argument), "none", true);
}

// What the members of a group have seen so far: how often each number.
struct seen {
  int times[kMaxNumbers];
  int distinct;
};

static void poll_and_note(rd_kafka_t* consumer, struct seen* seen) {
  rd_kafka_message_t* message = poll(consumer, 50);
  if (message == NULL) return;
  char text[32] = "";
  memcpy(text, message->payload, message->len < sizeof text - 1 ? message->len : sizeof text - 1);
  const int number = atoi(text);
  CHECK(number >= 0 && number < kMaxNumbers, "consumed %s", text);
  seen->distinct += seen->times[number]++ == 0;
  // A rebalance may have taken the partition; whoever has it now reads on from the last commit.
  rd_kafka_commit_message(consumer, message, 0);
  rd_kafka_message_destroy(message);
}

static void rebalance(const char* argument) {
  const char* name = name_of(argument);
  const unsigned all = (1U << kPartitions) - 1;
  admin_create_topic(name, kPartitions);
  produce_numbers(name, kPartitions, 0, 30);
  struct seen seen = {0};
  rd_kafka_t* first = member_new(name, name);
  int64_t deadline = now_ms() + kConditionDeadlineMs;
  while (assignment(first) != all || seen.distinct < 30) {
    CHECK(now_ms() < deadline, "one member: assignment %x, %d of 30 records", assignment(first), seen.distinct);
    poll_and_note(first, &seen);
  }
  rd_kafka_t* second = member_new(name, name);
  deadline = now_ms() + kConditionDeadlineMs;
  for (unsigned a = 0, b = 0; a == 0 || b == 0 || (a | b) != all || (a & b) != 0;
       a = assignment(first), b = assignment(second)) {
    CHECK(now_ms() < deadline, "two members: assignments %x and %x", a, b);
    poll_and_note(first, &seen);
    poll_and_note(second, &seen);
  }
  produce_numbers(name, kPartitions, 30, 30);
  deadline = now_ms() + kConditionDeadlineMs;
  while (seen.distinct < 60) {
    CHECK(now_ms() < deadline, "two members consumed %d of 60 records", seen.distinct);
    poll_and_note(first, &seen);
    poll_and_note(second, &seen);
  }
  consumer_close(first);
  produce_numbers(name, kPartitions, 60, 30);
  deadline = now_ms() + kConditionDeadlineMs;
  while (assignment(second) != all || seen.distinct < 90) {
    CHECK(now_ms() < deadline, "the member that stayed: assignment %x, %d of 90 records", assignment(second),
          seen.distinct);
    poll_and_note(second, &seen);
  }
  consumer_close(second);
}

static void consume_exactly(rd_kafka_t* member, struct seen* seen, int distinct) {
  const int64_t deadline = now_ms() + kConditionDeadlineMs;
  while (seen->distinct < distinct) {
    CHECK(now_ms() < deadline, "consumed %d of %d records", seen->distinct, distinct);
    poll_and_note(member, seen);
  }
}

static void resume(const char* argument) {
  const char* name = name_of(argument);
  admin_create_topic(name, kPartitions);
  produce_numbers(name, kPartitions, 0, 90);
  struct seen seen = {0};
  rd_kafka_t* member = member_new(name, name);
  consume_exactly(member, &seen, 40);
  consumer_close(member);
  int64_t committed = 0;
  for (int32_t p = 0; p < kPartitions; ++p) {
    const int64_t offset = committed_offset(name, name, p);
    committed += offset < 0 ? 0 : offset;
  }
  CHECK(committed == 40, "commits add up to %ld after 40 records", (long)committed);
  member = member_new(name, name);
  consume_exactly(member, &seen, 90);
  consumer_close(member);
  for (int i = 0; i < 90; ++i) CHECK(seen.times[i] == 1, "record %d was consumed %d times", i, seen.times[i]);
  for (int32_t p = 0; p < kPartitions; ++p)
    CHECK(committed_offset(name, name, p) == 30, "the last commit is not answered");
}

static void offsets(const char* argument) {
  const char* topic = name_of(argument);
  admin_create_topic(topic, 1);
  int64_t low, high;
  watermarks(topic, 0, &low, &high);
  CHECK(low == 0 && high == 0, "an empty topic spans %ld to %ld", (long)low, (long)high);
  const int64_t base = (int64_t)time(NULL) * 1000 - 60000;
  for (int i = 0; i < 10; ++i) {
    // One batch per record, so that a search has something to find.
    const struct record record = {.timestamp_ms = base + 1000 * i, .key = {NULL, -1}, .value = {"v", 1}};
    rd_kafka_t* producer = producer_new("none", false);
    produce(producer, topic, 0, &record);
    produce_finish(producer, 1);
  }
  watermarks(topic, 0, &low, &high);
  CHECK(low == 0 && high == 10, "ten records span %ld to %ld", (long)low, (long)high);
  const struct {
    int64_t after, wanted;
  } queries[] = {{-5000, 0}, {0, 0}, {1, 1}, {4500, 5}, {9000, 9}, {9001, RD_KAFKA_OFFSET_END}};
  for (size_t i = 0; i < sizeof queries / sizeof queries[0]; ++i) {
    const int64_t found = offset_at(topic, 0, base + queries[i].after);
    CHECK(found == queries[i].wanted, "by timestamp +%ld ms: %ld", (long)queries[i].after, (long)found);
  }
}

static void wait_for_state(const char* group, const char* wanted, int wanted_members) {
  char state[64] = "";
  int members = -1;
  const int64_t deadline = now_ms() + kConditionDeadlineMs;
  while (!group_described(group, state, sizeof state, &members) || strcmp(state, wanted) != 0 ||
         members != wanted_members)
    CHECK(now_ms() < deadline, "the group is %s with %d members, not %s with %d", state, members, wanted,
          wanted_members);
}

static void groups(const char* argument) {
  const char* name = name_of(argument);
  admin_create_topic(name, kPartitions);
  produce_numbers(name, kPartitions, 0, 3);
  struct seen seen = {0};
  rd_kafka_t* member = member_new(name, name);
  consume_exactly(member, &seen, 3);
  wait_for_state(name, "Stable", 1);
  CHECK(admin_delete_group(name) == RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP, "a group with a member could be deleted");
  consumer_close(member);
  wait_for_state(name, "Empty", 0);
  CHECK(!admin_delete_group(name), "the empty group could not be deleted");
  char state[64];
  int members;
  const int64_t deadline = now_ms() + kConditionDeadlineMs;
  while (group_described(name, state, sizeof state, &members))
    CHECK(now_ms() < deadline, "the deleted group is still listed");
  CHECK(committed_offset(name, name, 0) == RD_KAFKA_OFFSET_INVALID, "a deleted group has offsets");
  CHECK(admin_delete_group(name) == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND, "a group could be deleted twice");
}

static void delete_records(const char* argument) {
  const char* topic = name_of(argument);
  admin_create_topic(topic, 1);
  produce_numbers(topic, 1, 0, 10);
  admin_delete_records(topic, 0, 4);
  int64_t low, high;
  watermarks(topic, 0, &low, &high);
  CHECK(low == 4 && high == 10, "the records left span %ld to %ld", (long)low, (long)high);
  rd_kafka_t* reader = reader_new(topic, 1, RD_KAFKA_OFFSET_BEGINNING, 500);
  const int64_t deadline = now_ms() + kConditionDeadlineMs;
  for (int64_t next = 4; next < 10;) {
    CHECK(now_ms() < deadline, "offset %ld was not consumed", (long)next);
    rd_kafka_message_t* message = poll(reader, 200);
    if (message == NULL) continue;
    CHECK(message->offset == next, "offset %ld instead of %ld", (long)message->offset, (long)next);
    rd_kafka_message_destroy(message);
    ++next;
  }
  consumer_close(reader);
}

static void grow(const char* argument) {
  const char* topic = name_of(argument);
  admin_create_topic(topic, kPartitions);
  const rd_kafka_resp_err_t error = admin_grow_topic(topic, 5);
  CHECK(!error, "CreatePartitions: %s", rd_kafka_err2str(error));
  const int64_t deadline = now_ms() + kConditionDeadlineMs;
  while (topic_partitions(topic) != 5) CHECK(now_ms() < deadline, "the new partitions do not appear");
  produce_numbers(topic, 5, 0, 5);
  int64_t low, high;
  watermarks(topic, 4, &low, &high);
  CHECK(high == 1, "the new partition ends at %ld", (long)high);
  CHECK(admin_grow_topic(topic, 2) == RD_KAFKA_RESP_ERR_INVALID_PARTITIONS, "a topic could be made smaller");
}

static void long_poll(const char* argument) {
  const char* topic = name_of(argument);
  admin_create_topic(topic, 1);
  produce_numbers(topic, 1, 0, 1);
  rd_kafka_t* reader = reader_new(topic, 1, RD_KAFKA_OFFSET_BEGINNING, kLongPollWaitMs);
  rd_kafka_message_t* message = NULL;
  int64_t deadline = now_ms() + kConditionDeadlineMs;
  while ((message = poll(reader, 200)) == NULL) CHECK(now_ms() < deadline, "the first record did not arrive");
  rd_kafka_message_destroy(message);
  // Having read what is there, the reader leaves a fetch waiting at the broker.
  CHECK(poll(reader, 300) == NULL, "a record arrived twice");
  produce_numbers(topic, 1, 1, 1);
  const int64_t produced = now_ms();
  while ((message = poll(reader, 200)) == NULL)
    CHECK(now_ms() < produced + kLongPollLimitMs, "a waiting fetch did not get its record in %d ms", kLongPollLimitMs);
  rd_kafka_message_destroy(message);
  consumer_close(reader);
}

static void delete_topic(const char* argument) {
  const char* topic = name_of(argument);
  admin_create_topic(topic, kPartitions);
  produce_numbers(topic, kPartitions, 0, 3);
  admin_delete_topic(topic);
  const int64_t deadline = now_ms() + kConditionDeadlineMs;
  while (topic_partitions(topic) != -1) CHECK(now_ms() < deadline, "the deleted topic is still there");
  admin_create_topic(topic, 1);
  int64_t low, high;
  watermarks(topic, 0, &low, &high);
  CHECK(low == 0 && high == 0, "a topic created again spans %ld to %ld", (long)low, (long)high);
}

static const struct {
  const char* name;
  void (*function)(const char* name);
} cases_[] = {
    {"topics", topics},
    {"codec-none", codec},
    {"codec-gzip", codec},
    {"codec-snappy", codec},
    {"codec-lz4", codec},
    {"codec-zstd", codec},
    {"idempotent", idempotent},
    {"rebalance", rebalance},
    {"resume", resume},
    {"offsets", offsets},
    {"groups", groups},
    {"delete-records", delete_records},
    {"grow", grow},
    {"long-poll", long_poll},
    {"delete-topic", delete_topic},
};

// Runs one case in a child; true when it passed. The child is killed by its alarm when it hangs.
static bool run(size_t index) {
  int pipe_fds[2];
  if (pipe(pipe_fds) != 0) return false;
  const int64_t started = now_ms();
  const pid_t child = fork();
  if (child == 0) {
    close(pipe_fds[0]);
    reason_fd_ = pipe_fds[1];
    alarm(kCaseDeadlineS);
    cases_[index].function(cases_[index].name);
    _exit(0);
  }
  close(pipe_fds[1]);
  char reason[kReasonBytes] = "";
  size_t size = 0;
  for (ssize_t got; size < sizeof reason - 1 && (got = read(pipe_fds[0], reason + size, sizeof reason - 1 - size)) > 0;)
    size += (size_t)got;
  close(pipe_fds[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) {
    const bool late = WTERMSIG(status) == SIGALRM;
    snprintf(reason, sizeof reason, late ? "not done within %d s" : "ended by signal %d",
             late ? kCaseDeadlineS : WTERMSIG(status));
  }
  const bool passed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  printf("CASE %s %s %ld %s\n", cases_[index].name, passed ? "PASS" : "FAIL", (long)(now_ms() - started), reason);
  fflush(stdout);
  return passed;
}

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: %s BOOTSTRAP CORPUS PREFIX [CASE...]\n", argv[0]);
    return 2;
  }
  client_init(argv[1]);
  corpus_path_ = argv[2];
  prefix_ = argv[3];
  bool passed = true;
  for (size_t i = 0; i < sizeof cases_ / sizeof cases_[0]; ++i) {
    bool wanted = argc == 4;
    for (int a = 4; a < argc; ++a) wanted |= strcmp(argv[a], cases_[i].name) == 0;
    if (wanted) passed &= run(i);
  }
  return passed ? 0 : 1;
}
