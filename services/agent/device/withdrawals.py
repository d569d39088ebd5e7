"""Which batches nobody waits for any more: a page of memory that agent and device process share.

The device process gets its next batch while it works on one, so that it never waits. Should
that batch's callers leave, it is too late to keep it back; a mark on this page is what the
device process sees before it begins.
"""

import mmap
import os

MAX_LINE = 64
"""Messages that wait for a device process at most; each has a mark of its own."""


class Withdrawals:
    """Marks of messages, which both sides number from 0 in the order in which they are sent."""

    def __init__(self, fd: int) -> None:
        self._marks = mmap.mmap(fd, MAX_LINE)

    def expect(self, number: int) -> None:
        """This message is about to be sent; the one that had its mark is answered."""
        self._marks[number % MAX_LINE] = 0

    def withdraw(self, number: int) -> None:
        """Nobody waits for this message, which was sent."""
        self._marks[number % MAX_LINE] = 1

    def withdrawn(self, number: int) -> bool:
        """Whether nobody waits for this message, which is not answered."""
        return self._marks[number % MAX_LINE] == 1


def create_page() -> int:
    """A descriptor of an empty page; it is the caller's to close."""
    fd = os.memfd_create("mindserve-withdrawals")
    os.truncate(fd, MAX_LINE)
    return fd
