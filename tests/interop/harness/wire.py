# SPDX-License-Identifier: Apache-2.0
"""The least of the Kafka protocol: enough to know that a broker answers."""

import socket
import struct

API_VERSIONS_KEY = 18
CLIENT_ID = b"interop"


def receive_exactly(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError("the broker closed the connection")
        data += piece
    return data


def answers(host, port, timeout_s=2.0):
    """True when the broker answers ApiVersions v0 without an error."""
    header = struct.pack(">hhih", API_VERSIONS_KEY, 0, 1, len(CLIENT_ID)) + CLIENT_ID
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(header)) + header)
            (size,) = struct.unpack(">i", receive_exactly(connection, 4))
            correlation, error = struct.unpack(">ih", receive_exactly(connection, size)[:6])
            return correlation == 1 and error == 0
    except (OSError, struct.error):
        return False
