/* Attacks on the walls, one for each name. Exit code 0: it got through, and what was reached is printed;
 * 1: it was refused, and the last error is printed. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static int refused(const char *what) {
    printf("%s: %s\n", what, strerror(errno));
    return 1;
}

static int reached(const char *what) {
    printf("reached: %s\n", what);
    return 0;
}

/* node PATH c|b MAJOR MINOR: make a device and open it. */
static int node(char **a) {
    mode_t kind = a[1][0] == 'b' ? S_IFBLK : S_IFCHR;
    if (mknod(a[0], kind | 0600, makedev(atoi(a[2]), atoi(a[3]))) < 0) return refused("mknod");
    if (open(a[0], O_RDONLY | O_NONBLOCK) < 0) return refused("open");
    return reached(a[0]);
}

/* handle PATH: the handle of inode 2, a root directory, in the file system of PATH. */
static int handle(char **a) {
    struct { struct file_handle h; unsigned char bytes[8]; } root = {{8, 1, {}}, {2}};
    int place = open(a[0], O_RDONLY);
    if (place < 0) return refused("open");
    int fd = open_by_handle_at(place, &root.h, O_RDONLY | O_DIRECTORY);
    return fd < 0 ? refused("open_by_handle_at") : reached("a directory by its handle");
}

static int visible(const char *path) {
    char name[4096] = ".";
    struct stat status;
    if (stat(path, &status) == 0) return reached(path);
    strncat(name, path, sizeof name - 2);
    if (stat(name, &status) == 0) return reached(name);
    return refused("stat");
}

/* chroot PATH: leave a root by way of a second one, up to where PATH is. */
static int leave_root(char **a) {
    mkdir("/inner", 0700);
    int outside = open("/", O_RDONLY | O_DIRECTORY);
    if (chroot("/inner") < 0) return refused("chroot");
    if (fchdir(outside) < 0) return refused("fchdir");
    for (int i = 0; i < 64; i++) if (chdir("..") < 0) return refused("chdir");
    if (chroot(".") < 0) return refused("chroot");
    return visible(a[0]);
}

/* setns PID: the namespaces of a process. */
static int join(char **a) {
    const char *kinds[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};
    char path[64];
    for (int i = 0; i < 7; i++) {
        snprintf(path, sizeof path, "/proc/%s/ns/%s", a[0], kinds[i]);
        int fd = open(path, O_RDONLY);
        if (fd < 0) continue;
        if (syscall(SYS_setns, fd, 0) == 0) return reached(path);
    }
    int process = syscall(SYS_pidfd_open, atoi(a[0]), 0);
    if (process >= 0 && syscall(SYS_setns, process, CLONE_NEWNS) == 0) return reached("setns");
    return refused("setns");
}

/* unshare FLAGS: a namespace of one's own, by each way to get one. */
static int own_namespace(char **a) {
    int flags = strtol(a[0], NULL, 0);
    if (syscall(SYS_unshare, flags) == 0) return reached("unshare");
    int error = errno;
    if (error != EPERM) return refused("unshare");
    struct { uint64_t flags, pidfd, child, parent, signal, stack, size, tls; } more = {0};
    more.flags = flags;
    more.signal = SIGCHLD;
    long child = syscall(SYS_clone3, &more, sizeof more);
    if (child == 0) _exit(0);
    if (child > 0) return reached("clone3");
    if (errno != ENOSYS) return refused("clone3");
    child = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (child == 0) _exit(0);
    return child > 0 ? reached("clone") : refused("clone");
}

/* mounts: every call that changes what is mounted where. */
static int change_mounts(char **a) {
    (void)a;
    mkdir("/m", 0755);
    if (mount("none", "/m", "tmpfs", 0, "") == 0) return reached("mount");
    if (mount("/", "/m", NULL, MS_BIND, NULL) == 0) return reached("bind");
    if (mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL) == 0) return reached("remount");
    if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) == 0) return reached("propagation");
    const char *covered[] = {"/proc/kcore", "/proc/keys", "/proc/sys", "/proc/timer_list", "/sys/firmware", "/dev", "/proc"};
    for (int i = 0; i < 7; i++) if (umount2(covered[i], MNT_DETACH) == 0) return reached(covered[i]);
    if (syscall(SYS_pivot_root, "/m", "/m") == 0) return reached("pivot_root");
    if (syscall(SYS_fsopen, "tmpfs", 0) >= 0) return reached("fsopen");
    if (syscall(SYS_open_tree, AT_FDCWD, "/", 1) >= 0) return reached("open_tree");
    if (syscall(SYS_fspick, AT_FDCWD, "/sys", 0) >= 0) return reached("fspick");
    uint64_t attributes[4] = {0, 1, 0, 0};
    if (syscall(SYS_mount_setattr, AT_FDCWD, "/sys", 0, attributes, sizeof attributes) == 0) return reached("mount_setattr");
    return refused("mounts");
}

/* keys NAME: find a key of the caller's session, or leave one behind. */
static int keys(char **a) {
    if (syscall(SYS_keyctl, 10, -3, "user", a[0], 0) >= 0) return reached("keyctl");
    if (syscall(SYS_request_key, "user", a[0], NULL, 0) >= 0) return reached("request_key");
    return refused("request_key");
}

/* addkey: leave a key behind with the user. */
static int add_key(char **a) {
    (void)a;
    return syscall(SYS_add_key, "user", "left", "x", 1, -4) >= 0 ? reached("add_key") : refused("add_key");
}

/* terminal: type into the terminal of whoever started us. */
static int terminal(char **a) {
    (void)a;
    int fd = open("/dev/tty", O_RDWR);
    if (fd < 0) return refused("open /dev/tty");
    if (ioctl(fd, TIOCSTI, "x") == 0) return reached("TIOCSTI");
    return reached("a controlling terminal");
}

/* abstract NAME: connect to an abstract socket. */
static int abstract(char **a) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(address.sun_path + 1, a[0]);
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(a[0]);
    return connect(fd, (void *)&address, length) == 0 ? reached(a[0]) : refused("connect");
}

/* segment KEY: System V memory of somebody else. */
static int segment(char **a) {
    return shmget(atoi(a[0]), 0, 0) >= 0 ? reached("shared memory") : refused("shmget");
}

/* process PID: look into a process, stop it, or signal it. */
static int process(char **a) {
    int pid = atoi(a[0]);
    char path[64], byte;
    if (kill(pid, 0) == 0) return reached("kill");
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) return reached("ptrace");
    const char *files[] = {"root", "cwd", "exe", "mem", "environ", "fd"};
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
        if (open(path, O_RDONLY) >= 0) return reached(path);
    }
    struct { void *base; size_t length; } here = {&byte, 1}, there = {(void *)0x400000, 1};
    if (syscall(SYS_process_vm_readv, pid, &here, 1, &there, 1, 0) > 0) return reached("process_vm_readv");
    return refused("process");
}

/* calls: those that reach past all walls. */
static int calls(char **a) {
    (void)a;
    struct { const char *name; long number; long argument[4]; } all[] = {
        {"bpf", SYS_bpf, {0, 0, 0}},
        {"perf_event_open", SYS_perf_event_open, {0, 0, -1, -1}},
        {"userfaultfd", SYS_userfaultfd, {0}},
        {"io_uring_setup", SYS_io_uring_setup, {1, 0}},
        {"kexec_load", SYS_kexec_load, {0, 0, 0, 0}},
        {"init_module", SYS_init_module, {0, 0, 0}},
        {"delete_module", SYS_delete_module, {0, 0}},
        {"finit_module", SYS_finit_module, {-1, 0, 0}},
        {"settimeofday", SYS_settimeofday, {0, 0}},
        {"swapon", SYS_swapon, {0, 0}},
        {"reboot", SYS_reboot, {0, 0, 0}},
        {"acct", SYS_acct, {0}},
        {"quotactl", SYS_quotactl, {0, 0, 0, 0}},
        {"syslog", SYS_syslog, {10, 0, 0}},
        {"vhangup", SYS_vhangup, {0}},
        {"kcmp", SYS_kcmp, {1, 1, 0, 0}},
        {"fanotify_init", SYS_fanotify_init, {0, 0}},
        {"move_pages", SYS_move_pages, {0, 0, 0, 0}},
        {"pidfd_getfd", SYS_pidfd_getfd, {-1, 0, 0}},
    };
    int through = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        long *v = all[i].argument;
        if (syscall(all[i].number, v[0], v[1], v[2], v[3]) >= 0 || errno != EPERM) {
            printf("reached: %s (%s)\n", all[i].name, strerror(errno));
            through = 1;
        }
    }
    return !through;
}

/* write PATH…: open each for writing, and write nothing. */
static int writable(char **a) {
    int through = 0;
    for (; *a; a++) {
        int fd = open(*a, O_WRONLY | O_NONBLOCK);
        if (fd >= 0) { reached(*a); through = 1; }
    }
    return !through;
}

/* read PATH…: read a byte of each. */
static int readable(char **a) {
    int through = 0;
    char byte;
    for (; *a; a++) {
        int fd = open(*a, O_RDONLY | O_NONBLOCK);
        if (fd >= 0 && read(fd, &byte, 1) > 0) { reached(*a); through = 1; }
    }
    return !through;
}

/* link-down: take down the loopback interface, which needs CAP_NET_ADMIN. */
static int link_down(char **a) {
    (void)a;
    struct { char name[16]; short flags; char rest[32]; } request = {"lo", 0, {0}};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return ioctl(fd, 0x8914, &request) == 0 ? reached("CAP_NET_ADMIN") : refused("SIOCSIFFLAGS");
}

/* packets: listen to all that passes on the network. */
static int packets(char **a) {
    (void)a;
    return socket(AF_PACKET, SOCK_RAW, 0x0300) >= 0 ? reached("packets") : refused("socket");
}

/* tcp ADDRESS PORT: connect, within two seconds. */
static int tcp(char **a) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(a[1]))};
    struct timeval patience = {2, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, a[0], &address.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return connect(fd, (void *)&address, sizeof address) == 0 ? reached(a[0]) : refused("connect");
}

/* xattrs PATH: marks of the overlay's own. */
static int overlay_marks(char **a) {
    int through = 0;
    if (setxattr(a[0], "trusted.overlay.opaque", "y", 1, 0) == 0) { reached("trusted.overlay"); through = 1; }
    setxattr(a[0], "user.overlay.opaque", "y", 1, 0);
    setxattr(a[0], "user.overlay.redirect", "/etc", 4, 0);
    return !through;
}

/* descriptors: all that were inherited beyond the standard three. */
static int descriptors(char **a) {
    (void)a;
    int through = 0;
    char path[64], target[256];
    for (int i = 3; i < 4096; i++) {
        if (fcntl(i, F_GETFD) < 0) continue;
        snprintf(path, sizeof path, "/proc/self/fd/%d", i);
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length < 0 ? 0 : length] = 0;
        reached(target);
        through = 1;
    }
    return !through;
}

/* up PATH: where the working directory leads. */
static int up(char **a) {
    for (int i = 0; i < 64; i++) if (chdir("..") < 0) break;
    return visible(a[0]);
}

int main(int count, char **words) {
    struct { const char *name; int (*attack)(char **); } all[] = {
        {"node", node}, {"handle", handle}, {"chroot", leave_root}, {"setns", join}, {"unshare", own_namespace},
        {"mounts", change_mounts}, {"keys", keys}, {"addkey", add_key}, {"terminal", terminal}, {"abstract", abstract},
        {"segment", segment}, {"process", process}, {"calls", calls}, {"write", writable}, {"read", readable},
        {"link-down", link_down}, {"packets", packets}, {"tcp", tcp}, {"xattrs", overlay_marks}, {"descriptors", descriptors}, {"up", up},
    };
    for (size_t i = 0; count > 1 && i < sizeof all / sizeof *all; i++)
        if (strcmp(words[1], all[i].name) == 0) return all[i].attack(words + 2);
    return 2;
}
