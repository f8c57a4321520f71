# SPDX-License-Identifier: Apache-2.0
"""Kafka's own command line tools, as users run them by hand: each call is a Java process of its own.

The folder with their jars is in TOOLS_JARS.
"""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import cases
from cases import DEADLINE_S, Failure, check, wait_for

CLASSES = {
    "topics": "org.apache.kafka.tools.TopicCommand",
    "producer": "org.apache.kafka.tools.ConsoleProducer",
    "consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "configs": "kafka.admin.ConfigCommand",
    "offsets": "org.apache.kafka.tools.GetOffsetShell",
}
JARS = Path(os.environ.get("TOOLS_JARS", "."))
# Classes as the first call loaded them: later ones start in half the time. Not used, silently, by another Java.
ARCHIVE = JARS / "classes.jsa"
JAVA = ["java", "-Xmx128M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xlog:disable",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", f"{JARS}/*"]


class Tools:
    def __init__(self, arguments):
        self.bootstrap = arguments.bootstrap
        self.prefix = arguments.prefix

    def command(self, tool, *arguments):
        archive = f"-XX:SharedArchiveFile={ARCHIVE}" if ARCHIVE.exists() else f"-XX:ArchiveClassesAtExit={ARCHIVE}"
        return [JAVA[0], archive, *JAVA[1:], CLASSES[tool], "--bootstrap-server", self.bootstrap, *map(str, arguments)]

    def try_run(self, tool, *arguments, stdin=""):
        """(exit code, what it printed on stdout, then on stderr)"""
        command = self.command(tool, *arguments)
        try:
            result = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise Failure(f"{tool} {arguments}: no end within {DEADLINE_S} s") from None
        return result.returncode, result.stdout + result.stderr

    def run(self, tool, *arguments, stdin=""):
        code, output = self.try_run(tool, *arguments, stdin=stdin)
        check(code == 0, f"{tool} {arguments} ended with {code}: {output[-400:]}")
        return output

    def create(self, name, partitions=3):
        topic = f"{self.prefix}-{name}"
        output = self.run("topics", "--create", "--topic", topic, "--partitions", partitions)
        check(f"Created topic {topic}" in output, f"answered {output}")
        return topic

    def topics(self):
        topic = self.create("topics")
        check(topic in self.run("topics", "--list").split(), "the topic is not listed")
        output = self.run("topics", "--describe", "--topic", topic)
        check("PartitionCount: 3" in output and "ReplicationFactor: 1" in output, f"described as {output}")
        check(len(re.findall(r"Partition: \d\s+Leader: \d+\s+Replicas: \d+\s+Isr: \d+", output)) == 3, f"described as {output}")
        code, output = self.try_run("topics", "--create", "--topic", topic)
        check(code != 0 and "already exists" in output, f"created twice: {code} {output}")
        self.run("topics", "--alter", "--topic", topic, "--partitions", 5)
        check("PartitionCount: 5" in self.run("topics", "--describe", "--topic", topic), "the topic did not grow")
        self.run("topics", "--delete", "--topic", topic)
        wait_for("the topic to be gone", lambda: topic not in self.run("topics", "--list").split())

    def produce_and_consume(self):
        topic = self.create("console", 1)
        lines = ["a:1,b:2\tkey\tvalue", "same:x,same:y\tk2\tNULL", "NULL\tNULL\tno key, no headers"]
        self.run("producer", "--topic", topic, "--reader-property", "parse.key=true", "--reader-property", "parse.headers=true",
                 "--reader-property", "null.marker=NULL", "--compression-codec", "zstd", stdin="\n".join(lines) + "\n")
        output = self.run("consumer", "--topic", topic, "--from-beginning", "--max-messages", 3, "--timeout-ms", 20000,
                          "--formatter-property", "print.key=true", "--formatter-property", "print.headers=true",
                          "--formatter-property", "print.offset=true", "--formatter-property", "null.literal=NULL")
        wanted = ["Offset:0\ta:1,b:2\tkey\tvalue", "Offset:1\tsame:x,same:y\tk2\tNULL",
                  "Offset:2\tNO_HEADERS\tNULL\tno key, no headers"]
        check(output.splitlines()[:3] == wanted, f"consumed {output}")

    def groups(self):
        topic, group = self.create("groups", 2), f"{self.prefix}-group"
        self.run("producer", "--topic", topic, stdin="".join(f"{i}\n" for i in range(20)))
        member = subprocess.Popen(self.command("consumer", "--topic", topic, "--group", group, "--from-beginning"),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        overdue = threading.Timer(DEADLINE_S, member.kill)
        overdue.start()
        try:
            got = [member.stdout.readline().strip() for _ in range(20)]
            check(sorted(got) == sorted(str(i) for i in range(20)), f"consumed {got}")
            overdue.cancel()  # what follows has deadlines of its own
            check(group in self.run("groups", "--list").split(), "the group is not listed")
            output = self.run("groups", "--describe", "--group", group, "--state")
            check(re.search(rf"{group}\s+\S+\s+\(\d+\)\s+range\s+Stable\s+1", output), f"described as {output}")
            output = self.run("groups", "--describe", "--group", group, "--members", "--verbose")
            check(f"{topic}:0,1" in output or f"{topic}(0,1)" in output, f"members described as {output}")
        finally:
            overdue.cancel()
            member.terminate()  # it commits and leaves
            member.communicate()
        output = self.run("groups", "--describe", "--group", group)
        lags = re.findall(rf"{group}\s+{topic}\s+\d\s+(?:\S+\s+)?(\d+)\s+(\d+)\s+(\d+)", output)
        check(len(lags) == 2 and all(lag == "0" for _, _, lag in lags) and sum(int(end) for _, end, _ in lags) == 20,
              f"offsets described as {output}")
        self.run("groups", "--group", group, "--topic", topic, "--reset-offsets", "--to-earliest", "--execute")
        output = self.run("consumer", "--topic", topic, "--group", group, "--max-messages", 20, "--timeout-ms", 20000)
        check(sorted(output.splitlines()[:20]) == sorted(got), f"after the reset it consumed {output}")
        output = self.run("groups", "--delete", "--group", group)
        check("was successful" in output, f"delete answered {output}")
        check(group not in self.run("groups", "--list").split(), "the deleted group is listed")

    def configs(self):
        topic = f"{self.prefix}-configs"
        self.run("topics", "--create", "--topic", topic, "--config", "retention.ms=123456789")
        output = self.run("configs", "--describe", "--entity-type", "topics", "--entity-name", topic)
        check("retention.ms=123456789" in output, f"described as {output}")
        output = self.run("configs", "--describe", "--entity-type", "topics", "--entity-name", topic, "--all")
        check("cleanup.policy=delete" in output and "max.message.bytes=" in output, f"described as {output[:800]}")
        entity = ("--entity-type", "topics", "--entity-name", topic)
        output = self.run("configs", "--alter", *entity, "--add-config", "retention.ms=987654321,segment.bytes=1048576")
        check("Completed updating config" in output, f"altered with {output}")
        wait_for("the changed settings", lambda: all(setting in self.run("configs", "--describe", *entity)
                                                     for setting in ("retention.ms=987654321", "segment.bytes=1048576")))
        self.run("configs", "--alter", *entity, "--delete-config", "segment.bytes")
        wait_for("the default", lambda: "segment.bytes=1048576" not in self.run("configs", "--describe", *entity))
        code, output = self.try_run("configs", "--alter", *entity, "--add-config", "retention.ms=soon")
        check(code != 0 and "InvalidConfigurationException" in output, f"a wrong value: {code} {output[-400:]}")
        node = re.search(r"Leader: (\d+)", self.run("topics", "--describe", "--topic", topic)).group(1)
        output = self.run("configs", "--describe", "--entity-type", "brokers", "--entity-name", node, "--all")
        check("num.partitions=" in output, f"the broker's are described as {output[:800]}")

    def offsets(self):
        topic = self.create("offsets", 1)
        self.run("producer", "--topic", topic, stdin="a\nb\nc\n")
        for at, wanted in (("earliest", 0), ("latest", 3)):
            output = self.run("offsets", "--topic", topic, "--time", at).strip()
            found = re.search(rf"^{topic}:0:(\d+)$", output, re.M)
            check(found and int(found.group(1)) == wanted, f"--time {at} answered {output}")


def main():
    arguments = cases.Arguments()
    tools = Tools(arguments)
    return cases.run([("topics", tools.topics), ("produce-and-consume", tools.produce_and_consume), ("groups", tools.groups),
                      ("configs", tools.configs), ("offsets", tools.offsets)], arguments.only)


if __name__ == "__main__":
    sys.exit(main())
