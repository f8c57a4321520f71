# SPDX-License-Identifier: Apache-2.0
"""Makes a client suite ready to run: virtual environments, jars, Go and C programs, Node packages.

Everything downloaded or built lives in build/interop-cache, keyed by what it was made from, so that a second run only
looks. Each function returns the command and the environment that start the suite.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from harness.broker import CACHE, INTEROP, BrokerError, fetch_jars

COMMON = INTEROP / "common"
STEP_DEADLINE_S = 420  # for one download or build
REASON_CHARACTERS = 300  # of a line that tells why one failed

_maven_lock = threading.Lock()  # one local repository
_go_lock = threading.Lock()  # two builds at once only fight over two cores


class Unavailable(Exception):
    """A suite cannot run here. `tool_missing` tells a tool that this machine lacks from a preparation that failed."""

    def __init__(self, reason, tool_missing=False):
        super().__init__(reason)
        self.tool_missing = tool_missing


class Broken(Exception):
    """A suite of ours does not build, which no machine excuses."""


def need(tool):
    path = shutil.which(tool)
    if not path:
        raise Unavailable(f"{tool} is not installed", tool_missing=True)
    return path


def step(description, command, environment=None, directory=None, error=Unavailable):
    """Runs a command of the preparation and returns what it printed; `error` is raised when it fails or hangs."""
    try:
        result = subprocess.run([str(part) for part in command], env={**os.environ, **(environment or {})}, cwd=directory,
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=STEP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        raise error(f"{description}: not done within {STEP_DEADLINE_S} s") from None
    if result.returncode != 0:
        output = (result.stdout + result.stderr).strip().splitlines()[-6:]
        # What went wrong comes first, what became of it last; between them tools repeat themselves.
        told = output if len(output) < 3 else [output[0], output[-1]]
        raise error(f"{description} failed: " + " ... ".join(line[-REASON_CHARACTERS:] for line in told))
    return result.stdout


def key_of(*contents):
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content if isinstance(content, bytes) else str(content).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:12]


def once(directory, make):
    """Runs make() unless it succeeded for this directory before."""
    stamp = directory / ".complete"
    if stamp.exists():
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    make()
    stamp.touch()
    return directory


def python_environment(requirements):
    """A virtual environment with exactly these requirements; the path of its interpreter."""
    version = "%d.%d" % sys.version_info[:2]
    directory = CACHE / f"venv-{version}-{key_of(requirements.read_bytes(), sys.executable)}"

    def make():
        try:
            step("python3 -m venv", [sys.executable, "-m", "venv", directory])
        except Unavailable as error:
            raise Unavailable(f"{error} (Debian: python3-venv)", tool_missing=True) from None
        step("pip install", [directory / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check",
                             "--cache-dir", CACHE / "pip", "--requirement", requirements])

    once(directory, make)
    return directory / "bin" / "python"


def python_suite(folder, requirements="requirements.txt"):
    python = python_environment(INTEROP / folder / requirements)
    return [python, "-u", INTEROP / folder / "suite.py"], {"PYTHONPATH": str(COMMON), "PYTHONDONTWRITEBYTECODE": "1"}


def kcat_suite():
    need("kcat")
    return [sys.executable, "-u", INTEROP / "kcat" / "suite.py"], {"PYTHONPATH": str(COMMON), "PYTHONDONTWRITEBYTECODE": "1"}


def librdkafka_suite():
    compiler = need("cc")
    need("pkg-config")
    if subprocess.run(["pkg-config", "--exists", "rdkafka"]).returncode != 0:
        raise Unavailable("librdkafka's development files are not installed (Debian: librdkafka-dev)", tool_missing=True)
    flags = step("pkg-config", ["pkg-config", "--cflags", "--libs", "rdkafka"]).split()
    sources = sorted((INTEROP / "librdkafka").glob("*.c"))
    headers = sorted((INTEROP / "librdkafka").glob("*.h"))
    directory = CACHE / f"librdkafka-{key_of(*(s.read_bytes() for s in sources + headers), flags)}"
    program = directory / "suite"
    once(directory, lambda: step("cc", [compiler, "-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror",
                                        "-o", program, *sources, *flags, "-lpthread"], error=Broken))
    return [program], {}


def go_suite(folder):
    need("go")
    sources = INTEROP / folder
    wanted = re.search(r"^go (\d+)\.(\d+)", (sources / "go.mod").read_text(), re.M).groups()
    have = re.search(r"go(\d+)\.(\d+)", step("go version", ["go", "version"])).groups()
    if tuple(map(int, have)) < tuple(map(int, wanted)):
        raise Unavailable(f"needs Go {'.'.join(wanted)}, this machine has {'.'.join(have)}", tool_missing=True)
    program = CACHE / "go" / "bin" / folder
    environment = {"GOMODCACHE": str(CACHE / "go" / "mod"), "GOCACHE": str(CACHE / "go" / "build"),
                   "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false"}
    with _go_lock:
        step("go mod download", ["go", "mod", "download"], environment, sources)
        step("go build", ["go", "build", "-o", program, "."], environment, sources, error=Broken)
    return [program], {}


def jars(pom, name):
    need("java")
    need("javac")
    need("mvn")
    with _maven_lock:
        try:
            fetch_jars(pom, CACHE / name)
        except BrokerError as error:
            raise Unavailable(str(error)) from None
    return CACHE / name


JAVA_FLAGS = ["-Xmx256M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
              "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]


def java_suite(version):
    """The client suite in Java against the kafka-clients that java/clients-VERSION.xml names."""
    folder = INTEROP / "java"
    libraries = jars(folder / f"clients-{version}.xml", f"java-clients-{version}")
    sources = sorted(folder.glob("*.java"))
    classes = CACHE / f"java-classes-{version}-{key_of(*(s.read_bytes() for s in sources))}"
    once(classes, lambda: step("javac", ["javac", "-nowarn", "-d", classes, "-cp", f"{libraries}/*", *sources],
                                error=Broken))
    return ["java", *JAVA_FLAGS, "-cp", f"{classes}:{libraries}/*", "Suite"], {}


def java_tools_suite():
    libraries = jars(INTEROP / "java-tools" / "pom.xml", "java-tools")
    return ([sys.executable, "-u", INTEROP / "java-tools" / "suite.py"],
            {"PYTHONPATH": str(COMMON), "PYTHONDONTWRITEBYTECODE": "1", "TOOLS_JARS": str(libraries)})


def node_suite(folder):
    node = need("node")
    need("npm")
    sources = INTEROP / folder
    manifests = [sources / "package.json", sources / "package-lock.json"]
    directory = CACHE / f"node-{folder}-{key_of(*(m.read_bytes() for m in manifests))}"

    def make():
        for manifest in manifests:
            shutil.copy(manifest, directory)
        step("npm ci", ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", CACHE / "npm"], directory=directory)

    once(directory, make)
    return [node, sources / "suite.js"], {"NODE_PATH": str(directory / "node_modules")}
