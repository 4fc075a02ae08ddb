"""Linux calls that Python does not have, one method each; the only user of ctypes.

Descriptors go in and come out; paths are only taken together with the directory descriptor they are looked up in,
except where the caller's own view is meant. A recording double of `Syscalls` lets plans be executed in tests
without privileges.

Source: man 2 fsopen fsconfig fsmount open_tree move_mount mount_setattr openat2 pivot_root clone capset keyctl.
"""

from __future__ import annotations

import ctypes
import os

# Numbers from 424 on are the same on every architecture; the older ones are not.
_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 428, 429, 430, 431, 432
_CLOSE_RANGE, _OPENAT2, _MOUNT_SETATTR = 436, 437, 442
_OLDER = {
    "x86_64": {
        "rt_sigaction": 13,
        "clone": 56,
        "pivot_root": 155,
        "capset": 126,
        "capget": 125,
        "keyctl": 250,
        "seccomp": 317,
    },
    "aarch64": {
        "rt_sigaction": 134,
        "clone": 220,
        "pivot_root": 41,
        "capset": 91,
        "capget": 90,
        "keyctl": 219,
        "seccomp": 277,
    },
    "riscv64": {
        "rt_sigaction": 134,
        "clone": 220,
        "pivot_root": 41,
        "capset": 91,
        "capget": 90,
        "keyctl": 219,
        "seccomp": 277,
    },
    "ppc64le": {
        "rt_sigaction": 173,
        "clone": 120,
        "pivot_root": 203,
        "capset": 184,
        "capget": 183,
        "keyctl": 271,
        "seccomp": 358,
    },
    "s390x": {
        "rt_sigaction": 174,
        "clone": 120,
        "pivot_root": 217,
        "capset": 185,
        "capget": 184,
        "keyctl": 280,
        "seccomp": 348,
    },
}

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

ATTR_READ_ONLY = 0x1
ATTR_NOSUID = 0x2
ATTR_NODEV = 0x4
ATTR_NOEXEC = 0x8

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_IN_ROOT = 0x10

_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 0, 1, 6
_MS_NODEV, _MS_REC, _MS_PRIVATE = 4, 16384, 1 << 18
_MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 1, 22, 24
_PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 8, 47, 2
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_SECCOMP_MODE_FILTER = 2
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_KEYCTL_JOIN_SESSION_KEYRING = 1
_CAPABILITY_VERSION_3 = 0x20080522
_CLOSE_RANGE_CLOEXEC = 4
_LONGEST_PATH = 255
"""The kernel takes no longer text in one `fsconfig` parameter."""


class SyscallError(OSError):
    """A call was refused; `call` names it, `detail` is what the kernel said beyond the error number."""

    def __init__(self, number: int, call: str, path: str = "", detail: str = "") -> None:
        super().__init__(number, os.strerror(number))
        self.call = call
        self.path = path
        self.detail = detail

    def __str__(self) -> str:
        place = f" of {self.path}" if self.path else ""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.call}{place}: {self.strerror}{detail}"


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


class Syscalls:
    """The kernel, as far as the sandbox needs it. Every method raises SyscallError or OSError when refused.

    With `single_id` there is one owner, whom all files have.
    """

    single_id = False

    def __init__(self) -> None:
        # PyDLL keeps the interpreter's lock over the call: a raw clone must return into a consistent interpreter.
        self._libc = ctypes.PyDLL(None, use_errno=True)
        self._libc.syscall.restype = ctypes.c_long
        self._machine = os.uname().machine
        self._older = _OLDER.get(self._machine, {})

    def _call(self, call: str, number: int | None, *arguments: object, path: str = "") -> int:
        if number is None:
            raise SyscallError(38, call, path)
        converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
        result: int = self._libc.syscall(ctypes.c_long(number), *converted)
        if result < 0:
            raise SyscallError(ctypes.get_errno(), call, path)
        return result

    def _checked(self, call: str, result: int, path: str = "") -> int:
        if result < 0:
            raise SyscallError(ctypes.get_errno(), call, path)
        return result

    # Mounts

    def new_mount(
        self,
        kind: str,
        options: tuple[tuple[str, str | None], ...] = (),
        *,
        attributes: int = 0,
    ) -> int:
        """Make a file system of `kind` and return its mount, attached nowhere, as a descriptor of its root."""
        context = self._call("fsopen", _FSOPEN, kind.encode(), 1, path=kind)
        try:
            for name, value in (("source", kind), *options):
                command = _FSCONFIG_SET_FLAG if value is None else _FSCONFIG_SET_STRING
                encoded = None if value is None else os.fsencode(value)
                self._call(
                    "fsconfig", _FSCONFIG, context, command, name.encode(), encoded, 0, path=kind
                )
            self._call(
                "fsconfig", _FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0, path=kind
            )
            return self._call("fsmount", _FSMOUNT, context, 1, attributes, path=kind)
        except SyscallError as error:
            error.detail = _kernel_messages(context)
            raise
        finally:
            os.close(context)

    def takes_option(self, kind: str, name: str, value: str) -> bool:
        """Say whether file systems of `kind` know an option, without making one."""
        context = self._call("fsopen", _FSOPEN, kind.encode(), 1, path=kind)
        try:
            self._call(
                "fsconfig",
                _FSCONFIG,
                context,
                _FSCONFIG_SET_STRING,
                name.encode(),
                value.encode(),
                0,
            )
        except SyscallError:
            return False
        else:
            return True
        finally:
            os.close(context)

    def mount(self, source: str, target: str, kind: str, data: str) -> None:
        """Mount in the old way, where the options are one text; always without devices."""
        encoded = [os.fsencode(text) for text in (source, target, kind)]
        result = self._libc.mount(*encoded, ctypes.c_ulong(_MS_NODEV), os.fsencode(data))
        self._checked("mount", result, kind)

    def clone_tree(self, descriptor: int, *, recursive: bool = False) -> int:
        """Return a new mount, attached nowhere, of what `descriptor` stands for."""
        flags = 1 | os.O_CLOEXEC | _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
        return self._call("open_tree", _OPEN_TREE, descriptor, b"", flags)

    def restrict(self, mount: int, attributes: int, *, recursive: bool = False) -> None:
        """Add mount attributes (`ATTR_…`) to a mount, or to all mounts below it too."""
        attr = _MountAttr(attr_set=attributes)
        flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
        self._call(
            "mount_setattr",
            _MOUNT_SETATTR,
            mount,
            b"",
            flags,
            ctypes.byref(attr),
            ctypes.sizeof(attr),
        )

    def attach(self, mount: int, target: int) -> None:
        """Attach a mount on the directory or file that `target` stands for."""
        self._call("move_mount", _MOVE_MOUNT, mount, b"", target, b"", 0x4 | 0x40)

    def make_private(self) -> None:
        """Stop mounts from being propagated to and from this mount namespace."""
        self._checked(
            "mount", self._libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None)
        )

    def detach(self, name: str, directory: int) -> None:
        """Detach the mount on `name` in `directory`, which becomes the working directory."""
        os.fchdir(directory)
        self._checked("umount2", self._libc.umount2(os.fsencode(name), _MNT_DETACH), name)

    def pivot(self, root: int, *, above: int) -> None:
        """Make the mount `root` the root directory, and detach the old one and `above` mounts that lie over it."""
        os.fchdir(root)
        self._call("pivot_root", self._older.get("pivot_root"), b".", b".")
        # The old root now lies on top of the new one; "." leads to whatever is topmost there.
        for _ in range(1 + above):
            self._checked("umount2", self._libc.umount2(b".", _MNT_DETACH))
        os.chdir("/")

    # Files below a directory

    def open_resolved(self, directory: int, path: str, flags: int, mode: int, resolve: int) -> int:
        """Open `path` below `directory` by the `RESOLVE_…` rules."""
        how = _OpenHow(flags=flags | os.O_CLOEXEC, mode=mode, resolve=resolve)
        encoded = os.fsencode(path)
        return self._call(
            "openat2",
            _OPENAT2,
            directory,
            encoded,
            ctypes.byref(how),
            ctypes.sizeof(how),
            path=path,
        )

    def open(
        self, path: str, flags: int, *, directory: int | None = None, mode: int = 0o777
    ) -> int:
        """Open one name in `directory`, or a path of the process's own view."""
        return os.open(path, flags | os.O_CLOEXEC, mode, dir_fd=directory)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def change_directory(self, directory: int) -> None:
        """Make `directory` the working directory."""
        os.fchdir(directory)

    def status(self, descriptor: int) -> os.stat_result:
        """Return the attributes of what a descriptor stands for."""
        return os.fstat(descriptor)

    def entries(self, directory: int) -> list[tuple[str, bool]]:
        """Return the names in `directory`, and of each whether it is a symbolic link."""
        listed = self.open(".", os.O_RDONLY | os.O_DIRECTORY, directory=directory)
        with os.scandir(listed) as found:
            names = [(entry.name, entry.is_symlink()) for entry in found]
        self.close(listed)
        return names

    def read_link(self, name: str, directory: int) -> str:
        """Return the target of the symbolic link `name` in `directory`."""
        return os.readlink(name, dir_fd=directory)

    def make_directory(self, name: str, directory: int, mode: int = 0o755) -> None:
        """Make a directory called `name` in `directory`."""
        os.mkdir(name, mode, dir_fd=directory)

    def make_link(self, target: str, name: str, directory: int) -> None:
        """Make a symbolic link called `name` in `directory`."""
        os.symlink(target, name, dir_fd=directory)

    def make_file(self, name: str, directory: int, content: bytes = b"", mode: int = 0o644) -> None:
        """Make a new regular file called `name` in `directory`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, mode, dir_fd=directory)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)

    def give(self, descriptor: int, uid: int, gid: int, mode: int) -> None:
        """Set owner and mode of what an O_PATH descriptor stands for, which is no link."""
        place = f"/proc/self/fd/{descriptor}"
        if not self.single_id:
            os.chown(place, uid, gid)
        os.chmod(place, mode)

    def copy_attributes(self, source: int, target: int) -> None:
        """Give the directory `target` the owner, mode, extended attributes and times of `source`."""
        status = os.fstat(source)
        place = f"/proc/self/fd/{target}"
        os.chown(place, status.st_uid, status.st_gid)
        os.chmod(place, status.st_mode & 0o7777)
        origin = f"/proc/self/fd/{source}"
        for name in os.listxattr(origin):
            if not name.startswith(("trusted.overlay.", "user.overlay.")):
                try:
                    os.setxattr(place, name, os.getxattr(origin, name))
                except OSError:
                    continue  # an attribute of a security module, which sets its own
        os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))

    # Processes

    def clone(self, flags: int) -> int:
        """Start a child in new namespaces: 0 in the child, its process id in the parent.

        Nothing of the interpreter's own fork protocol runs: the caller has one thread, and the child must exec or
        end without returning to it.
        """
        first = (0, flags | 17) if self._machine == "s390x" else (flags | 17, 0)
        return self._call("clone", self._older.get("clone"), *first, 0, 0, 0)

    def unshare(self, flags: int) -> None:
        """Move this process into new namespaces."""
        self._checked("unshare", self._libc.unshare(ctypes.c_int(flags)))

    def join_namespace(self, namespace: int, kind: int) -> None:
        """Move this process into the namespace that a descriptor stands for; `kind` is its `CLONE_…` flag."""
        result = self._libc.setns(ctypes.c_int(namespace), ctypes.c_int(kind))
        self._checked("setns", result)

    def die_with_parent(self) -> None:
        """Have the kernel kill this process when its parent ends; a change of credentials clears that."""
        self._prctl("PR_SET_PDEATHSIG", _PR_SET_PDEATHSIG, 9)

    def become_subreaper(self) -> None:
        """Become the parent of what descends from this process and loses its own."""
        self._prctl("PR_SET_CHILD_SUBREAPER", _PR_SET_CHILD_SUBREAPER, 1)

    def forbid_new_privileges(self) -> None:
        """Let nothing that this process starts gain privileges, by set-id bits or otherwise."""
        self._prctl("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)

    def change_root(self) -> None:
        """Make the working directory the root directory."""
        os.chroot(".")

    def reset_signal(self, number: int) -> None:
        """Give a signal its default action, even one that libc keeps for itself and lets nobody set."""
        action = (
            ctypes.c_uint64 * 4
        )()  # the default handler, no flags, no restorer, nothing blocked
        code = self._older.get("rt_sigaction")
        self._call("rt_sigaction", code, number, ctypes.byref(action), None, 8)

    def mark_close_on_exec(self, first: int) -> None:
        """Mark every descriptor from `first` on to be closed by exec."""
        self._call("close_range", _CLOSE_RANGE, first, 0xFFFFFFFF, _CLOSE_RANGE_CLOEXEC)

    def set_host_name(self, name: str) -> None:
        """Set the host name of this UTS namespace."""
        encoded = os.fsencode(name)
        self._checked("sethostname", self._libc.sethostname(encoded, ctypes.c_size_t(len(encoded))))

    def new_session_keyring(self) -> None:
        """Leave the caller's session keyring behind."""
        self._call("keyctl", self._older.get("keyctl"), _KEYCTL_JOIN_SESSION_KEYRING, None)

    def new_session(self) -> None:
        """Lead a new session without a terminal."""
        os.setsid()

    def drop_bounding(self, capability: int) -> None:
        """Remove a capability from what this process and its children can ever gain."""
        self._prctl("PR_CAPBSET_DROP", _PR_CAPBSET_DROP, capability)

    def set_capabilities(self, permitted: int) -> None:
        """Make the bits of `permitted` the permitted and effective set, and the inheritable set empty."""
        low, high = permitted & 0xFFFFFFFF, permitted >> 32
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
        self._call("capset", self._older.get("capset"), ctypes.byref(header), ctypes.byref(data))

    def keep_capabilities(self) -> None:
        """Keep the permitted set when user 0 becomes another user, until the next exec."""
        self._prctl("PR_SET_KEEPCAPS", _PR_SET_KEEPCAPS, 1)

    def permitted_capabilities(self) -> int:
        """Return the permitted set as bits."""
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        data = (ctypes.c_uint32 * 6)()
        self._call("capget", self._older.get("capget"), ctypes.byref(header), ctypes.byref(data))
        return data[1] | data[4] << 32

    def hand_on_capabilities(self, handed: int) -> None:
        """Make the bits of `handed` the permitted, effective and inheritable set, and what every program begins with."""
        low, high = handed & 0xFFFFFFFF, handed >> 32
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        data = (ctypes.c_uint32 * 6)(low, low, low, high, high, high)
        self._call("capset", self._older.get("capset"), ctypes.byref(header), ctypes.byref(data))
        for number in range(64):
            if handed >> number & 1:
                self._prctl("PR_CAP_AMBIENT", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number)

    def load_filter(self, program: bytes) -> None:
        """Load a seccomp program (classic BPF instructions of 8 bytes)."""
        fprog = _FilterProgram(len(program) // 8, program)
        self._prctl(
            "PR_SET_SECCOMP", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(fprog)
        )

    def load_asking_filter(self, program: bytes) -> int:
        """Load a seccomp program that asks about some calls; return the descriptor on which it does."""
        fprog = _FilterProgram(len(program) // 8, program)
        code = self._older.get("seccomp")
        return self._call("seccomp", code, _SET_MODE_FILTER, _NEW_LISTENER, ctypes.byref(fprog))

    def become(self, uid: int, gid: int, groups: tuple[int, ...]) -> None:
        """Take on a user, a group and supplementary groups for good."""
        os.setgroups(list(groups))
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)

    def _prctl(self, call: str, option: int, *arguments: int) -> None:
        padded = [ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4]]
        self._checked(call, self._libc.prctl(ctypes.c_int(option), *padded))


def _kernel_messages(context: int) -> str:
    """Return what the kernel wrote about a failed `fsconfig`, one line each."""
    messages = []
    for _ in range(8):
        try:
            text = os.read(context, 4096)
        except OSError:
            break
        messages.append(text.decode("utf-8", "replace").partition(" ")[2].strip())
    return "; ".join(messages)
