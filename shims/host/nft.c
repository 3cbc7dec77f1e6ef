/* Commands to nftables, and the namespaces that they act in. */
#include "shims/host/nft.h"

#include "scenarios/base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <nftables/libnftables.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The last line that says what is wrong, without the excerpt of the rules below it. */
static void tell_why(const char *said, struct buf *why)
{
    const char *error = strstr(said, "Error: ");

    error = error ? error + 7 : said;
    buf_append(why, error, strcspn(error, "\n"));
}

static int error_of(const char *said)
{
    if (strstr(said, "not permitted"))
        return -EPERM;
    if (strstr(said, "No such file"))
        return -ENOENT;
    return strstr(said, "File exists") ? -EEXIST : -EIO;
}

/* Asked first: the library itself would say so on the terminal. */
static bool has_privilege(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { .effective = 0 } };

    return syscall(SYS_capget, &head, data) == 0 && data[0].effective & (UINT32_C(1) << CAP_NET_ADMIN);
}

int nft_run_in(struct nft_ctx *context, const char *commands, struct buf *output, struct buf *why)
{
    const char *said;

    if (!has_privilege())
        return -EPERM;
    if (nft_ctx_buffer_output(context) != 0 || nft_ctx_buffer_error(context) != 0)
        return -ENOMEM;
    if (nft_run_cmd_from_buffer(context, commands) == 0) {
        if (output)
            buf_puts(output, nft_ctx_get_output_buffer(context));
        return 0;
    }
    said = nft_ctx_get_error_buffer(context);
    if (why)
        tell_why(said, why);
    return error_of(said);
}

int nft_run(const char *commands, struct buf *output, struct buf *why)
{
    struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);
    int result;

    if (!context)
        return -ENOMEM;
    result = nft_run_in(context, commands, output, why);
    nft_ctx_free(context);
    return result;
}

int nft_is_possible(struct buf *why)
{
    int result = nft_run("list tables inet\n", NULL, NULL);

    if (result == -EPERM && why)
        buf_puts(why, "nftables needs root, or CAP_NET_ADMIN");
    else if (result < 0 && why)
        buf_puts(why, "this kernel has no nftables");
    return result == 0 || result == -EPERM ? result : -ENOTSUP;
}

/* ---- namespaces ---------------------------------------------------------------------------------------------------------- */

static void namespace_path(pid_t pid, char path[64])
{
    snprintf(path, 64, pid ? "/proc/%d/ns/net" : "/proc/self/ns/net", (int)pid);
}

int nft_namespace(pid_t pid, uint64_t *ret_inode)
{
    char path[64];
    struct stat facts;

    namespace_path(pid, path);
    if (stat(path, &facts) < 0)
        return -errno;
    *ret_inode = facts.st_ino;
    return 0;
}

/* A descriptor of `path` when it is that namespace, -1 when not. */
static int open_when(const char *path, uint64_t inode)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat facts;

    if (fd >= 0 && (fstat(fd, &facts) < 0 || facts.st_ino != inode)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int search(const char *folder, const char *format, uint64_t inode)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;
    int fd = -1;

    while (directory && fd < 0 && (entry = readdir(directory))) {
        char path[320];

        if (entry->d_name[0] == '.' || (strstr(format, "ns/net") && strspn(entry->d_name, "0123456789") != strlen(entry->d_name)))
            continue;
        snprintf(path, sizeof(path), "%s/%.200s%s", folder, entry->d_name, format);
        fd = open_when(path, inode);
    }
    if (directory)
        closedir(directory);
    return fd;
}

static int open_namespace(uint64_t inode, pid_t hint)
{
    char path[64];
    int fd = -1;

    namespace_path(hint, path);
    if (hint)
        fd = open_when(path, inode);
    if (fd < 0)
        fd = search("/run/netns", "", inode);
    return fd < 0 ? search("/proc", "/ns/net", inode) : fd;
}

/* A process left in a foreign namespace would do harm there: it ends instead. */
static void go_home(int home)
{
    if (setns(home, CLONE_NEWNET) < 0)
        abort();
}

int nft_inside(uint64_t inode, pid_t hint, int (*act)(void *context), void *context)
{
    AUTO_CLOSE int home = -1, there = -1;
    uint64_t own = 0;
    int result = nft_namespace(0, &own);

    if (result < 0)
        return result;
    if (own == inode)
        return act(context);
    there = open_namespace(inode, hint);
    home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (there < 0 || home < 0)
        return -ENOENT;
    if (setns(there, CLONE_NEWNET) < 0)
        return -errno;
    result = act(context);
    go_home(home);
    return result;
}
