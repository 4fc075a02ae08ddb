"""The library that other runtimes make their filters with, as a judge of ours; it needs no header and no package of Python."""

from __future__ import annotations

import ctypes
import tempfile

ALLOW = 0x7FFF0000
_EPERM_ANSWER, _ENOSYS_ANSWER = 0x00050001, 0x00050026
_MASKED_EQUAL, _EQUAL, _LESS, _GREATER = 7, 4, 2, 6


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_arch_native.restype = ctypes.c_uint32
    for name, arguments in {
        "seccomp_release": (ctypes.c_void_p,),
        "seccomp_arch_add": (ctypes.c_void_p, ctypes.c_uint32),
        "seccomp_arch_remove": (ctypes.c_void_p, ctypes.c_uint32),
        "seccomp_export_bpf": (ctypes.c_void_p, ctypes.c_int),
        "seccomp_syscall_resolve_name_arch": (ctypes.c_uint32, ctypes.c_char_p),
    }.items():
        getattr(library, name).argtypes = arguments
    return library


LIBRARY = _library()


def number_of(name: str, architecture: int) -> int:
    """Return the number of a system call; negative where it does not know one."""
    assert LIBRARY is not None
    return int(LIBRARY.seccomp_syscall_resolve_name_arch(architecture, name.encode()))


class Filter:
    """A filter for one architecture: what is not allowed answers EPERM."""

    def __init__(self, architecture: int) -> None:
        assert LIBRARY is not None
        self._library = LIBRARY
        self._architecture = architecture
        self._context = self._library.seccomp_init(_EPERM_ANSWER)
        native = self._library.seccomp_arch_native()
        if native != architecture:
            # One of another byte order is taken only after this machine's own is gone.
            assert self._library.seccomp_arch_remove(self._context, native) == 0
            assert self._library.seccomp_arch_add(self._context, architecture) == 0

    def allow(self, name: str, *comparisons: tuple[int, int, int, int]) -> None:
        """Allow a call, if an argument compares: (place, operation, first, second)."""
        self._rule(ALLOW, name, *comparisons)

    def allow_equal(self, name: str, place: int, value: int) -> None:
        """Allow a call whose argument is `value`."""
        self.allow(name, (place, _EQUAL, value, 0))

    def allow_beside(self, name: str, place: int, value: int) -> None:
        """Allow a call whose argument is less or more than `value`."""
        self.allow(name, (place, _LESS, value, 0))
        self.allow(name, (place, _GREATER, value, 0))

    def allow_without(self, name: str, place: int, bits: int) -> None:
        """Allow a call whose argument has none of `bits`."""
        self.allow(name, (place, _MASKED_EQUAL, bits, 0))

    def hide(self, name: str) -> None:
        """Let a call answer ENOSYS."""
        self._rule(_ENOSYS_ANSWER, name)

    def _rule(self, action: int, name: str, *comparisons: tuple[int, int, int, int]) -> None:
        if number_of(name, self._architecture) < 0:
            return
        # Rules go by the numbers of this machine, which it translates.
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        array = (_Comparison * max(1, len(comparisons)))(*comparisons)
        code = self._library.seccomp_rule_add_array(
            ctypes.c_void_p(self._context),
            ctypes.c_uint32(action),
            ctypes.c_int(number),
            ctypes.c_uint(len(comparisons)),
            array,
        )
        assert code == 0, (name, code)

    def export(self) -> bytes:
        """Return the filter in the byte order of its architecture."""
        with tempfile.TemporaryFile() as file:
            assert self._library.seccomp_export_bpf(self._context, file.fileno()) == 0
            file.seek(0)
            return file.read()
