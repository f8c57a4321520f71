// SPDX-License-Identifier: Apache-2.0

// The interop cases for Sarama, with the protocol version it assumes by default.
package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"sluice.test/interop"
)

const callTimeout = 30 * time.Second

type client struct {
	bootstrap []string
	plain     sarama.Client
	admin     sarama.ClusterAdmin
}

func configuration() *sarama.Config {
	config := sarama.NewConfig()
	config.Net.ReadTimeout = callTimeout + 30*time.Second
	config.Metadata.RefreshFrequency = time.Second
	config.Consumer.Return.Errors = true
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	return config
}

func connect(bootstrap string) (interop.Client, error) {
	c := &client{bootstrap: []string{bootstrap}}
	var err error
	if c.plain, err = sarama.NewClient(c.bootstrap, configuration()); err != nil {
		return nil, err
	}
	c.admin, err = sarama.NewClusterAdmin(c.bootstrap, configuration())
	return c, err
}

func (c *client) Close() {
	c.admin.Close()
	c.plain.Close()
}

func (c *client) CreateTopic(topic string, partitions int) error {
	return c.admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: 1}, false)
}

func (c *client) Topics() (map[string]int, error) {
	listed, err := c.admin.ListTopics()
	topics := map[string]int{}
	for name, detail := range listed {
		topics[name] = int(detail.NumPartitions)
	}
	return topics, err
}

func (c *client) DeleteTopic(topic string) error { return c.admin.DeleteTopic(topic) }

func (c *client) GrowTopic(topic string, partitions int) error {
	return c.admin.CreatePartitions(topic, int32(partitions), nil, false)
}

var codecs = map[string]sarama.CompressionCodec{
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

func encoder(data []byte) sarama.Encoder {
	if data == nil {
		return nil
	}
	return sarama.ByteEncoder(data)
}

func (c *client) Produce(topic string, records []interop.Record, codec string, idempotent bool) ([]int64, error) {
	config := configuration()
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Compression = codecs[codec]
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Producer.Flush.Frequency = 20 * time.Millisecond
	if idempotent {
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1 // Sarama's own condition
	}
	producer, err := sarama.NewSyncProducer(c.bootstrap, config)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	var messages []*sarama.ProducerMessage
	for _, record := range records {
		message := &sarama.ProducerMessage{Topic: topic, Partition: record.Partition, Key: encoder(record.Key), Value: encoder(record.Value), Timestamp: record.Time()}
		for _, header := range record.Headers {
			message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Name), Value: header.Value})
		}
		messages = append(messages, message)
	}
	if err := producer.SendMessages(messages); err != nil {
		return nil, err
	}
	var offsets []int64
	for _, message := range messages {
		offsets = append(offsets, message.Offset)
	}
	return offsets, nil
}

func toRecord(message *sarama.ConsumerMessage) interop.Record {
	record := interop.Record{Partition: message.Partition, Offset: message.Offset, Timestamp: message.Timestamp.UnixMilli(), Key: message.Key, Value: message.Value}
	for _, header := range message.Headers {
		record.Headers = append(record.Headers, interop.Header{Name: string(header.Key), Value: header.Value})
	}
	return record
}

// receive takes what the channels give until `wait` is over, or at once when something is there and no more follows.
func receive(messages <-chan *sarama.ConsumerMessage, errors <-chan error, wait time.Duration) ([]*sarama.ConsumerMessage, error) {
	var got []*sarama.ConsumerMessage
	end := time.After(wait)
	for {
		var more <-chan time.Time
		if len(got) > 0 {
			more = time.After(time.Millisecond)
		}
		select {
		case message := <-messages:
			got = append(got, message)
		case err := <-errors:
			return nil, err
		case <-more:
			return got, nil
		case <-end:
			return got, nil
		}
	}
}

type reader struct {
	consumer   sarama.Consumer
	partitions []sarama.PartitionConsumer
	messages   chan *sarama.ConsumerMessage
	errors     chan error
	quit       chan struct{}
}

func (c *client) Reader(topic string, partitions int, start int64, maxWait time.Duration) (interop.Reader, error) {
	config := configuration()
	config.Consumer.MaxWaitTime = maxWait
	consumer, err := sarama.NewConsumer(c.bootstrap, config)
	if err != nil {
		return nil, err
	}
	r := &reader{consumer: consumer, messages: make(chan *sarama.ConsumerMessage), errors: make(chan error), quit: make(chan struct{})}
	for p := range int32(partitions) {
		// Sarama's names for the two starts have the protocol's own values.
		partition, err := consumer.ConsumePartition(topic, p, start)
		if err != nil {
			return nil, err
		}
		r.partitions = append(r.partitions, partition)
		go r.forward(partition)
	}
	return r, nil
}

func (r *reader) forward(partition sarama.PartitionConsumer) {
	for {
		select {
		case message := <-partition.Messages():
			select {
			case r.messages <- message:
			case <-r.quit:
				return
			}
		case err := <-partition.Errors():
			select {
			case r.errors <- err:
			case <-r.quit:
				return
			}
		case <-r.quit:
			return
		}
	}
}

func (r *reader) Poll(wait time.Duration) ([]interop.Record, error) {
	got, err := receive(r.messages, r.errors, wait)
	var records []interop.Record
	for _, message := range got {
		records = append(records, toRecord(message))
	}
	return records, err
}

func (r *reader) Close() {
	close(r.quit)
	for _, partition := range r.partitions {
		partition.AsyncClose() // a Close would wait for the fetch that is left waiting
	}
	r.consumer.Close()
}

// member consumes in a group; Sarama calls it for every generation and every partition in it.
type member struct {
	group    sarama.ConsumerGroup
	messages chan *sarama.ConsumerMessage
	errors   chan error
	cancel   context.CancelFunc
	done     chan struct{}

	mutex     sync.Mutex
	session   sarama.ConsumerGroupSession
	delivered []*sarama.ConsumerMessage
	owned     []int32
}

func (c *client) Member(group, topic string) (interop.Member, error) {
	config := configuration()
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Session.Timeout = 10 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	joined, err := sarama.NewConsumerGroup(c.bootstrap, group, config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{group: joined, messages: make(chan *sarama.ConsumerMessage), errors: make(chan error, 1), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			if err := joined.Consume(ctx, []string{topic}, m); err != nil {
				m.errors <- err
				return
			}
		}
	}()
	go func() {
		for err := range joined.Errors() {
			fmt.Println("group:", err) // a commit refused in a rebalance, for one
		}
	}()
	return m, nil
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.session, m.owned, m.delivered = session, nil, nil
	for _, partitions := range session.Claims() {
		m.owned = append(m.owned, partitions...)
	}
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.session, m.owned, m.delivered = nil, nil, nil
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			select {
			case m.messages <- message:
			case <-session.Context().Done():
				return nil
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *member) Poll(wait time.Duration) ([]interop.Record, error) {
	got, err := receive(m.messages, m.errors, wait)
	m.mutex.Lock()
	defer m.mutex.Unlock()
	var records []interop.Record
	for _, message := range got {
		records = append(records, toRecord(message))
		m.delivered = append(m.delivered, message)
	}
	return records, err
}

func (m *member) Assignment() []int32 {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return append([]int32(nil), m.owned...)
}

func (m *member) Commit() error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.session == nil {
		return fmt.Errorf("no session to commit in")
	}
	for _, message := range m.delivered {
		m.session.MarkMessage(message, "")
	}
	m.delivered = nil
	m.session.Commit()
	return nil
}

func (m *member) Close() {
	m.cancel()
	<-m.done
	m.group.Close()
}

func (c *client) Committed(group, topic string) (map[int32]int64, error) {
	answer, err := c.admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1, 2}})
	if err != nil {
		return nil, err
	}
	committed := map[int32]int64{}
	for partition, block := range answer.Blocks[topic] {
		if block.Err != sarama.ErrNoError {
			return nil, block.Err
		}
		if block.Offset >= 0 {
			committed[partition] = block.Offset
		}
	}
	return committed, nil
}

func (c *client) OffsetAt(topic string, partition int32, at int64) (int64, error) {
	return c.plain.GetOffset(topic, partition, at)
}

func (c *client) Groups() ([]string, error) {
	listed, err := c.admin.ListConsumerGroups()
	var groups []string
	for group := range listed {
		groups = append(groups, group)
	}
	return groups, err
}

func (c *client) DescribeGroup(group string) (string, int, error) {
	described, err := c.admin.DescribeConsumerGroups([]string{group})
	if err != nil {
		return "", 0, err
	}
	if described[0].Err != sarama.ErrNoError {
		return "", 0, described[0].Err
	}
	return described[0].State, len(described[0].Members), nil
}

func (c *client) DeleteGroup(group string) error { return c.admin.DeleteConsumerGroup(group) }

func (c *client) DeleteRecords(topic string, partition int32, before int64) error {
	return c.admin.DeleteRecords(topic, map[int32]int64{partition: before})
}

func main() { interop.Main(connect) }
