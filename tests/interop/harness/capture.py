# SPDX-License-Identifier: Apache-2.0
"""A proxy on loopback that writes down every frame between clients and a broker.

One line per frame, as text that a test can be made of:

    connection direction api-name key version correlation client-id hex

with `>` for requests and `<` for responses, hex being the whole frame without its length. The answers that tell clients
where brokers are get the proxy's port in place of the broker's, so that clients stay with the proxy.
"""

import socket
import struct
import threading

MAX_FRAME_BYTES = 256 * 1024 * 1024
CONNECT_TIMEOUT_S = 10

NAMES = {
    0: "Produce", 1: "Fetch", 2: "ListOffsets", 3: "Metadata", 8: "OffsetCommit", 9: "OffsetFetch", 10: "FindCoordinator",
    11: "JoinGroup", 12: "Heartbeat", 13: "LeaveGroup", 14: "SyncGroup", 15: "DescribeGroups", 16: "ListGroups",
    17: "SaslHandshake", 18: "ApiVersions", 19: "CreateTopics", 20: "DeleteTopics", 21: "DeleteRecords", 22: "InitProducerId",
    23: "OffsetForLeaderEpoch", 24: "AddPartitionsToTxn", 25: "AddOffsetsToTxn", 26: "EndTxn", 28: "TxnOffsetCommit",
    32: "DescribeConfigs", 33: "AlterConfigs", 36: "SaslAuthenticate", 37: "CreatePartitions", 42: "DeleteGroups",
    44: "IncrementalAlterConfigs", 47: "OffsetDelete", 60: "DescribeCluster", 61: "DescribeProducers",
    68: "ConsumerGroupHeartbeat", 69: "ConsumerGroupDescribe", 71: "GetTelemetrySubscriptions", 72: "PushTelemetry",
    75: "DescribeTopicPartitions",
}
ADDRESS_KEYS = {3, 10, 60}  # Metadata, FindCoordinator, DescribeCluster: host and port stand side by side in each


class Capture:
    """Listens on `listen` and passes everything on to `target`, (host, port) each. `output` is a text file to append to."""

    def __init__(self, listen, target, output):
        self._target = target
        self._output = output
        self._lock = threading.Lock()  # one line at a time
        self._server = socket.create_server(listen)
        self.address = self._server.getsockname()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self):
        """Accepts no more; connections end when either side ends them."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._accepting.join()

    def wait(self):
        self._accepting.join()

    def _accept(self):
        number = 0
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            number += 1
            threading.Thread(target=self._serve, args=(number, client), daemon=True).start()

    def _serve(self, number, client):
        requests = {}  # correlation id: (key, version, client id), of those not yet answered
        try:
            broker = socket.create_connection(self._target, CONNECT_TIMEOUT_S)
        except OSError:
            client.close()
            return
        broker.settimeout(None)
        for one in (client, broker):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = threading.Thread(target=self._copy, args=(broker, client, lambda f: self._response(number, requests, f)), daemon=True)
        answers.start()
        self._copy(client, broker, lambda frame: self._request(number, requests, frame))
        answers.join()
        client.close()
        broker.close()

    @staticmethod
    def _copy(source, sink, note):
        """Passes frames on until the source ends; then the sink is told that no more comes."""
        reader = source.makefile("rb")
        try:
            while True:
                head = reader.read(4)
                if len(head) < 4:
                    break
                (size,) = struct.unpack(">i", head)
                if not 0 <= size <= MAX_FRAME_BYTES:
                    break
                frame = reader.read(size)
                if len(frame) < size:
                    break
                frame = note(frame)
                sink.sendall(struct.pack(">i", len(frame)) + frame)
        except OSError:
            pass
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _line(self, number, direction, key, version, correlation, client_id, frame):
        with self._lock:
            self._output.write(f"{number} {direction} {NAMES.get(key, 'unknown')} {key} {version} {correlation} "
                               f"{client_id or '-'} {frame.hex()}\n")
            self._output.flush()

    def _request(self, number, requests, frame):
        if len(frame) < 10:
            self._line(number, ">", -1, -1, -1, None, frame)
            return frame
        key, version, correlation, size = struct.unpack_from(">hhih", frame)
        client_id = frame[10 : 10 + size].decode(errors="replace").replace(" ", "_") if size > 0 else None
        requests[correlation] = (key, version, client_id)
        self._line(number, ">", key, version, correlation, client_id, frame)
        return frame

    def _response(self, number, requests, frame):
        correlation = struct.unpack_from(">i", frame)[0] if len(frame) >= 4 else -1
        key, version, client_id = requests.pop(correlation, (-1, -1, None))
        self._line(number, "<", key, version, correlation, client_id, frame)
        if key in ADDRESS_KEYS:
            host, port = self._target
            told, instead = host.encode() + struct.pack(">i", port), host.encode() + struct.pack(">i", self.address[1])
            frame = frame.replace(told, instead)
        return frame
