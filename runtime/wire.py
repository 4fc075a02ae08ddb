"""How the processes of the runtime talk: frames of MessagePack over stream sockets, with descriptors beside them.

    4 bytes, length, big-endian · that many bytes of MessagePack

Descriptors travel with the first byte of a frame. After its specification, what is sent to a command is
single bytes, each the number of a signal. `_socket` is the C module below `socket`, whose import
costs as much as a whole interpreter start and which this needs nothing of.
"""

from __future__ import annotations

import os
import sys
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    SCM_RIGHTS,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
    socketpair,
)

import msgspec

Socket = socket

_MOST_DESCRIPTORS = 64
_LARGEST_FRAME = 1 << 30
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


def stream_pair() -> tuple[socket, socket]:
    """Return two connected stream sockets."""
    return socketpair(AF_UNIX, SOCK_STREAM)


def control_pair() -> tuple[socket, socket]:
    """Return two connected sockets whose messages stay whole."""
    return socketpair(AF_UNIX, SOCK_SEQPACKET)


def from_descriptor(descriptor: int) -> socket:
    """Take over a received descriptor of a socket."""
    return socket(fileno=descriptor)


def send_message(target: socket, data: bytes, descriptors: tuple[int, ...] = ()) -> int:
    """Send bytes and descriptors in one call; returns how many bytes were taken."""
    rights = b"".join(number.to_bytes(4, sys.byteorder) for number in descriptors)
    ancillary = [(SOL_SOCKET, SCM_RIGHTS, rights)] if descriptors else []
    return target.sendmsg([data], ancillary, MSG_NOSIGNAL)


def receive_message(source: socket, most: int) -> tuple[bytes, list[int]]:
    """Receive up to `most` bytes and what descriptors came with them; no bytes mean the end."""
    data, ancillary, _, _ = source.recvmsg(
        most, CMSG_SPACE(4 * _MOST_DESCRIPTORS), MSG_CMSG_CLOEXEC
    )
    descriptors: list[int] = []
    for level, kind, rights in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            descriptors += [
                int.from_bytes(rights[place : place + 4], sys.byteorder)
                for place in range(0, len(rights) - 3, 4)
            ]
    return data, descriptors


def send(
    target: socket, value: object, descriptors: tuple[int, ...] = (), *, wait: bool = True
) -> None:
    """Send one frame; without `wait`, fail rather than wait for the other end to read.

    Raises: OSError: the other end is gone. TypeError: `value` is not plain data.
    """
    body = _encoder.encode(value)
    frame = len(body).to_bytes(4, "big") + body
    if not wait:
        target.setblocking(False)  # noqa: FBT003 - takes no keyword
    taken = send_message(target, frame, descriptors)
    if taken < len(frame):
        target.sendall(memoryview(frame)[taken:], MSG_NOSIGNAL)


def receive(source: socket) -> tuple[object, list[int]]:
    """Receive one frame and its descriptors, which belong to the caller.

    Raises: EOFError: the other end is gone, also in the middle of a frame. OSError.
    """
    body, descriptors = receive_bytes(source)
    try:
        return _decoder.decode(body), descriptors
    except msgspec.DecodeError as error:
        close_all(descriptors)
        raise EOFError from error


def receive_bytes(source: socket) -> tuple[bytes, list[int]]:
    """Receive one frame undecoded."""
    head, descriptors = receive_message(source, 4)
    try:
        while 0 < len(head) < 4:
            more = source.recv(4 - len(head))
            if not more:
                break
            head += more
        length = int.from_bytes(head, "big")
        if len(head) < 4 or length > _LARGEST_FRAME:
            raise EOFError  # noqa: TRY301 - the descriptors are closed on the way out
        return _receive_exactly(source, length), descriptors
    except BaseException:
        close_all(descriptors)
        raise


def send_signal(target: socket, number: int) -> None:
    """Send the number of a signal; fails rather than waits.

    Raises: OSError.
    """
    target.send(bytes([number]), MSG_NOSIGNAL | MSG_DONTWAIT)


def receive_signals(source: socket) -> bytes:
    """Receive the numbers of signals that have come, one in each byte; none mean the end.

    Raises: OSError: none has come.
    """
    return source.recv(64, MSG_DONTWAIT)


def close_all(descriptors: list[int]) -> None:
    """Close received descriptors that nobody wants."""
    while descriptors:
        os.close(descriptors.pop())


def _receive_exactly(source: socket, length: int) -> bytes:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        count = source.recv_into(view)
        if count == 0:
            raise EOFError
        view = view[count:]
    return bytes(data)
