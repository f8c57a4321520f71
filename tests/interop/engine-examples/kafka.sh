# SPDX-License-Identifier: Apache-2.0
#
# kafka.sh: the worked examples of plugins/kafka/README.md, for tests/interop/engines, which has what is used here. The other cluster is
# a second sluiced, or Apache Kafka, of which more is asked: what only it has, and that both clusters show one topic byte for byte alike.

jars=${KAFKA_JARS:-$root/build/interop-cache/kafka}
upstream=

start_upstream() { # start_upstream sluice|kafka
  local port
  port=$(free_port)
  upstream_address=127.0.0.1:$port
  if [ "$1" = kafka ]; then
    KAFKA_JARS=$jars KAFKA_REBALANCE_DELAY_MS=0 KAFKA_PROPERTIES='log.cleaner.backoff.ms=100' \
      "$root/tests/interop/kafka/start" "$port" "$(free_port)" "$work/upstream" > "$work/upstream.log" 2>&1 &
  else
    echo '{"storages": {"disk": {"library": "disk"}}, "default": "disk"}' > "$work/upstream.json"
    "$bin/sluiced" --data-dir "$work/upstream" --plugins "$work/upstream.json" --listen "$upstream_address" > "$work/upstream.log" 2>&1 &
  fi
  upstream=$!
  within 90 kcat -b "$upstream_address" -L -m 2 || { tail "$work/upstream.log"; return 1; }
}
there() { timeout 60 kcat -b "$upstream_address" "$@"; }        # a program of the other cluster's
here() { timeout 60 kcat -b "$SLUICE_BOOTSTRAP" "$@"; }          # ... and one of ours
java_there() { java -Xmx128M -XX:TieredStopAtLevel=1 -cp "$jars/*" "$root/tests/interop/engine-examples/Upstream.java" "$upstream_address" "$@" 2>&1; }

show() { # show THERE|HERE TOPIC PARTITION: every record with offset, timestamp, lengths (-1: null), key, value, headers
  "$1" -C -t "$2" -p "$3" -o beginning -e -q -u -X isolation.level=read_committed -f '%p %o %T %K %S|%k|%s|%h\n' | sort -s -k 1,2n
}
alike() { # alike TOPIC PARTITION RECORDS: both clusters show the same, so many records
  show there "$1" "$2" > "$work/there" && show here "$1" "$2" > "$work/here" || return 1
  [ "$(wc -l < "$work/there")" -eq "$3" ] || { echo "the cluster has $(wc -l < "$work/there") records"; return 1; }
  diff "$work/there" "$work/here"
}
is_woken() { # a consumer that waits is woken by somebody who writes to the other cluster
  timeout 30 kcat -b "$SLUICE_BOOTSTRAP" -C -t orders -o end -c 1 -u -q -f '%s\n' > "$work/woken" &
  local reader=$!
  local end=$((SECONDS + 20))
  # One that is not yet waiting sees none of those before it: another comes until one is seen.
  while kill -0 $reader 2> /dev/null && [ $SECONDS -lt $end ]; do
    printf 'awake\n' | there -P -t orders
    sleep 0.2
  done
  wait $reader && [ "$(cat "$work/woken")" = awake ]
}
there_create() { # there_create TOPIC SETTING: by any admin client
  SLUICE_BOOTSTRAP=$upstream_address sluice topic create "$1" --config "$2"
}
write_there() { # write_there LINE KCAT_OPTION...
  printf '%s\n' "$1" | there -P -K: "${@:2}"
}
write_here() { printf '%s\n' "$1" | here -P -K: "${@:2}"; }
grown() { [ "$(here -L -t "$1" | grep -c 'partition [0-9]')" -eq "$2" ]; }
compacted() { # compacted TOPIC RECORDS: the cleaner has been there
  [ "$(there -C -t "$1" -o beginning -e -q -f '%o\n' | wc -l)" -le "$2" ]
}
write_segments() { # keys that come again and again, in several segments, and a tombstone
  for i in 1 2 3 4 5 6; do
    printf 'a:%s\nb:%s\n' "$i" "$i" | there -P -t compacted -K: || return 1
    sleep 0.6
  done
  printf 'b:\n' | there -P -t compacted -K: -Z && sleep 0.6 && printf 'c:last\n' | there -P -t compacted -K:
}

kafka_examples() { # kafka_examples sluice|kafka
  local name="kafka (upstream $1)"
  need "$name: the other cluster starts" start_upstream "$1"
  check "$name: somebody writes there before there is a broker" eventually write_there k1:hello -t orders -H source=shop
  cat > "$work/kafka.json" << JSON
{"storages": {"disk": {"library": "disk"},
              "upstream": {"library": "kafka", "options": {"bootstrap": "$upstream_address"}}},
 "routes": [{"topics": "events.*", "storage": "upstream"}], "default": "disk"}
JSON
  need "$name: the broker starts" start_broker "$work/kafka.json"
  check "$name: the topic is discovered" has orders sluice storage discover
  check "$name: it is adopted" sluice topic adopt upstream orders
  check "$name: a consumer group reads what was written there" is 'k1|hello|source=shop' kafka_read billing orders
  check "$name: its producers go on" write_there k2:again -t orders -H a=1 -H b=2 -H a=3
  check "$name: and the group where it was" is 'k2|again|a=1,b=2,a=3' kafka_read billing orders
  check "$name: a producer there wakes a consumer that waits here" is_woken
  check "$name: a producer here" eventually write_here k3:from-here -t events.clicks -H from=sluice -z snappy -X enable.idempotence=true
  check "$name: is read there" is 'k3|from-here|from=sluice' there -C -t events.clicks -o beginning -e -q -f '%k|%s|%h\n'
  check "$name: a topic there that is safer than the cluster's default" there_create kept min.insync.replicas=2
  check "$name: it is adopted too" eventually sluice topic adopt upstream kept
  check "$name: and promises what it keeps" is native,durable,no_rollback,shared promises kept
  check "$name: the others no more than they do" is native,durable,shared promises orders
  check "$name: nulls and tombstones, both ways" nulls
  check "$name: both show the same records" alike events.clicks 0 4
  [ "$1" = kafka ] && apache_examples "$name"
  check "$name: deleted topics" sluice topic delete orders events.clicks
  check "$name: what was adopted is there" has hello there -C -t orders -o beginning -e -q
  check "$name: what Sluice made is gone" eventually lacks events.clicks there -L
  check "$name: no breach of the storage contract" bash -c "! grep -i breach '$work/log'"
  stop "$broker"
  stop "$upstream"
  broker= upstream=
  rm -rf "$work/data" "$work/upstream"
}
nulls() {
  write_here k4: -t events.clicks -Z && write_there :v5 -t events.clicks -Z && write_there k6: -t events.clicks -Z -H empty=
}

# What only Apache Kafka has.
apache_examples() { # apache_examples NAME
  check "$1: topics with settings there" topics_there
  for topic in appended transacted compacted; do check "$1: $topic is adopted" sluice topic adopt upstream $topic; done
  check "$1: a topic whose times are the cluster's" write_here k1:v1 -t appended
  check "$1: ... and written there" write_there k2:v2 -t appended
  check "$1: times of both are the cluster's" alike appended 0 2
  check "$1: transactions, every other one aborted" java_there transactions transacted 40
  check "$1: what was committed is read, and no reader stands still" alike transacted 0 60
  check "$1: a key that comes again and again" write_segments
  check "$1: the cleaner has been there" within 60 compacted compacted 5
  check "$1: offsets with gaps are kept" has_gaps
  check "$1: an idempotent producer here" eventually write_here k3:v3 -t transacted -X enable.idempotence=true
  check "$1: its record is there once" alike transacted 0 61
  check "$1: a topic grows there" java_there grow orders 3
  check "$1: its new partitions appear here" within 60 grown orders 3
  check "$1: ... are written" write_there k9:third -t orders -p 2
  check "$1: ... and read" eventually alike orders 2 1
}
topics_there() {
  java_there create appended message.timestamp.type=LogAppendTime && java_there create transacted &&
    java_there create compacted cleanup.policy=compact segment.ms=500 min.cleanable.dirty.ratio=0.01 delete.retention.ms=3600000
}
has_gaps() {
  show there compacted 0 > "$work/there" && show here compacted 0 > "$work/here" && diff "$work/there" "$work/here" &&
    awk '{ if (NR > 1 && $2 != last + 1) gaps++; last = $2 } END { exit gaps == 0 }' "$work/here"
}
