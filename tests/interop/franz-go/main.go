// SPDX-License-Identifier: Apache-2.0

// The interop cases for franz-go.
package main

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"sluice.test/interop"
)

const callTimeout = 30 * time.Second

// Its default of seconds is also how long a topic just made or deleted stays unnoticed.
var metadataMinAge = kgo.MetadataMinAge(50 * time.Millisecond)

type client struct {
	bootstrap string
	plain     *kgo.Client
	admin     *kadm.Client
}

func connect(bootstrap string) (interop.Client, error) {
	plain, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), metadataMinAge)
	if err != nil {
		return nil, err
	}
	return &client{bootstrap, plain, kadm.NewClient(plain)}, nil
}

func deadline() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), callTimeout)
}

func (c *client) Close() { c.plain.Close() }

func (c *client) CreateTopic(topic string, partitions int) error {
	ctx, cancel := deadline()
	defer cancel()
	answer, err := c.admin.CreateTopic(ctx, int32(partitions), 1, nil, topic)
	if err != nil {
		return err
	}
	return answer.Err
}

func (c *client) Topics() (map[string]int, error) {
	ctx, cancel := deadline()
	defer cancel()
	listed, err := c.admin.ListTopics(ctx)
	topics := map[string]int{}
	for name, topic := range listed {
		if topic.Err == nil {
			topics[name] = len(topic.Partitions)
		}
	}
	return topics, err
}

func (c *client) DeleteTopic(topic string) error {
	ctx, cancel := deadline()
	defer cancel()
	answer, err := c.admin.DeleteTopic(ctx, topic)
	if err != nil {
		return err
	}
	return answer.Err
}

func (c *client) GrowTopic(topic string, partitions int) error {
	ctx, cancel := deadline()
	defer cancel()
	answer, err := c.admin.UpdatePartitions(ctx, partitions, topic)
	if err != nil {
		return err
	}
	return answer.Error()
}

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func (c *client) Produce(topic string, records []interop.Record, codec string, idempotent bool) ([]int64, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(c.bootstrap),
		metadataMinAge,
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codecs[codec]),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(20 * time.Millisecond),
	}
	if !idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	producer, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	ctx, cancel := deadline()
	defer cancel()
	var sent []*kgo.Record
	for _, record := range records {
		one := &kgo.Record{Topic: topic, Partition: record.Partition, Key: record.Key, Value: record.Value, Timestamp: record.Time()}
		for _, header := range record.Headers {
			one.Headers = append(one.Headers, kgo.RecordHeader{Key: header.Name, Value: header.Value})
		}
		sent = append(sent, one)
	}
	if err := producer.ProduceSync(ctx, sent...).FirstErr(); err != nil {
		return nil, err
	}
	var offsets []int64
	for _, one := range sent {
		offsets = append(offsets, one.Offset)
	}
	return offsets, nil
}

// reader serves both interfaces: assignment and commits are there for group members.
type reader struct {
	client *kgo.Client
	owned  chan map[int32]bool // holds the one current set
}

func (c *client) open(options ...kgo.Opt) (*reader, error) {
	r := &reader{owned: make(chan map[int32]bool, 1)}
	r.owned <- map[int32]bool{}
	change := func(value bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, changed map[string][]int32) {
			owned := <-r.owned
			for _, partitions := range changed {
				for _, partition := range partitions {
					if value {
						owned[partition] = true
					} else {
						delete(owned, partition)
					}
				}
			}
			r.owned <- owned
		}
	}
	options = append(options, kgo.SeedBrokers(c.bootstrap), metadataMinAge, kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	member, err := kgo.NewClient(append(options,
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false)))...)
	r.client = member
	return r, err
}

func (c *client) Reader(topic string, partitions int, start int64, maxWait time.Duration) (interop.Reader, error) {
	offset := kgo.NewOffset().AtStart()
	if start == interop.Latest {
		offset = kgo.NewOffset().AtEnd()
	}
	assigned := map[int32]kgo.Offset{}
	for p := range int32(partitions) {
		assigned[p] = offset
	}
	plain, err := kgo.NewClient(kgo.SeedBrokers(c.bootstrap), metadataMinAge, kgo.FetchMaxWait(maxWait),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: assigned}))
	return &reader{client: plain}, err
}

func (c *client) Member(group, topic string) (interop.Member, error) {
	return c.open(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(500*time.Millisecond))
}

func (r *reader) Poll(wait time.Duration) ([]interop.Record, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	fetches := r.client.PollFetches(ctx)
	for _, failed := range fetches.Errors() {
		if ctx.Err() == nil || failed.Err != ctx.Err() {
			return nil, failed.Err
		}
	}
	var records []interop.Record
	fetches.EachRecord(func(one *kgo.Record) {
		record := interop.Record{Partition: one.Partition, Offset: one.Offset, Timestamp: one.Timestamp.UnixMilli(), Key: one.Key, Value: one.Value}
		for _, header := range one.Headers {
			record.Headers = append(record.Headers, interop.Header{Name: header.Key, Value: header.Value})
		}
		records = append(records, record)
	})
	return records, nil
}

func (r *reader) Assignment() []int32 {
	owned := <-r.owned
	defer func() { r.owned <- owned }()
	var partitions []int32
	for partition := range owned {
		partitions = append(partitions, partition)
	}
	return partitions
}

func (r *reader) Commit() error {
	ctx, cancel := deadline()
	defer cancel()
	return r.client.CommitUncommittedOffsets(ctx)
}

func (r *reader) Close() { r.client.Close() }

func (c *client) Committed(group, topic string) (map[int32]int64, error) {
	ctx, cancel := deadline()
	defer cancel()
	answer, err := c.admin.FetchOffsets(ctx, group)
	if err == nil {
		err = answer.Error()
	}
	committed := map[int32]int64{}
	answer.Each(func(offset kadm.OffsetResponse) {
		if offset.Topic == topic && offset.At >= 0 {
			committed[offset.Partition] = offset.At
		}
	})
	return committed, err
}

func (c *client) OffsetAt(topic string, partition int32, at int64) (int64, error) {
	ctx, cancel := deadline()
	defer cancel()
	var listed kadm.ListedOffsets
	var err error
	switch at {
	case interop.Earliest:
		listed, err = c.admin.ListStartOffsets(ctx, topic)
	case interop.Latest:
		listed, err = c.admin.ListEndOffsets(ctx, topic)
	default:
		listed, err = c.admin.ListOffsetsAfterMilli(ctx, at, topic)
	}
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return 0, err
	}
	found, _ := listed.Lookup(topic, partition)
	return found.Offset, nil
}

func (c *client) Groups() ([]string, error) {
	ctx, cancel := deadline()
	defer cancel()
	listed, err := c.admin.ListGroups(ctx)
	return listed.Groups(), err
}

func (c *client) DescribeGroup(group string) (string, int, error) {
	ctx, cancel := deadline()
	defer cancel()
	described, err := c.admin.DescribeGroups(ctx, group)
	if err == nil {
		err = described.Error()
	}
	return described[group].State, len(described[group].Members), err
}

func (c *client) DeleteGroup(group string) error {
	ctx, cancel := deadline()
	defer cancel()
	answer, err := c.admin.DeleteGroup(ctx, group)
	if err != nil {
		return err
	}
	return answer.Err
}

func (c *client) DeleteRecords(topic string, partition int32, before int64) error {
	ctx, cancel := deadline()
	defer cancel()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, Partition: partition, At: before})
	answer, err := c.admin.DeleteRecords(ctx, offsets)
	if err != nil {
		return err
	}
	return answer.Error()
}

func main() { interop.Main(connect) }
