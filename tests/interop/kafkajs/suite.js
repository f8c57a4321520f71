// SPDX-License-Identifier: Apache-2.0
//
// The interop cases for kafkajs. Started and reporting as ../common/cases.py describes. kafkajs has Fetch up to v11 and
// consumes in groups only; codecs other than gzip are plugged in.
'use strict';

const { Kafka, CompressionCodecs, CompressionTypes, ConfigResourceTypes, logLevel } = require('kafkajs');
const lz4 = require('lz4-napi');
const SnappyCodec = require('kafkajs-snappy');
const { ZstdCodec } = require('zstd-codec');
const corpus = require('./corpus');

const DEADLINE_MS = 40000;
const PARTITIONS = 3;
const LONG_POLL_WAIT_MS = 15000;
const LONG_POLL_LIMIT_MS = 5000;

class Failure extends Error {}

function check(condition, message) {
  if (!condition) throw new Failure(message);
}

const pause = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

async function waitFor(description, condition) {
  const end = Date.now() + DEADLINE_MS;
  while (!(await condition())) {
    check(Date.now() < end, `${description}: not within ${DEADLINE_MS} ms`);
    await pause(20);
  }
}

async function fails(description, promise) {
  try {
    await promise;
  } catch (error) {
    return;
  }
  throw new Failure(description);
}

function registerCodecs() {
  const codec = (compress, decompress) => () => ({
    compress: async encoder => Buffer.from(await compress(encoder.buffer)),
    decompress: async buffer => Buffer.from(await decompress(buffer)),
  });
  CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;
  CompressionCodecs[CompressionTypes.LZ4] = codec(lz4.compressFrame, lz4.decompressFrame);
  return new Promise(resolve => ZstdCodec.run(library => {
    const zstd = new library.Simple();
    CompressionCodecs[CompressionTypes.ZSTD] = codec(buffer => zstd.compress(buffer), buffer => zstd.decompress(buffer));
    resolve();
  }));
}

// A group member that keeps what it got; commit() commits exactly that.
class Member {
  constructor(kafka, groupId, settings = {}) {
    this.consumer = kafka.consumer({ groupId, sessionTimeout: 10000, heartbeatInterval: 500,
      metadataMaxAge: 1000, maxWaitTimeInMs: 200, ...settings });
    this.records = [];
    this.partitions = [];
    this.limit = Infinity; // records beyond it are left for another life
    this.next = new Map();
    this.error = null;
    this.consumer.on(this.consumer.events.GROUP_JOIN, event => {
      this.partitions = Object.values(event.payload.memberAssignment).flat();
    });
    this.consumer.on(this.consumer.events.REBALANCING, () => { this.partitions = []; });
    this.consumer.on(this.consumer.events.CRASH, event => { if (!event.payload.restart) this.error = event.payload.error; });
  }

  async start(topic) {
    this.topic = topic;
    await this.consumer.connect();
    await this.consumer.subscribe({ topic, fromBeginning: true });
    await this.consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch, resolveOffset }) => {
        for (const message of batch.messages) {
          if (this.records.length >= this.limit) return;
          this.records.push({ partition: batch.partition, offset: Number(message.offset), message });
          this.next.set(batch.partition, String(Number(message.offset) + 1));
          resolveOffset(message.offset);
        }
      },
    });
    return this;
  }

  values() {
    check(!this.error, `member: ${this.error}`);
    return this.records.map(record => record.message.value.toString());
  }

  async commit() {
    await this.consumer.commitOffsets([...this.next].map(([partition, offset]) => ({ topic: this.topic, partition, offset })));
  }

  async close() {
    await this.consumer.disconnect();
  }
}

class Suite {
  constructor(bootstrap, corpusPath, prefix) {
    this.kafka = new Kafka({ clientId: 'interop', brokers: [bootstrap], logLevel: logLevel.ERROR, requestTimeout: 30000 });
    this.corpus = corpus.read(corpusPath);
    this.prefix = prefix;
    this.admin = this.kafka.admin();
  }

  async topic(name, numPartitions = PARTITIONS) {
    const topic = `${this.prefix}-${name}`;
    check(await this.admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: false }), `${topic} existed`);
    // A broker may list a topic before its partitions answer, and the producer does not try again then.
    await waitFor(`${topic} to be ready`, async () => {
      try {
        return (await this.admin.fetchTopicOffsets(topic)).length === numPartitions;
      } catch (error) {
        return false;
      }
    });
    return topic;
  }

  async partitionCount(topic) {
    return (await this.admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length;
  }

  async produce(topic, messages, compression = CompressionTypes.None, idempotent = false) {
    const producer = this.kafka.producer({ idempotent, maxInFlightRequests: 1, allowAutoTopicCreation: false });
    await producer.connect();
    try {
      return await producer.send({ topic, messages, compression, acks: -1 });
    } finally {
      await producer.disconnect();
    }
  }

  async produceNumbers(topic, first, count, partitions = PARTITIONS) {
    const messages = Array.from({ length: count }, (_, i) => ({ partition: (first + i) % partitions, value: String(first + i) }));
    await this.produce(topic, messages);
  }

  async withMember(group, topic, body, settings) {
    const member = new Member(this.kafka, group, settings);
    try {
      await member.start(topic);
      return await body(member);
    } finally {
      await member.close();
    }
  }

  // {partition: offset} at a timestamp, or of the low or high end
  async offsets(topic, at) {
    const found = typeof at === 'number'
      ? await this.admin.fetchTopicOffsetsByTimestamp(topic, at) : await this.admin.fetchTopicOffsets(topic);
    return Object.fromEntries(found.map(one => [one.partition, Number(typeof at === 'number' ? one.offset : one[at])]));
  }

  async topics() {
    const topic = await this.topic('topics');
    check(await this.partitionCount(topic) === PARTITIONS, 'the topic has not three partitions');
    check(await this.admin.createTopics({ topics: [{ topic }] }) === false, 'a topic could be created twice');
  }

  async roundTrip(name, compression, idempotent) {
    const topic = await this.topic(name);
    const messages = this.corpus.map((record, i) => ({ ...record.message, partition: i % PARTITIONS }));
    for (const answer of await this.produce(topic, messages, compression, idempotent)) {
      check(answer.errorCode === 0 && Number(answer.baseOffset) === 0, `acknowledged with ${JSON.stringify(answer)}`);
    }
    await this.withMember(topic, topic, async member => {
      await waitFor('all records', () => member.records.length >= messages.length);
      check(member.records.length === messages.length, `consumed ${member.records.length}, produced ${messages.length}`);
      const next = new Array(PARTITIONS).fill(0);
      for (const { partition, offset, message } of member.records) {
        check(offset === next[partition]++, `partition ${partition}: offset ${offset} is out of turn`);
        const wanted = this.corpus[offset * PARTITIONS + partition];
        check(corpus.encode(message).equals(wanted.encoded), `partition ${partition} offset ${offset} came back changed`);
      }
    });
  }

  async rebalance() {
    const topic = await this.topic('rebalance');
    const first = new Member(this.kafka, topic);
    const second = new Member(this.kafka, topic);
    const distinct = () => new Set([...first.values(), ...second.values()]).size;
    let firstClosed = false;
    try {
      await first.start(topic);
      await waitFor('one member to own every partition', () => first.partitions.length === PARTITIONS);
      await this.produceNumbers(topic, 0, 30);
      await waitFor('one member to consume all', () => distinct() === 30);
      await first.commit();
      await second.start(topic);
      await waitFor('two members to share the partitions', () => first.partitions.length > 0 && second.partitions.length > 0
        && new Set([...first.partitions, ...second.partitions]).size === PARTITIONS
        && first.partitions.length + second.partitions.length === PARTITIONS);
      await this.produceNumbers(topic, 30, 30);
      await waitFor('two members to consume all', () => distinct() === 60);
      await first.close();
      firstClosed = true;
      await waitFor('the member that stayed to own every partition', () => second.partitions.length === PARTITIONS);
      await this.produceNumbers(topic, 60, 30);
      await waitFor('the member that stayed to consume all', () => distinct() === 90);
    } finally {
      if (!firstClosed) await first.close();
      await second.close();
    }
  }

  async resume() {
    const topic = await this.topic('resume');
    await this.produceNumbers(topic, 0, 90);
    const values = [];
    for (const wanted of [40, 50]) {
      const member = new Member(this.kafka, topic);
      member.limit = wanted;
      try {
        await member.start(topic);
        await waitFor(`${wanted} records`, () => member.records.length === wanted);
        await member.commit();
        values.push(...member.values());
      } finally {
        await member.close();
      }
      const [committed] = await this.admin.fetchOffsets({ groupId: topic, topics: [topic] });
      for (const [partition, offset] of member.next) {
        const found = committed.partitions.find(one => one.partition === partition);
        check(found && found.offset === offset, `committed ${JSON.stringify(committed)}, delivered ${offset} of ${partition}`);
      }
    }
    check(new Set(values).size === 90, 'a record was lost, or a committed one came again');
  }

  async offsetsCase() {
    const topic = await this.topic('offsets', 1);
    const base = Date.now() - 60000;
    check((await this.offsets(topic, 'high'))[0] === 0, 'an empty topic does not end at 0');
    for (let i = 0; i < 10; i++) {
      // One batch per record, so that a search has something to find.
      await this.produce(topic, [{ partition: 0, value: 'v', timestamp: String(base + 1000 * i) }]);
    }
    check((await this.offsets(topic, 'low'))[0] === 0, 'earliest is not 0');
    check((await this.offsets(topic, 'high'))[0] === 10, 'latest is not 10');
    for (const [after, wanted] of [[-5000, 0], [0, 0], [1, 1], [4500, 5], [9000, 9], [9001, 10]]) {
      const found = (await this.offsets(topic, base + after))[0];
      check(found === wanted, `by timestamp +${after} ms: ${found} instead of ${wanted}`); // past the end it asks again for the end
    }
  }

  async groups() {
    const topic = await this.topic('groups');
    await this.produceNumbers(topic, 0, 3);
    const listed = async () => (await this.admin.listGroups()).groups.some(group => group.groupId === topic);
    const described = async () => (await this.admin.describeGroups([topic])).groups[0];
    await this.withMember(topic, topic, async member => {
      await waitFor('three records', () => member.records.length === 3);
      await member.commit();
      check(await listed(), 'the group is not listed');
      const group = await described();
      check(group.state === 'Stable' && group.members.length === 1, `described as ${group.state} with ${group.members.length}`);
      await fails('a group with a member could be deleted', this.admin.deleteGroups([topic]));
    });
    await waitFor('the group to be empty', async () => (await described()).state === 'Empty');
    await this.admin.deleteGroups([topic]);
    await waitFor('the group to be gone', async () => !(await listed()));
  }

  async deleteRecords() {
    const topic = await this.topic('delete-records', 1);
    await this.produceNumbers(topic, 0, 10, 1);
    await this.admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }] });
    check((await this.offsets(topic, 'low'))[0] === 4, 'earliest is not where records were deleted to');
    await this.withMember(topic, topic, async member => {
      await waitFor('the records left', () => member.records.length >= 6);
      check(member.values().join() === '4,5,6,7,8,9', `consumed ${member.values()}`);
    });
  }

  async grow() {
    const topic = await this.topic('grow');
    await this.admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] });
    await waitFor('five partitions', async () => await this.partitionCount(topic) === 5);
    const [answer] = await this.produce(topic, [{ partition: 4, value: 'v' }]);
    check(answer.partition === 4 && Number(answer.baseOffset) === 0, `acknowledged with ${JSON.stringify(answer)}`);
    await fails('a topic could be made smaller', this.admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] }));
  }

  async alterConfigs() {
    const topic = await this.topic('alter-configs', 1);
    const resource = { type: ConfigResourceTypes.TOPIC, name: topic };
    const settings = async () => {
      const { resources: [described] } = await this.admin.describeConfigs({ includeSynonyms: false, resources: [resource] });
      return Object.fromEntries(described.configEntries.map(entry => [entry.configName, entry.configValue]));
    };
    const alter = configEntries => this.admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries }] });
    const before = await settings();
    await alter([{ name: 'retention.ms', value: '123456789' }]);
    await waitFor('the changed setting', async () => (await settings())['retention.ms'] === '123456789');
    // What is not named goes back to its default.
    await alter([{ name: 'segment.bytes', value: '1048576' }]);
    await waitFor('the default', async () => (await settings())['retention.ms'] === before['retention.ms']);
    await fails('a wrong value was taken', alter([{ name: 'retention.ms', value: 'soon' }]));
  }

  async longPoll() {
    const topic = await this.topic('long-poll', 1);
    await this.produceNumbers(topic, 0, 1, 1);
    await this.withMember(topic, topic, async member => {
      await waitFor('the first record', () => member.records.length === 1);
      // Having read what is there, the member leaves a fetch waiting at the broker.
      await this.produceNumbers(topic, 1, 1, 1);
      const produced = Date.now();
      await waitFor('the awaited record', () => member.records.length === 2);
      const elapsed = Date.now() - produced;
      check(elapsed < LONG_POLL_LIMIT_MS, `a waiting fetch got its record after ${elapsed} ms`);
      // The member leaves only when its fetch is answered.
      await this.produceNumbers(topic, 2, 1, 1);
    }, { maxWaitTimeInMs: LONG_POLL_WAIT_MS });
  }

  async deleteTopic() {
    const topic = await this.topic('delete-topic');
    await this.produceNumbers(topic, 0, 3);
    await this.admin.deleteTopics({ topics: [topic] });
    await waitFor('the topic to be gone', async () => !(await this.admin.listTopics()).includes(topic));
    await this.topic('delete-topic', 1);
    check((await this.offsets(topic, 'high'))[0] === 0, 'a topic created again is not empty');
  }

  cases() {
    const codecs = { none: 'None', gzip: 'GZIP', snappy: 'Snappy', lz4: 'LZ4', zstd: 'ZSTD' };
    return [
      ['topics', () => this.topics()],
      ...Object.entries(codecs).map(([name, type]) =>
        [`codec-${name}`, () => this.roundTrip(`codec-${name}`, CompressionTypes[type], false)]),
      ['idempotent', () => this.roundTrip('idempotent', CompressionTypes.None, true)],
      ['rebalance', () => this.rebalance()],
      ['resume', () => this.resume()],
      ['offsets', () => this.offsetsCase()],
      ['groups', () => this.groups()],
      ['delete-records', () => this.deleteRecords()],
      ['grow', () => this.grow()],
      ['alter-configs', () => this.alterConfigs()],
      ['long-poll', () => this.longPoll()],
      ['delete-topic', () => this.deleteTopic()],
    ];
  }
}

async function main() {
  const [bootstrap, corpusPath, prefix, ...only] = process.argv.slice(2);
  if (!prefix) {
    console.error('usage: suite.js BOOTSTRAP CORPUS PREFIX [CASE...]');
    return 2;
  }
  await registerCodecs();
  const suite = new Suite(bootstrap, corpusPath, prefix);
  await suite.admin.connect();
  let failed = false;
  for (const [name, run] of suite.cases()) {
    if (only.length > 0 && !only.includes(name)) continue;
    const started = Date.now();
    let verdict = 'PASS';
    let reason = '';
    try {
      await run();
    } catch (error) {
      verdict = 'FAIL';
      failed = true;
      reason = String(error).replace(/\s+/g, ' ');
      if (!(error instanceof Failure)) console.error(error);
    }
    console.log(`CASE ${name} ${verdict} ${Date.now() - started} ${reason}`);
  }
  await suite.admin.disconnect();
  return failed ? 1 : 0;
}

main().then(code => process.exit(code), error => {
  console.error(error);
  process.exit(2);
});
