"""Frames between the processes of the runtime."""

from __future__ import annotations

import os
import threading

import pytest

from runtime import wire


def test_values_and_descriptors_travel_together() -> None:
    ours, theirs = wire.stream_pair()
    reader, writer = os.pipe()
    wire.send(ours, {"a": [1, b"\0", None]}, (writer,))
    wire.send(ours, "second")
    value, descriptors = wire.receive(theirs)
    assert value == {"a": [1, b"\0", None]}
    os.write(descriptors[0], b"x")
    assert os.read(reader, 1) == b"x"
    assert not os.get_inheritable(descriptors[0])
    assert wire.receive(theirs) == ("second", [])
    for descriptor in (reader, writer, *descriptors):
        os.close(descriptor)
    ours.close()
    theirs.close()


def test_large_frames_arrive_whole() -> None:
    ours, theirs = wire.stream_pair()
    value = [bytes(1000)] * 10_000
    sender = threading.Thread(target=wire.send, args=(ours, value))
    sender.start()
    assert wire.receive(theirs)[0] == value
    sender.join()
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    "data", [b"", b"\0\0", b"\0\0\0\5abc", b"\0\0\0\1\xc1", b"\xff\xff\xff\xff"]
)
def test_the_end_in_the_middle_of_a_frame_is_the_end(data: bytes) -> None:
    ours, theirs = wire.stream_pair()
    ours.sendall(data)
    ours.close()
    with pytest.raises(EOFError):
        wire.receive(theirs)
    theirs.close()


def test_sending_without_waiting_fails_rather_than_waits() -> None:
    ours, theirs = wire.stream_pair()
    with pytest.raises(BlockingIOError):
        for _ in range(10_000):
            wire.send(ours, bytes(1000), wait=False)
    ours.close()
    theirs.close()
