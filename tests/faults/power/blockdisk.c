/* A disk that remembers: one image file behind FUSE, to lie under a loop device (tests/faults/power/disk.py).
 *
 *   blockdisk IMAGE JOURNAL MOUNTPOINT        in the foreground; says "ready" once it is mounted
 *
 * Shows two files. "disk" is IMAGE; each write and each flush of it goes to JOURNAL before it is answered. To "control"
 * one sends, one line a write:
 *
 *   mark TEXT                        put TEXT into the journal, between the writes before it and those after
 *   fail OP OFFSET HEX               from now on OP (read, write, flush) answers EIO; reads and writes only for 4-KiB
 *                                    blocks that hold these bytes, at OFFSET of a 512-byte sector if OFFSET is not -1
 *   heal                             forget all failures; the journal then gets a mark "failed N", N calls
 *
 * JOURNAL is a sequence of: kind (one of W, F, M), offset (8 bytes), length (4 bytes), both as this machine has them,
 * and so many bytes. One thread: what is written while a flush is on its way comes before it or after it.
 */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BLOCK = 4096, SECTOR = 512, RULES = 8, LONGEST = 64 };

struct rule {
    char op;                              /* r, w or f */
    long at;                              /* offset in a sector, -1: anywhere */
    size_t length;
    unsigned char bytes[LONGEST];
};

static int image, journal;
static off_t size;
static struct rule rules[RULES];
static int ruled, failed;

static int note(char kind, uint64_t offset, const void *data, uint32_t length)
{
    unsigned char head[13];
    struct iovec parts[2] = {{head, sizeof head}, {(void *)data, length}};

    head[0] = (unsigned char)kind;
    memcpy(head + 1, &offset, 8);
    memcpy(head + 9, &length, 4);
    return writev(journal, parts, 2) == (ssize_t)(sizeof head + length) ? 0 : -1;
}

static int holds(const struct rule *rule, const unsigned char *block, size_t length)
{
    if (rule->at < 0)
        return memmem(block, length, rule->bytes, rule->length) != NULL;
    for (size_t at = (size_t)rule->at; at + rule->length <= length; at += SECTOR)
        if (memcmp(block + at, rule->bytes, rule->length) == 0)
            return 1;
    return 0;
}

static int fails(char op, const void *data, size_t length)
{
    for (int each = 0; each < ruled; each++) {
        if (rules[each].op != op)
            continue;
        if (op == 'f')
            return ++failed;
        for (size_t at = 0; at < length; at += BLOCK) {
            size_t left = length - at < BLOCK ? length - at : BLOCK;
            if (holds(&rules[each], (const unsigned char *)data + at, left))
                return ++failed;
        }
    }
    return 0;
}

static int obey(const char *text, size_t length)
{
    char line[512], word[16], hex[2 * LONGEST + 1] = "";
    struct rule *rule = &rules[ruled];

    if (length >= sizeof line)
        return -EMSGSIZE;
    memcpy(line, text, length);
    line[length] = '\0';
    if (strncmp(line, "mark ", 5) == 0)
        return note('M', 0, text + 5, (uint32_t)(length - 5)) ? -EIO : (int)length;
    if (strncmp(line, "heal", 4) == 0) {
        int long_is = snprintf(line, sizeof line, "failed %d", failed);
        ruled = failed = 0;
        return note('M', 0, line, (uint32_t)long_is) ? -EIO : (int)length;
    }
    if (ruled == RULES || sscanf(line, "fail %15s %ld %128s", word, &rule->at, hex) < 2)
        return -EINVAL;
    rule->op = word[0];
    rule->length = strlen(hex) / 2;
    for (size_t each = 0; each < rule->length; each++)
        if (sscanf(hex + 2 * each, "%2hhx", &rule->bytes[each]) != 1)
            return -EINVAL;
    ruled++;
    return (int)length;
}

static int is_disk(const char *path) { return strcmp(path, "/disk") == 0; }
static int is_control(const char *path) { return strcmp(path, "/control") == 0; }

static int get_attributes(const char *path, struct stat *found, struct fuse_file_info *info)
{
    (void)info;
    memset(found, 0, sizeof *found);
    found->st_nlink = 1;
    found->st_mode = strcmp(path, "/") == 0 ? S_IFDIR | 0700 : S_IFREG | 0600;
    found->st_size = is_disk(path) ? size : 0;
    return is_disk(path) || is_control(path) || S_ISDIR(found->st_mode) ? 0 : -ENOENT;
}

static int list(const char *path, void *into, fuse_fill_dir_t fill, off_t at, struct fuse_file_info *info,
                enum fuse_readdir_flags flags)
{
    (void)path, (void)at, (void)info, (void)flags;
    fill(into, "disk", NULL, 0, 0);
    fill(into, "control", NULL, 0, 0);
    return 0;
}

static int open_file(const char *path, struct fuse_file_info *info)
{
    (void)path;
    info->direct_io = 1;                  /* each request as the loop device sends it */
    return 0;
}

static int cut(const char *path, off_t length, struct fuse_file_info *info)
{
    (void)path, (void)length, (void)info; /* a shell's > does it to control */
    return 0;
}

static int read_some(const char *path, char *into, size_t length, off_t at, struct fuse_file_info *info)
{
    ssize_t got = is_disk(path) ? pread(image, into, length, at) : 0;

    (void)info;
    return got < 0 || fails('r', into, (size_t)got) ? -EIO : (int)got;
}

static int write_some(const char *path, const char *data, size_t length, off_t at, struct fuse_file_info *info)
{
    (void)info;
    if (is_control(path))
        return obey(data, length);
    if (fails('w', data, length) || note('W', (uint64_t)at, data, (uint32_t)length))
        return -EIO;
    return pwrite(image, data, length, at) == (ssize_t)length ? (int)length : -EIO;
}

static int flush_all(const char *path, int data_only, struct fuse_file_info *info)
{
    (void)data_only, (void)info;
    return is_disk(path) && (fails('f', NULL, 0) || note('F', 0, NULL, 0)) ? -EIO : 0;
}

static void *say_ready(struct fuse_conn_info *connection, struct fuse_config *config)
{
    (void)connection, (void)config;
    puts("ready");
    fflush(stdout);
    return NULL;
}

int main(int count, char **words)
{
    static const struct fuse_operations operations = {
        .getattr = get_attributes, .readdir = list, .open = open_file, .truncate = cut, .read = read_some,
        .write = write_some, .fsync = flush_all, .init = say_ready,
    };
    char *options[] = {words[0], "-f", "-s", words[3], NULL};
    struct stat found;

    if (count != 4) {
        fputs("usage: blockdisk IMAGE JOURNAL MOUNTPOINT\n", stderr);
        return 2;
    }
    image = open(words[1], O_RDWR | O_CLOEXEC);
    journal = open(words[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (image < 0 || journal < 0 || fstat(image, &found) < 0) {
        perror("blockdisk");
        return 1;
    }
    size = found.st_size;
    return fuse_main(4, options, &operations, NULL);
}
