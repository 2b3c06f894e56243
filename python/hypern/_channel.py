"""A worker process's end of the socket to hypern. The format is in ``crates/wire/src/lib.rs``."""

from __future__ import annotations

import os
import select
import struct
import time

HEADER = struct.Struct("<2sBxIQQ")
MAGIC = b"HY"
#: Bytes taken from the socket at once, so that a small frame costs one system call.
GULP = 64 * 1024

#: How long a process looks for its next task before it sleeps, in seconds: about what waking it costs.
LOOK = 60e-6

#: Not on macOS, where looking without it is short enough to do no harm.
_yield = getattr(os, "sched_yield", lambda: None)


class Channel:
    """Reads and writes frames on a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._received = b""
        os.set_blocking(descriptor, False)
        self._readable = select.poll()
        self._readable.register(descriptor, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(descriptor, select.POLLOUT)

    def receive(self) -> tuple[int, int, memoryview, list[bytearray]] | None:
        """Return kind, function number, payload and buffers of the next frame, None when hypern has closed its end."""
        if not self._fill(HEADER.size):
            return None
        magic, kind, count, function, length = HEADER.unpack_from(self._received)
        if magic != MAGIC:
            raise ConnectionError(f"not a frame: it begins with {magic!r}")
        self._fill(HEADER.size + 8 * count)
        lengths = struct.unpack_from(f"<{count}Q", self._received, HEADER.size)
        self._received = self._received[HEADER.size + 8 * count :]
        payload = self._take(length)
        return kind, function, payload, [self._take_writable(size) for size in lengths]

    def send(self, kind: int, payload: bytes = b"", buffers: list[memoryview] | None = None) -> None:
        """Write one frame."""
        buffers = buffers or []
        head = HEADER.pack(MAGIC, kind, len(buffers), 0, len(payload))
        head += struct.pack(f"<{len(buffers)}Q", *(buffer.nbytes for buffer in buffers))
        if not buffers and len(payload) < GULP:
            self._write(memoryview(head + payload))
        else:
            for piece in (head, payload, *buffers):
                self._write(memoryview(piece))

    def _fill(self, size: int) -> bool:
        """Have at least ``size`` bytes received; false if hypern closed its end before the first of them."""
        while len(self._received) < size:
            try:
                data = os.read(self.descriptor, GULP)
            except BlockingIOError:
                self._await_data()
                continue
            if not data:
                if self._received:
                    raise ConnectionError("the frame ends early")
                return False
            self._received = self._received + data if self._received else data
        return True

    def _take(self, size: int) -> memoryview:
        if len(self._received) >= size:
            data, self._received = self._received[:size], self._received[size:]
            return memoryview(data)
        return memoryview(self._take_writable(size))

    def _take_writable(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        begun = min(size, len(self._received))
        view[:begun] = self._received[:begun]
        self._received = self._received[begun:]
        while begun < size:
            try:
                count = os.readv(self.descriptor, [view[begun:]])
            except BlockingIOError:
                self._readable.poll()
                continue
            if not count:
                raise ConnectionError("the frame ends early")
            begun += count
        return data

    def _await_data(self) -> None:
        """Wait until there is something to read: look for a short while, letting others run, then sleep."""
        until = time.perf_counter() + LOOK
        while not self._readable.poll(0):
            if time.perf_counter() > until:
                self._readable.poll()
                return
            _yield()

    def _write(self, data: memoryview) -> None:
        while data:
            try:
                data = data[os.write(self.descriptor, data) :]
            except BlockingIOError:
                self._writable.poll()
