// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

const (
	deadline      = 40 * time.Second // for any one condition a case waits for
	partitions    = 3
	longPollWait  = 15 * time.Second // what the consumer allows the broker to wait
	longPollLimit = 5 * time.Second  // what a record produced meanwhile may take to arrive
)

// Earliest and Latest are the special timestamps of Client.OffsetAt and the starts of Client.Reader.
const (
	Latest   int64 = -1
	Earliest int64 = -2
)

// Reader is a consumer.
type Reader interface {
	// Poll returns what arrived, waiting at most this long; nothing is no error.
	Poll(wait time.Duration) ([]Record, error)
	Close()
}

// Member is a consumer in a group. Offsets are committed by Commit alone, those of all that Poll returned.
type Member interface {
	Reader
	Assignment() []int32
	Commit() error
}

// Client is what a suite implements with its library's own means. Calls return once the broker has answered.
type Client interface {
	CreateTopic(topic string, partitions int) error
	Topics() (map[string]int, error)
	DeleteTopic(topic string) error
	GrowTopic(topic string, partitions int) error
	// Produce waits for all acknowledgements (acks=all) and returns the offsets in the order given.
	Produce(topic string, records []Record, codec string, idempotent bool) ([]int64, error)
	Reader(topic string, partitions int, start int64, maxWait time.Duration) (Reader, error)
	Member(group, topic string) (Member, error)
	// Committed leaves out partitions without a committed offset.
	Committed(group, topic string) (map[int32]int64, error)
	// OffsetAt answers for a timestamp in ms, Earliest or Latest; past the end -1, or the end where a library says so.
	OffsetAt(topic string, partition int32, at int64) (int64, error)
	Groups() ([]string, error)
	// DescribeGroup returns the state, as Kafka spells it, and the number of members.
	DescribeGroup(group string) (string, int, error)
	DeleteGroup(group string) error
	DeleteRecords(topic string, partition int32, before int64) error
	Close()
}

type failure string

// Fail ends the case as failed.
func Fail(format string, arguments ...any) { panic(failure(fmt.Sprintf(format, arguments...))) }

func must(err error) {
	if err != nil {
		Fail("%v", err)
	}
}

func value[T any](result T, err error) T {
	must(err)
	return result
}

func check(condition bool, format string, arguments ...any) {
	if !condition {
		Fail(format, arguments...)
	}
}

func waitFor(description string, condition func() bool) {
	for end := time.Now().Add(deadline); !condition(); time.Sleep(20 * time.Millisecond) {
		check(time.Now().Before(end), "%s: not within %v", description, deadline)
	}
}

type scenarios struct {
	client Client
	prefix string
	corpus []Record
}

// Main runs the cases as ../cases.py describes and ends the program.
func Main(connect func(bootstrap string) (Client, error)) {
	if len(os.Args) < 4 {
		fmt.Fprintf(os.Stderr, "usage: %s BOOTSTRAP CORPUS PREFIX [CASE...]\n", os.Args[0])
		os.Exit(2)
	}
	corpus, err := readCorpus(os.Args[2])
	var client Client
	if err == nil {
		client, err = connect(os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	s := scenarios{client, os.Args[3], corpus}
	cases := []struct {
		name string
		run  func()
	}{
		{"topics", s.topics},
		{"codec-none", func() { s.roundTrip("codec-none", "none", false) }},
		{"codec-gzip", func() { s.roundTrip("codec-gzip", "gzip", false) }},
		{"codec-snappy", func() { s.roundTrip("codec-snappy", "snappy", false) }},
		{"codec-lz4", func() { s.roundTrip("codec-lz4", "lz4", false) }},
		{"codec-zstd", func() { s.roundTrip("codec-zstd", "zstd", false) }},
		{"idempotent", func() { s.roundTrip("idempotent", "none", true) }},
		{"rebalance", s.rebalance},
		{"resume", s.resume},
		{"offsets", s.offsets},
		{"groups", s.groups},
		{"delete-records", s.deleteRecords},
		{"grow", s.grow},
		{"long-poll", s.longPoll},
		{"delete-topic", s.deleteTopic},
	}
	failed := false
	for _, one := range cases {
		if len(os.Args) > 4 && !slices.Contains(os.Args[4:], one.name) {
			continue
		}
		started := time.Now()
		verdict, reason := "PASS", run(one.run)
		if reason != "" {
			verdict, failed = "FAIL", true
		}
		fmt.Println("CASE", one.name, verdict, time.Since(started).Milliseconds(), strings.Join(strings.Fields(reason), " "))
	}
	client.Close()
	if failed {
		os.Exit(1)
	}
}

func run(body func()) (reason string) {
	defer func() {
		switch caught := recover().(type) {
		case nil:
		case failure:
			reason = string(caught)
		default:
			reason = fmt.Sprint("panic: ", caught)
			debug.PrintStack()
		}
	}()
	body()
	return ""
}

func (s *scenarios) topic(name string, count int) string {
	topic := s.prefix + "-" + name
	must(s.client.CreateTopic(topic, count))
	// A broker may list a topic before its partitions answer; not every client tries again by itself.
	waitFor(topic+" to be ready", func() bool {
		listed, err := s.client.Topics()
		for p := int32(0); p < int32(count) && err == nil; p++ {
			_, err = s.client.OffsetAt(topic, p, Latest)
		}
		return err == nil && listed[topic] == count
	})
	return topic
}

func (s *scenarios) produceNumbers(topic string, first, count int) {
	var records []Record
	for i := first; i < first+count; i++ {
		records = append(records, Record{Partition: int32(i % partitions), Value: fmt.Append(nil, i)})
	}
	value(s.client.Produce(topic, records, "none", false))
}

func collect(reader Reader, count int) []Record {
	var got []Record
	for end := time.Now().Add(deadline); len(got) < count; {
		check(time.Now().Before(end), "consumed %d of %d records within %v", len(got), count, deadline)
		got = append(got, value(reader.Poll(200*time.Millisecond))...)
	}
	return got
}

func (s *scenarios) topics() {
	topic := s.topic("topics", partitions)
	err := s.client.CreateTopic(topic, partitions)
	check(err != nil && strings.Contains(strings.ToLower(err.Error()), "exist"), "created twice, the error is %v", err)
}

func (s *scenarios) roundTrip(name, codec string, idempotent bool) {
	topic := s.topic(name, partitions)
	records := slices.Clone(s.corpus)
	for i := range records {
		records[i].Partition = int32(i % partitions)
	}
	for i, offset := range value(s.client.Produce(topic, records, codec, idempotent)) {
		check(offset == int64(i/partitions), "record %d was acknowledged at offset %d", i, offset)
	}
	reader := value(s.client.Reader(topic, partitions, Earliest, 500*time.Millisecond))
	defer reader.Close()
	got := collect(reader, len(records))
	check(len(got) == len(records), "consumed %d records, produced %d", len(got), len(records))
	var next [partitions]int64
	for _, record := range got {
		check(record.Offset == next[record.Partition], "partition %d: offset %d instead of %d", record.Partition, record.Offset, next[record.Partition])
		next[record.Partition]++
		wanted := records[int(record.Offset)*partitions+int(record.Partition)]
		check(bytes.Equal(record.encode(), wanted.encode()), "partition %d offset %d came back changed", record.Partition, record.Offset)
	}
}

func (s *scenarios) rebalance() {
	topic, group := s.topic("rebalance", partitions), s.prefix+"-rebalance"
	first := startMember(s.client, group, topic)
	defer first.close()
	ownsAll := func(m *backgroundMember) func() bool {
		return func() bool { owned, _ := m.state(); return len(owned) == partitions }
	}
	waitFor("one member to own every partition", ownsAll(first))
	s.produceNumbers(topic, 0, 30)
	waitFor("one member to consume all", func() bool { _, values := first.state(); return len(values) == 30 })

	second := startMember(s.client, group, topic)
	defer second.close()
	waitFor("two members to share the partitions", func() bool {
		a, _ := first.state()
		b, _ := second.state()
		for partition := range a {
			if b[partition] {
				return false
			}
		}
		return len(a) > 0 && len(b) > 0 && len(a)+len(b) == partitions
	})
	consumed := func(count int) func() bool {
		return func() bool {
			_, values := first.state()
			_, more := second.state()
			for value := range more {
				values[value] = true
			}
			return len(values) == count
		}
	}
	s.produceNumbers(topic, 30, 30)
	waitFor("two members to consume all", consumed(60))
	first.close()
	waitFor("the member that stayed to own every partition", ownsAll(second))
	s.produceNumbers(topic, 60, 30)
	waitFor("the member that stayed to consume all", consumed(90))
}

func (s *scenarios) resume() {
	topic, group := s.topic("resume", partitions), s.prefix+"-resume"
	s.produceNumbers(topic, 0, 90)
	seen := map[string]int{}
	delivered := map[int32]int64{}
	count := 0
	for life := range 2 {
		func() {
			member := value(s.client.Member(group, topic))
			defer member.Close()
			wanted := 20 // the first life may be handed more, but need not be handed all
			if life == 1 {
				s.produceNumbers(topic, 90, 30)
				wanted = 120 - count
			}
			for _, record := range collect(member, wanted) {
				seen[string(record.Value)]++
				delivered[record.Partition] = max(delivered[record.Partition], record.Offset+1)
				count++
			}
			must(member.Commit())
		}()
		committed := value(s.client.Committed(group, topic))
		for partition, offset := range delivered {
			check(committed[partition] == offset, "committed %v, delivered %v", committed, delivered)
		}
	}
	check(len(seen) == 120 && count == 120, "%d of 120 records in %d deliveries: lost, or delivered after their commit", len(seen), count)
}

func (s *scenarios) offsets() {
	topic := s.topic("offsets", 1)
	check(value(s.client.OffsetAt(topic, 0, Latest)) == 0, "latest of an empty topic is not 0")
	base := time.Now().Add(-time.Minute).UnixMilli()
	for i := range 10 {
		// One batch per record, so that a search has something to find.
		value(s.client.Produce(topic, []Record{{Timestamp: base + 1000*int64(i), Value: []byte("v")}}, "none", false))
	}
	check(value(s.client.OffsetAt(topic, 0, Earliest)) == 0, "earliest is not 0")
	check(value(s.client.OffsetAt(topic, 0, Latest)) == 10, "latest is not 10")
	for after, wanted := range map[int64]int64{-5000: 0, 0: 0, 1: 1, 4500: 5, 9000: 9} {
		found := value(s.client.OffsetAt(topic, 0, base+after))
		check(found == wanted, "by timestamp +%d ms: %d instead of %d", after, found, wanted)
	}
	past := value(s.client.OffsetAt(topic, 0, base+9001))
	check(past == -1 || past == 10, "a timestamp past the end gives %d", past)
}

func (s *scenarios) groups() {
	topic, group := s.topic("groups", partitions), s.prefix+"-groups"
	s.produceNumbers(topic, 0, 3)
	func() {
		member := value(s.client.Member(group, topic))
		defer member.Close()
		collect(member, 3)
		must(member.Commit())
		check(slices.Contains(value(s.client.Groups()), group), "the group is not listed")
		state, members, err := s.client.DescribeGroup(group)
		must(err)
		check(state == "Stable" && members == 1, "described as %s with %d members", state, members)
		check(s.client.DeleteGroup(group) != nil, "a group with a member could be deleted")
	}()
	waitFor("the group to be empty", func() bool {
		state, members, err := s.client.DescribeGroup(group)
		must(err)
		return state == "Empty" && members == 0
	})
	must(s.client.DeleteGroup(group))
	waitFor("the group to be gone", func() bool { return !slices.Contains(value(s.client.Groups()), group) })
}

func (s *scenarios) deleteRecords() {
	topic := s.topic("delete-records", 1)
	var records []Record
	for i := range 10 {
		records = append(records, Record{Value: fmt.Append(nil, i)})
	}
	value(s.client.Produce(topic, records, "none", false))
	must(s.client.DeleteRecords(topic, 0, 4))
	check(value(s.client.OffsetAt(topic, 0, Earliest)) == 4, "earliest is not where records were deleted to")
	check(value(s.client.OffsetAt(topic, 0, Latest)) == 10, "latest moved")
	reader := value(s.client.Reader(topic, 1, Earliest, 500*time.Millisecond))
	defer reader.Close()
	for i, record := range collect(reader, 6) {
		check(record.Offset == int64(i+4), "offset %d instead of %d", record.Offset, i+4)
	}
}

func (s *scenarios) grow() {
	topic := s.topic("grow", partitions)
	must(s.client.GrowTopic(topic, 5))
	waitFor("five partitions", func() bool { return value(s.client.Topics())[topic] == 5 })
	offsets := value(s.client.Produce(topic, []Record{{Partition: 4, Value: []byte("v")}}, "none", false))
	check(offsets[0] == 0, "the new partition begins at %d", offsets[0])
	check(s.client.GrowTopic(topic, 2) != nil, "a topic could be made smaller")
}

func (s *scenarios) longPoll() {
	topic := s.topic("long-poll", 1)
	one := func(text string) []Record { return []Record{{Value: []byte(text)}} }
	value(s.client.Produce(topic, one("first"), "none", false))
	reader := value(s.client.Reader(topic, 1, Earliest, longPollWait))
	defer reader.Close()
	collect(reader, 1)
	// Having read what is there, the reader leaves a fetch waiting at the broker.
	check(len(value(reader.Poll(300*time.Millisecond))) == 0, "a record arrived twice")
	value(s.client.Produce(topic, one("awaited"), "none", false))
	produced := time.Now()
	check(string(collect(reader, 1)[0].Value) == "awaited", "something else arrived")
	elapsed := time.Since(produced)
	check(elapsed < longPollLimit, "a waiting fetch got its record after %v", elapsed)
}

func (s *scenarios) deleteTopic() {
	topic := s.topic("delete-topic", partitions)
	s.produceNumbers(topic, 0, 3)
	must(s.client.DeleteTopic(topic))
	waitFor("the topic to be gone", func() bool { _, found := value(s.client.Topics())[topic]; return !found })
	s.topic("delete-topic", 1)
	check(value(s.client.OffsetAt(topic, 0, Latest)) == 0, "a topic created again is not empty")
}
