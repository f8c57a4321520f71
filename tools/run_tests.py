# SPDX-License-Identifier: Apache-2.0
"""Runs the parts of the test suite one after the other and adds up what they say. See tools/test."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
JOBS = str(os.cpu_count() or 2)
LOGS = ROOT / "build" / "test-logs"
FUZZ_SECONDS = 10
FUZZ_SEED = 1  # a run that fails can be repeated
CRASH_CYCLES = 20
SOAK_SECONDS = 25
LONG_FUZZ_SECONDS = 120
LONG_CRASH_CYCLES = 1000
NEWER_NATS = "v2.15.2"
# A command that hangs is a failure with a name, not a run without an end.
COMMAND_DEADLINE_S = 40 * 60
LONG_COMMAND_DEADLINE_S = 24 * 3600  # where long parts are wanted
FAILED_TEST_LINES = 200  # of what it printed
FAREWELL_S = 20  # between SIGTERM and SIGKILL: for stopping what was started
ENGINES = ("redis", "jetstream")  # of kind LOG, with servers of their own
NATIVE = ("redis-record", "jetstream-record", "kafka")  # of kind NATIVE, likewise
SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")


class Result:
    def __init__(self, passed=0, failed=0, skipped=0, notes=None):
        self.passed, self.failed, self.skipped, self.notes = passed, failed, skipped, notes or []

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.notes += other.notes


def say(text):
    print(text, flush=True)


class Running:
    """A command under way, in a process group of its own, so that all of it can be stopped."""

    deadline_s = COMMAND_DEADLINE_S
    end = float("inf")  # of the whole run, by time.monotonic()
    present = set()

    def __init__(self, command, env, **more):
        self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                                        start_new_session=True, **more)
        self.expired = False
        self.seconds = min(self.deadline_s, self.end - time.monotonic())
        self._timer = threading.Timer(max(self.seconds, 0), self._expire)
        self._timer.daemon = True
        self._timer.start()
        Running.present.add(self)

    def _expire(self):
        self.expired = True
        self.stop()

    def _signal(self, number):
        try:
            os.killpg(self.process.pid, number)
            return True
        except ProcessLookupError:
            return False

    def stop(self):
        """SIGTERM, and SIGKILL to what of the group is left after FAREWELL_S."""
        until = time.monotonic() + FAREWELL_S
        self._signal(signal.SIGTERM)
        while self._signal(0) and time.monotonic() < until:
            time.sleep(0.1)
        self._signal(signal.SIGKILL)

    def wait(self):
        code = self.process.wait()
        self._timer.cancel()
        Running.present.discard(self)
        return code


def stop_all(number, _frame):
    """What this run started goes with it, which its own process groups keep a terminal from seeing to."""
    for running in list(Running.present):
        running.stop()
    sys.exit(128 + number)


def run(command, log, env=None, show=False):
    """Runs a command with its output in a file, and on the screen too where `show`. Gives the exit code."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with open(LOGS / log, "w", encoding="utf-8") as out:
        running = Running(command, env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        for line in running.process.stdout:
            out.write(line)
            if show:
                sys.stdout.write(line)
                sys.stdout.flush()
        code = running.wait()
        if running.expired:
            said = f"tools/test: not done within {running.seconds:.0f} s, stopped: {' '.join(map(str, command))}\n"
            out.write(said)
            say(f"  {said.strip()}")
            return code or 1
        return code


def indented(lines):
    say("\n".join("    | " + line for line in lines))


def tail(log, lines=40):
    indented((LOGS / log).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def build(preset, targets=()):
    began = time.monotonic()
    for command, log in ((["cmake", "--preset", preset], f"configure-{preset}.log"),
                         (["ninja", "-C", f"build/{preset}", "-j", JOBS, *targets], f"build-{preset}.log")):
        if run(command, log) != 0:
            say(f"  build of preset {preset} FAILED: {' '.join(command)}")
            tail(log)
            return Result(failed=1, notes=[f"preset {preset} does not build"])
    say(f"  preset {preset} built in {time.monotonic() - began:.0f} s")
    return Result(passed=1)


def ctest(preset, *arguments, env=None):
    report = LOGS / f"ctest-{preset}-{len(os.listdir(LOGS)) if LOGS.exists() else 0}.xml"
    log = report.with_suffix(".log").name
    code = run(["ctest", "--test-dir", f"build/{preset}", "--output-on-failure", "--no-tests=error", "-j", JOBS,
                "--output-junit", str(report), *arguments], log, env=env)
    if not report.exists():
        tail(log)
        return Result(failed=1, notes=[f"ctest of {preset} did not run"])
    suite = ElementTree.parse(report).getroot()
    result = Result()
    for case in suite.iter("testcase"):
        status = case.get("status")
        seconds = float(case.get("time") or 0)
        if status == "run":
            result.passed += 1
        elif status in ("notrun", "disabled"):
            result.skipped += 1
            result.notes.append(f"{case.get('name')} ({preset}) did not run")
        else:
            result.failed += 1
            result.notes.append(f"{case.get('name')} ({preset}) failed")
        say(f"  {'PASS' if status == 'run' else 'FAIL' if status == 'fail' else 'SKIP'} {case.get('name')} {seconds:.1f} s")
        if status == "fail":
            indented((case.findtext("system-out") or "").splitlines()[-FAILED_TEST_LINES:])
    if code != 0:
        if result.failed == 0:
            tail(log, 120)
            result.add(Result(failed=1, notes=[f"ctest of {preset} ended with {code}"]))
    return result


def program(command, log, env=None):
    """A program of ours that closes with the summary line."""
    code = run(command, log, env=env, show=True)
    result = None
    for line in (LOGS / log).read_text(encoding="utf-8", errors="replace").splitlines():
        if found := SUMMARY.match(line.strip()):
            result = Result(*map(int, found.groups()))
    if result is None:
        return Result(failed=1, notes=[f"{' '.join(command)} ended with {code} and without a summary"])
    if code != 0 and result.failed == 0:
        result.failed = 1
    if result.failed:
        result.notes.append(f"{command[0]}: {result.failed} failed")
    if result.skipped:
        lines = (LOGS / log).read_text(encoding="utf-8", errors="replace").splitlines()
        result.notes += [line.strip() for line in lines if line.lstrip().startswith("SKIP")]
    return result


# What kills, stops and cuts real servers, and the kit on their adapters: with --all, until it is green every time also on a
# machine that is busy. Each engine has its own.
REDIS_KITS = "conformance_redis_(record_)?cluster"  # the others: green ten times of ten
JETSTREAM_KITS = "conformance_jetstream_(large|memory|cluster|record_cluster)|jetstream_cluster_test"  # the others: green ten times of ten
KAFKA_KITS = ""
SERVER_KITS = "^(" + ("|".join(filter(None, (REDIS_KITS, JETSTREAM_KITS, KAFKA_KITS))) or "none") + ")"


def part_servers():
    result = build("release")
    if not result.failed and SERVER_KITS != "^(none)":
        result.add(ctest("release", "-R", SERVER_KITS))
    return result


def part_newer_nats():
    """The same tests on a server of today, as a Go module: what another program took from PATH, they take from there."""
    programs = ROOT / "build" / "interop-cache" / "nats"
    environment = {"GOBIN": str(programs), "GOFLAGS": "-modcacherw"}
    if not shutil.which("go"):
        return Result(skipped=1, notes=["SKIP newer-nats: needs Go"])
    result = build("release")
    if run(["go", "install", f"github.com/nats-io/nats-server/v2@{NEWER_NATS}"], "newer-nats.log", environment) != 0:
        tail("newer-nats.log")
        return Result(failed=1, notes=[f"nats-server {NEWER_NATS} cannot be had"])
    if not result.failed:
        result.add(ctest("release", "-R", "jetstream", env={"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}))
    return result


def part_apache():
    """The Kafka adapter on Apache Kafka, whose jars Maven fetches."""
    if not shutil.which("mvn"):
        return Result(skipped=1, notes=["SKIP apache: needs Maven"])
    result = build("release")
    if not result.failed:
        result.add(program(["tests/interop/engines", "--upstream", "kafka"], "apache.log"))
        result.add(part_interop("kafka-apache"))
        jars = ROOT / "build" / "interop-cache" / "kafka"
        result.add(ctest("release", "-R", "^(kafka_(broker|secured)|sources_kafka)_test$", env={"KAFKA_JARS": str(jars)}))
    return result


def part_release():
    result = build("release")
    if not result.failed:
        result.add(ctest("release", "-E", SERVER_KITS))
    return result


def part_python():
    """The Python package over the library that the release build made."""
    return program(["python3", "-B", "tests/sdk_python.py"], "python.log")


def part_invariants():
    """Each fault put back; its test must fail."""
    return program(["tests/invariants/run"], "invariants.log")


def part_smoke():
    return program(["tests/interop/smoke"], "smoke.log")


def part_bad_input():
    return program(["python3", "-B", "tests/protocol/bad_input.py"], "bad-input.log")


def part_interop(storage="disk", *more):
    return program(["tests/interop/run", "--storage", storage, *more], f"interop-{storage}.log")


def part_interop_engines():
    result = Result()
    for storage in ENGINES:
        result.add(part_interop(storage))
    return result


def part_interop_native():
    result = Result()
    for storage in NATIVE:
        result.add(part_interop(storage, "--jobs", "4"))
    return result


def part_engines():
    return program(["tests/interop/engines"], "engines.log")


def part_crash(cycles=CRASH_CYCLES):
    return program(["python3", "-B", "tests/fault/crash_test.py", "--cycles", str(cycles)], "crash.log")


def part_crash_engines(cycles=CRASH_CYCLES):
    result = Result()
    for storage in ENGINES:
        result.add(program(["python3", "-B", "tests/fault/crash_test.py", "--cycles", str(cycles), "--storage", storage, "--victim", "both"],
                           f"crash-{storage}.log"))
    return result


def part_migration(cycles=CRASH_CYCLES):
    circle = [argument for storage in ("disk", *ENGINES) for argument in ("--storage", storage)]
    return program(["python3", "-B", "tests/fault/migration_test.py", "--cycles", str(cycles), *circle, "--victim", "both"], "migration.log")


def part_long_crash():
    result = part_crash(LONG_CRASH_CYCLES)
    result.add(part_crash_engines(LONG_CRASH_CYCLES))
    result.add(part_migration(LONG_CRASH_CYCLES))
    return result


def part_soak():
    result = build("release", ["soak", "sluiced", "plugins"])
    if not result.failed:
        result.add(program(["build/release/bin/soak", "--seconds", str(SOAK_SECONDS), "--seed", str(FUZZ_SEED)], "soak.log"))
    return result


def part_isolation():
    return program(["python3", "-B", "tests/fault/isolation_test.py"], "isolation.log")


SANITIZER_ENV = {
    "ASAN_OPTIONS": "abort_on_error=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


KAFKA_SDK_TESTS = ["sinks_kafka_test", "sources_kafka_test"]  # on a sluiced


def part_asan(servers=False):
    result = build("asan", [] if servers else ["local_tests", *KAFKA_SDK_TESTS])
    if not result.failed:
        result.add(ctest("asan", "-L", "unit|conformance", "-L" if servers else "-LE", "servers", env=SANITIZER_ENV))
        if not servers:
            result.add(ctest("asan", "-R", "^(" + "|".join(KAFKA_SDK_TESTS) + ")$", env=SANITIZER_ENV))
    return result


TSAN_TESTS = ["base_test", "host_test", "group_test", "memory_test", "disk_test", "net_test", "storage_test", "cluster_test", "partition_test",
              "consumer_test", "sources_test", "bus_test", "sinks_test", "telemetry_test", "checkpoint_test", "dlq_test", "limiter_test", "c_test"]


def part_tsan():
    present = [name for name in TSAN_TESTS if (ROOT / "tests" / "unit" / name.removesuffix("_test")).is_dir()]
    # The broker that they start is not what is watched: it is the release build's.
    result = build("release", ["sluiced", "sluice_plugin_disk"])
    if not result.failed:
        present += KAFKA_SDK_TESTS
        result.add(build("tsan", [*present, "sluice_plugin_memory", "sluice_plugin_disk"]))
    if not result.failed:
        result.add(ctest("tsan", "-R", "^(" + "|".join(present) + ")$", env=SANITIZER_ENV))
    return result


def part_fuzz(seconds=FUZZ_SECONDS):
    result = build("asan", ["fuzzers"])
    if result.failed:
        return result
    fuzzers = sorted((ROOT / "build" / "asan" / "bin").glob("*_fuzz"))
    with ThreadPoolExecutor(int(JOBS)) as pool:
        codes = pool.map(lambda fuzzer: fuzz(fuzzer, seconds), fuzzers)
        for fuzzer, code in zip(fuzzers, codes):
            say(f"  {'PASS' if code == 0 else 'FAIL'} {fuzzer.name} for {seconds} s")
            if code == 0:
                result.passed += 1
            else:
                result.failed += 1
                result.notes.append(f"{fuzzer.name} found something")
                tail(f"{fuzzer.name}.log")
    return result


def fuzz(fuzzer, seconds):
    corpus = ROOT / "build" / "asan" / "corpus" / fuzzer.name
    corpus.mkdir(parents=True, exist_ok=True)
    return run([str(fuzzer), f"-max_total_time={seconds}", f"-seed={FUZZ_SEED}", "-timeout=60", "-rss_limit_mb=2048", str(corpus)], f"{fuzzer.name}.log")


PARTS = {
    "release": (part_release, "the release build, unit, protocol, ABI and conformance tests"),
    "python": (part_python, "the SDK's Python package, installed by pip"),
    "smoke": (part_smoke, "the broker and the command line tool, used as in the README"),
    "bad-input": (part_bad_input, "what malformed and absurd requests get from a live broker"),
    "interop": (part_interop, "real clients against the broker"),
    "interop-engines": (part_interop_engines, f"the same clients, everything on each of {', '.join(ENGINES)}"),
    "interop-native": (part_interop_native, f"the same clients on topics of the engines' own form, on each of {', '.join(NATIVE)}"),
    "engines": (part_engines, "the worked examples of engines whose own programs share a topic with Kafka clients"),
    "crash": (part_crash, f"{CRASH_CYCLES} kills of the broker under load"),
    "crash-engines": (part_crash_engines, f"{CRASH_CYCLES} kills of the broker or of its storage's server, on each of {', '.join(ENGINES)}"),
    "migration": (part_migration, f"a topic goes round disk, {', '.join(ENGINES)}, with {CRASH_CYCLES} kills"),
    "isolation": (part_isolation, "a storage that is stopped, killed, slow or lying costs only its own topics"),
    "soak": (part_soak, f"the event bus for {SOAK_SECONDS} s, while shards, buses and engines come and go; longer: tests/soak"),
    "asan": (part_asan, "unit and conformance tests under AddressSanitizer and UBSan"),
    "tsan": (part_tsan, "unit tests of what has threads under ThreadSanitizer"),
    "fuzz": (part_fuzz, f"every fuzzer for {FUZZ_SECONDS} s"),
    "servers": (part_servers, "real servers of other engines that die, hang and fail over, and the conformance kit on their adapters"),
    "newer-nats": (part_newer_nats, f"the jetstream adapter on nats-server {NEWER_NATS}, where Go is there"),
    "apache": (part_apache, "the kafka adapter on Apache Kafka, where Maven is there"),
    "asan-servers": (lambda: part_asan(servers=True), "the adapters of other engines under AddressSanitizer and UBSan"),
    "invariants": (part_invariants, "each known fault is put back, and its test must fail"),
    "long-fuzz": (lambda: part_fuzz(LONG_FUZZ_SECONDS), f"every fuzzer for {LONG_FUZZ_SECONDS} s"),
    "long-crash": (part_long_crash, f"the crash and migration tests with {LONG_CRASH_CYCLES} kills each"),
}
# With --all only.
LONG_PARTS = ["servers", "newer-nats", "apache", "asan-servers", "invariants", "long-fuzz", "long-crash"]
DEFAULT_PARTS = [name for name in PARTS if name not in LONG_PARTS]


def main():
    wanted = sys.argv[1:]
    if wanted == ["--list"]:
        for name, (_, text) in PARTS.items():
            say(f"{name:12} {text}{'' if name in DEFAULT_PARTS else ' (with --all)'}")
        return 0
    if wanted[:1] == ["--within"]:
        if len(wanted) < 2 or not wanted[1].isdecimal():
            say("tools/test: --within MINUTES")
            return 2
        Running.end = time.monotonic() + 60 * int(wanted[1])
        del wanted[:2]
    everything = wanted == ["--all"]
    wanted = list(PARTS) if everything else wanted or DEFAULT_PARTS
    if unknown := [name for name in wanted if name not in PARTS]:
        say(f"tools/test: no part {unknown[0]}; see tools/test --list")
        return 2
    if set(wanted) & set(LONG_PARTS):
        Running.deadline_s = LONG_COMMAND_DEADLINE_S
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop_all)
    shutil.rmtree(LOGS, ignore_errors=True)
    total = Result()
    table = []
    for name, (part, text) in PARTS.items():
        if name not in wanted:
            continue
        say(f"=== {name}: {text}")
        began = time.monotonic()
        result = part()
        table.append((name, result, time.monotonic() - began))
        total.add(result)
    say("\n=== what ran")
    for name, result, seconds in table:
        say(f"  {name:12} {result.passed} passed, {result.failed} failed, {result.skipped} skipped, in {seconds:.0f} s")
    for note in total.notes:
        say(f"  {note}")
    if left_out := [name for name in PARTS if name not in wanted]:
        say(f"  not asked for: {', '.join(left_out)} (tools/test --all)")
    say("  optional: suites of clients whose tools (Go, Node, Maven) are not on this machine; those that did not run are named above")
    say(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
