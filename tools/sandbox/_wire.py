"""Frames over a socket: the length of a JSON object (4 bytes), the object, `size` bytes of data.

What comes is data of somebody: it has a largest size and a latest time, and may be no frame at all.
"""

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any


class Wire:
    """A socket with frames on it.

    Args:
        stream: the socket. multiplexed: what comes is in the frames of Docker's attach, too.
    """

    def __init__(self, stream: socket.socket, multiplexed: bool = False) -> None:
        self.stream, self.multiplexed = stream, multiplexed
        self._part = 0  # bytes left of Docker's frame
        self._kind = 0

    def send(self, header: Mapping[str, object], data: bytes, until: float) -> None:
        """Send a frame. Raises OSError."""
        text = json.dumps({**header, "size": len(data)}).encode("ascii")
        for part in (struct.pack(">I", len(text)) + text, data):
            self.stream.settimeout(_left(until))
            self.stream.sendall(part)

    def receive(self, limit: int, until: float) -> tuple[dict[str, Any], bytes]:
        """Return the next frame. Raises OSError, and ValueError for what is none."""
        [size] = struct.unpack(">I", self._read(4, until))
        if size > 1 << 16:
            raise ValueError(f"an answer of {size} bytes")
        header = json.loads(self._read(size, until))
        data = int(header["size"])
        if not 0 <= data <= limit:
            raise ValueError(f"an answer with {data} bytes, at most {limit} were expected")
        return header, self._read(data, until)

    def _read(self, size: int, until: float) -> bytes:
        data = bytearray(size)
        view, have = memoryview(data), 0
        while have < size:
            want = size - have
            if self.multiplexed:
                while not self._part or self._kind != 1:
                    self._next_part(until)
                want = min(want, self._part)
            got = self._some(view[have : have + want], until)
            have += got
            self._part -= got if self.multiplexed else 0
        return bytes(data)

    def _next_part(self, until: float) -> None:
        """Read the head of Docker's next frame, over what is no standard output."""
        skipped = bytearray(min(self._part, 1 << 16))
        while self._part:
            self._part -= self._some(memoryview(skipped)[: self._part], until)
        head, have = bytearray(8), 0
        while have < 8:
            have += self._some(memoryview(head)[have:], until)
        self._kind, self._part = head[0], struct.unpack(">I", head[4:])[0]

    def _some(self, view: memoryview, until: float) -> int:
        self.stream.settimeout(_left(until))
        got = self.stream.recv_into(view)
        if not got:
            raise ConnectionError("the connection was closed")
        return got


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
