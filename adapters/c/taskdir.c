/* taskdir.c: see taskdir.h. Where a file lies says what is true; only a link, a rename or an unlink changes that. */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif
#define _DEFAULT_SOURCE 1  /* flock(2) */
#define _DARWIN_C_SOURCE 1 /* flock(2) there */

#include "taskdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef PATH_MAX
_Static_assert(TD_PATH >= PATH_MAX, "realpath(3) writes up to PATH_MAX bytes");
#endif

enum {
    NAME = 96,           /* bytes of an offer's name, with its NUL */
    MESSAGE = 8192,      /* characters of an error's message */
    HOLD_TRIES = 100,    /* the daemon's own look at a lock lasts an instant */
    TWIN_TRIES = 10,     /* of a worker, for what another process of its name may be at */
    HOLD_PAUSE = 10,     /* milliseconds between them */
    LOOK_PAUSE = 50      /* milliseconds between two looks of a wait or of an idle worker */
};

const char *td_words(enum td_error error)
{
    switch (error) {
    case TD_OK: return "done";
    case TD_NOTHING: return "nothing to claim";
    case TD_BENCHED: return "benched: this agent may not claim for a while";
    case TD_UNFINISHED: return "unfinished work comes first: resume or delete it";
    case TD_TAKEN: return "a message of that name is there already";
    case TD_GONE: return "gone, it is no longer yours, stop";
    case TD_HELD: return "another process holds it";
    case TD_FAILED: return "failed, canceled or refused";
    case TD_TIMEOUT: return "the time is up";
    case TD_EMPTY: return "empty";
    case TD_BAD_NAME: return "not a name that the protocol allows here";
    case TD_NO_ROOT: return "no taskdir.json: set TASKDIR, or run `taskdir init`";
    case TD_SYSTEM: return "the system refused";
    }
    return "no such error";
}

/* --- names (SPEC 5) --- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* How many bytes at the start of s make a word; 0 if none does. */
static size_t word_at(const char *s)
{
    size_t n = 0;
    while (n < TD_WORD && ((s[n] >= 'a' && s[n] <= 'z') || is_digit(s[n]) || (n > 0 && (s[n] == '_' || s[n] == '-'))))
        n++;
    return n < TD_WORD ? n : 0;
}

bool td_is_word(const char *name)
{
    size_t n = word_at(name);
    return n > 0 && name[n] == '\0';
}

bool td_is_queue(const char *name) { return td_is_word(name + (name[0] == '@')); }

/* P-NNNNNNNNNNNN.ID.ATTEMPT.json: fills in id and attempt of a claim, which may be NULL. */
static bool parse_offer(const char *name, struct td_claim *claim)
{
    for (size_t i = 0; i < 15; i++)
        if (i == 1 ? name[i] != '-' : i == 14 ? name[i] != '.' : !is_digit(name[i]))
            return false;
    const char *id = name + 15;
    size_t length = word_at(id);
    if (length == 0 || id[length] != '.' || id[length + 1] == '0')
        return false;
    const char *end = id + length + 1;
    unsigned long attempt = 0;
    size_t digits = 0;
    for (; digits < 9 && is_digit(*end); digits++)
        attempt = attempt * 10 + (unsigned long)(*end++ - '0');
    if (digits == 0 || strcmp(end, ".json") != 0)
        return false;
    if (claim != NULL) {
        memcpy(claim->id, id, length);
        claim->id[length] = '\0';
        claim->attempt = attempt;
    }
    return true;
}

/* --- paths and time --- */

__attribute__((format(printf, 2, 3))) static enum td_error path_of(char path[TD_PATH], const char *format, ...)
{
    va_list parts;
    va_start(parts, format);
    int length = vsnprintf(path, TD_PATH, format, parts);
    va_end(parts);
    if (length >= 0 && length < TD_PATH)
        return TD_OK;
    errno = ENAMETOOLONG;
    return TD_SYSTEM;
}

/* The path of a file beside the claimed one: its stem and `suffix`. */
static enum td_error beside(const struct td_claim *claim, const char *suffix, char path[TD_PATH])
{
    return path_of(path, "%.*s%s", (int)(strlen(claim->path) - strlen(".json")), claim->path, suffix);
}

static bool is_file(const char *path)
{
    struct stat found;
    return lstat(path, &found) == 0 && S_ISREG(found.st_mode);
}

static bool is_there(const char *path)
{
    struct stat found;
    return lstat(path, &found) == 0;
}

static void pause_ms(long milliseconds)
{
    struct timespec span = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&span, NULL); /* a signal cuts it short, and whoever waits looks again */
}

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static enum td_error random_hex(char hex[17])
{
    unsigned char bytes[8];
    size_t got = 0;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && got < sizeof bytes) {
        ssize_t n = read(fd, bytes + got, sizeof bytes - got);
        if (n > 0)
            got += (size_t)n;
        else if (n == 0 || errno != EINTR)
            break;
    }
    int why = fd < 0 ? errno : EIO;
    if (fd >= 0)
        close(fd);
    errno = why;
    if (got < sizeof bytes)
        return TD_SYSTEM;
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    return TD_OK;
}

/* --- JSON strings --- */

/* How many bytes make the well-formed UTF-8 character at s; 0 if none does. s ends with a NUL. */
static size_t character_at(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    size_t n = s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;
    unsigned char least = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : 0x80; /* nothing longer than it has to be, */
    unsigned char most = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : 0xBF;  /* no surrogates, nothing past U+10FFFF */
    if (n == 0 || s[1] < least || s[1] > most)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    return n;
}

/* Writes the next character of a text as JSON has it; moves on and returns how many bytes it took. */
static size_t next_json(const char **text, char out[8])
{
    const unsigned char *s = (const unsigned char *)*text;
    size_t n = character_at(s);
    *text += n > 0 ? n : 1;
    if (n == 0)
        return (size_t)snprintf(out, 8, "\xEF\xBF\xBD"); /* U+FFFD */
    if (*s == '"' || *s == '\\')
        return (size_t)snprintf(out, 8, "\\%c", *s);
    if (*s < 0x20)
        return (size_t)snprintf(out, 8, "\\u%04x", (unsigned)*s);
    memcpy(out, s, n);
    return n;
}

size_t td_json_string(char *out, size_t size, const char *text)
{
    size_t length = 0;
    char piece[8] = "\"";
    size_t n = 1;
    for (bool open = true;; n = *text != '\0' ? next_json(&text, piece) : (open = false, piece[0] = '"', (size_t)1)) {
        for (size_t i = 0; i < n; i++, length++)
            if (length + 1 < size)
                out[length] = piece[i];
        if (!open)
            break;
    }
    if (size > 0)
        out[length < size ? length : size - 1] = '\0';
    return length;
}

/* --- writing --- */

/* A file that is being written, with a small buffer; the first error sticks and is kept as an errno. */
struct writer {
    int fd;
    int why;
    size_t used;
    char bytes[2048];
};

static void write_all(struct writer *to, const char *data, size_t length)
{
    while (length > 0 && to->why == 0) {
        ssize_t n = write(to->fd, data, length);
        if (n >= 0) {
            data += n;
            length -= (size_t)n;
        } else if (errno != EINTR) {
            to->why = errno;
        }
    }
}

static void flush(struct writer *to)
{
    write_all(to, to->bytes, to->used);
    to->used = 0;
}

static void put(struct writer *to, const void *data, size_t length)
{
    if (length > sizeof to->bytes - to->used)
        flush(to);
    if (length > sizeof to->bytes) {
        write_all(to, data, length);
        return;
    }
    memcpy(to->bytes + to->used, data, length);
    to->used += length;
}

static void put_words(struct writer *to, const char *words) { put(to, words, strlen(words)); }

/* A text as a JSON string, of at most so many characters. */
static void put_text(struct writer *to, const char *text, size_t most)
{
    char piece[8];
    put_words(to, "\"");
    for (size_t n = 0; *text != '\0' && n < most; n++) {
        size_t length = next_json(&text, piece);
        put(to, piece, length);
    }
    put_words(to, "\"");
}

/* Opens a new dot-file beside where `path` is to be, and tells its name: nobody else's, since a crash may have left
 * one, and another process may be at it. */
static enum td_error open_aside(const char *path, char aside[TD_PATH], struct writer *to)
{
    const char *name = strrchr(path, '/') + 1;
    char hex[17];
    *to = (struct writer){.fd = -1};
    do {
        enum td_error error = random_hex(hex);
        if (error == TD_OK)
            error = path_of(aside, "%.*s.%s.%s", (int)(name - path), path, name, hex);
        if (error != TD_OK)
            return error;
        to->fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (to->fd < 0 && (errno == EEXIST || errno == EINTR));
    return to->fd < 0 ? TD_SYSTEM : TD_OK;
}

/* Makes a name durable. Its failure is nobody's: what was to happen has happened. */
static void sync_directory(const char *path)
{
    char directory[TD_PATH];
    int why = errno, fd = -1;
    if (path_of(directory, "%.*s", (int)(strrchr(path, '/') - path), path) == TD_OK)
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        while (fsync(fd) != 0 && errno == EINTR)
            ;
        close(fd);
    }
    errno = why;
}

/* Gives what was written aside its name: by a link, which never replaces, or by a rename, which does. */
static enum td_error publish(struct writer *from, const char *aside, const char *path, bool replace)
{
    flush(from);
    while (from->why == 0 && fsync(from->fd) != 0 && errno != EINVAL)
        if (errno != EINTR)
            from->why = errno;
    if (close(from->fd) != 0 && from->why == 0 && errno != EINTR)
        from->why = errno;
    if (from->why == 0 && (replace ? rename(aside, path) : link(aside, path)) != 0)
        from->why = errno;
    if (from->why != 0 || !replace)
        unlink(aside);
    if (from->why == 0)
        sync_directory(path);
    errno = from->why;
    return from->why == 0 ? TD_OK : TD_SYSTEM;
}

static bool is_blank(const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (data[i] != ' ' && (data[i] < '\t' || data[i] > '\r'))
            return false;
    return true;
}

/* --- the root, submitting, waiting --- */

enum td_error td_find_root(char root[TD_PATH])
{
    const char *named = getenv("TASKDIR");
    bool given = named != NULL && *named != '\0';
    char marker[TD_PATH];
    struct stat found;
    if (realpath(given ? named : ".", root) == NULL)
        return errno == ENOENT || errno == ENOTDIR ? TD_NO_ROOT : TD_SYSTEM;
    for (;;) {
        if (path_of(marker, "%s/taskdir.json", strcmp(root, "/") == 0 ? "" : root) == TD_OK
            && stat(marker, &found) == 0 && S_ISREG(found.st_mode))
            return TD_OK;
        if (given || strcmp(root, "/") == 0)
            return TD_NO_ROOT;
        char *slash = strrchr(root, '/');
        slash[slash == root] = '\0';
    }
}

enum td_error td_mint(char id[TD_WORD])
{
    char hex[17];
    struct timespec at;
    enum td_error error = random_hex(hex);
    if (error != TD_OK)
        return error;
    clock_gettime(CLOCK_REALTIME, &at);
    unsigned long long micros = (unsigned long long)at.tv_sec * 1000000 + (unsigned long long)at.tv_nsec / 1000;
    snprintf(id, TD_WORD, "t-%013llx-%.12s", micros, hex);
    return TD_OK;
}

enum td_error td_submit(const char *root, const char *id, const void *message, size_t length)
{
    char path[TD_PATH], aside[TD_PATH];
    struct writer to;
    if (!td_is_word(id))
        return TD_BAD_NAME;
    if (length == 0)
        return TD_EMPTY;
    enum td_error error = path_of(path, "%s/inbox/%s.json", root, id);
    if (error == TD_OK)
        error = open_aside(path, aside, &to);
    if (error != TD_OK)
        return error;
    put(&to, message, length);
    error = publish(&to, aside, path, false);
    return error == TD_SYSTEM && errno == EEXIST ? TD_TAKEN : error;
}

enum td_error td_wait(const char *root, const char *id, double seconds, char path[TD_PATH])
{
    char waiting[TD_PATH];
    double start = now();
    if (!td_is_word(id))
        return TD_BAD_NAME;
    if (path_of(waiting, "%s/inbox/%s.json", root, id) != TD_OK
        || path_of(path, "%s/rejected/%s.reason.json", root, id) != TD_OK)
        return TD_SYSTEM;
    for (;; pause_ms(LOOK_PAUSE)) {
        (void)path_of(path, "%s/done/%s.json", root, id); /* they fit: the reason's path is the longest */
        if (is_there(path))
            return TD_OK;
        (void)path_of(path, "%s/failed/%s.json", root, id);
        if (is_there(path))
            return TD_FAILED;
        (void)path_of(path, "%s/rejected/%s.reason.json", root, id);
        if (!is_there(waiting) && is_there(path)) /* in this order: a reason is void once its message is back */
            return TD_FAILED;
        if (seconds >= 0 && now() - start >= seconds)
            return TD_TIMEOUT;
    }
}

/* --- claims --- */

static enum td_error claim_at(const char *directory, const char *name, struct td_claim *claim)
{
    claim->lock = 0;
    if (!parse_offer(name, claim))
        return TD_BAD_NAME;
    return path_of(claim->path, "%s/%s", directory, name);
}

/* The first name of an offer in a directory that comes after `after` in byte order. Each call lists anew, so that a
 * directory of any size needs no memory. */
static enum td_error next_offer(const char *directory, const char *after, char name[NAME])
{
    char least[NAME] = "";
    DIR *listing = opendir(directory);
    if (listing == NULL)
        return errno == ENOENT || errno == ENOTDIR ? TD_NOTHING : TD_SYSTEM;
    struct dirent *entry;
    while (errno = 0, (entry = readdir(listing)) != NULL)
        if (strcmp(entry->d_name, after) > 0 && (least[0] == '\0' || strcmp(entry->d_name, least) < 0)
            && parse_offer(entry->d_name, NULL))
            strcpy(least, entry->d_name); /* an offer's name is shorter than NAME */
    int why = errno;
    closedir(listing);
    errno = why;
    if (why != 0)
        return TD_SYSTEM;
    strcpy(name, least);
    return least[0] == '\0' ? TD_NOTHING : TD_OK;
}

/* Is a claimed file there, and no result beside it? In this order: the daemon takes the task file first. */
static bool is_unfinished(const struct td_claim *claim)
{
    char result[TD_PATH];
    return beside(claim, ".result.json", result) == TD_OK && !is_there(result) && is_file(claim->path);
}

enum td_error td_unfinished(const char *root, const char *agent, struct td_claim *claim)
{
    char mine[TD_PATH], name[NAME] = "";
    if (!td_is_word(agent))
        return TD_BAD_NAME;
    if (claim->path[0] != '\0')
        snprintf(name, sizeof name, "%s", strrchr(claim->path, '/') + 1);
    enum td_error error = path_of(mine, "%s/claimed/%s", root, agent);
    while (error == TD_OK && (error = next_offer(mine, name, name)) == TD_OK)
        if ((error = claim_at(mine, name, claim)) == TD_OK && is_unfinished(claim))
            return TD_OK;
    return error;
}

static bool is_benched(const char *mine)
{
    struct stat found; /* the mode itself, since access(2) tells root nothing */
    return stat(mine, &found) == 0 && (found.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)) == 0;
}

enum td_error td_claim(const char *root, const char *agent, const char *queue, struct td_claim *claim)
{
    char mine[TD_PATH], ready[TD_PATH], offer[TD_PATH], name[NAME] = "";
    int stuck = 0;
    if (!td_is_word(agent) || !td_is_queue(queue) || (queue[0] == '@' && strcmp(queue + 1, agent) != 0))
        return TD_BAD_NAME;
    if (path_of(mine, "%s/claimed/%s", root, agent) != TD_OK || path_of(ready, "%s/ready/%s", root, queue) != TD_OK
        || (mkdir(mine, 0777) != 0 && errno != EEXIST))
        return TD_SYSTEM;
    claim->path[0] = '\0';
    enum td_error error = td_unfinished(root, agent, claim);
    if (error != TD_NOTHING)
        return error == TD_OK ? TD_UNFINISHED : error;
    if (is_benched(mine))
        return TD_BENCHED;
    while ((error = next_offer(ready, name, name)) == TD_OK) {
        if ((error = path_of(offer, "%s/%s", ready, name)) != TD_OK || (error = claim_at(mine, name, claim)) != TD_OK)
            return error;
        if (!is_file(offer))
            continue;
        if (rename(offer, claim->path) == 0)
            return TD_OK;
        int why = errno;
        if (is_there(offer)) /* else somebody was faster */
            stuck = why;
    }
    if (error == TD_NOTHING && stuck != 0) {
        errno = stuck;
        return is_benched(mine) ? TD_BENCHED : TD_SYSTEM;
    }
    return error;
}

enum td_error td_open(const char *path, struct td_claim *claim)
{
    const char *slash = strrchr(path, '/');
    char given[TD_PATH] = ".", directory[TD_PATH];
    if (!parse_offer(slash != NULL ? slash + 1 : path, NULL))
        return TD_BAD_NAME;
    if (slash != NULL && path_of(given, "%.*s", (int)(slash - path) + (slash == path), path) != TD_OK)
        return TD_SYSTEM;
    if (realpath(given, directory) == NULL)
        return errno == ENOENT || errno == ENOTDIR ? TD_GONE : TD_SYSTEM;
    const char *agent = strrchr(directory, '/'), *place = "/claimed";
    size_t length = strlen(place);
    if (!td_is_word(agent + 1) || (size_t)(agent - directory) < length
        || strncmp(agent - length, place, length) != 0)
        return TD_BAD_NAME;
    enum td_error error = claim_at(directory, slash != NULL ? slash + 1 : path, claim);
    return error == TD_OK ? td_check(claim) : error;
}

enum td_error td_check(const struct td_claim *claim)
{
    struct stat found;
    if (lstat(claim->path, &found) == 0)
        return S_ISREG(found.st_mode) ? TD_OK : TD_GONE;
    return errno == ENOENT || errno == ENOTDIR ? TD_GONE : TD_SYSTEM; /* after any other error nothing is concluded */
}

enum td_error td_keep(const struct td_claim *claim)
{
    if (utimensat(AT_FDCWD, claim->path, NULL, AT_SYMLINK_NOFOLLOW) == 0) /* it never makes the file again */
        return TD_OK;
    return errno == ENOENT || errno == ENOTDIR ? TD_GONE : TD_SYSTEM;
}

enum td_error td_note(const struct td_claim *claim, const char *text)
{
    char path[TD_PATH], at[32];
    struct tm parts;
    time_t seconds = time(NULL);
    struct writer to = {.fd = -1};
    enum td_error error = td_check(claim);
    if (error == TD_OK)
        error = beside(claim, ".notes.jsonl", path);
    if (error != TD_OK)
        return error;
    do
        to.fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    while (to.fd < 0 && errno == EINTR);
    if (to.fd < 0)
        return TD_SYSTEM;
    strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &parts));
    put_words(&to, "{\"time\":\"");
    put_words(&to, at);
    put_words(&to, "\",\"text\":");
    put_text(&to, text, SIZE_MAX);
    put_words(&to, "}\n");
    flush(&to); /* one write, unless the note is long */
    if (close(to.fd) != 0 && to.why == 0 && errno != EINTR)
        to.why = errno;
    errno = to.why;
    return to.why == 0 ? TD_OK : TD_SYSTEM;
}

static enum td_error hold(struct td_claim *claim, int tries)
{
    struct stat locked, named;
    int fd;
    td_release(claim);
    do
        fd = open(claim->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    while (fd < 0 && errno == EINTR);
    if (fd == 0) { /* stdin was closed; 0 means "no lock" here */
        fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
        close(0);
    }
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? TD_GONE : TD_SYSTEM;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int why = errno;
        if (why == EINTR || (why == EWOULDBLOCK && --tries > 0)) {
            pause_ms(why == EINTR ? 0 : HOLD_PAUSE);
            continue;
        }
        close(fd);
        errno = why;
        return why == EWOULDBLOCK ? TD_HELD : TD_SYSTEM;
    }
    if (fstat(fd, &locked) != 0 || lstat(claim->path, &named) != 0 || locked.st_dev != named.st_dev
        || locked.st_ino != named.st_ino) { /* it went, or another took its place, while we waited */
        close(fd);
        return TD_GONE;
    }
    claim->lock = fd;
    return TD_OK;
}

enum td_error td_hold(struct td_claim *claim) { return hold(claim, HOLD_TRIES); }

void td_release(struct td_claim *claim)
{
    int why = errno;
    if (claim->lock > 0)
        close(claim->lock);
    claim->lock = 0;
    errno = why;
}

/* Begins a result: checks that the task is still there, and opens the file aside. */
static enum td_error open_result(const struct td_claim *claim, char path[TD_PATH], char aside[TD_PATH],
                                 struct writer *to)
{
    enum td_error error = td_check(claim);
    if (error == TD_OK)
        error = beside(claim, ".result.json", path);
    return error == TD_OK ? open_aside(path, aside, to) : error;
}

enum td_error td_finish(const struct td_claim *claim, const void *output, size_t length)
{
    char path[TD_PATH], aside[TD_PATH];
    struct writer to;
    if (is_blank(output, length))
        return TD_EMPTY;
    enum td_error error = open_result(claim, path, aside, &to);
    if (error != TD_OK)
        return error;
    put_words(&to, "{\"status\":\"ok\",\"output\":");
    put(&to, output, length);
    put_words(&to, "}\n");
    return publish(&to, aside, path, true);
}

enum td_error td_fail(const struct td_claim *claim, const char *code, const char *message, bool retry)
{
    char path[TD_PATH], aside[TD_PATH];
    struct writer to;
    if (code != NULL && !td_is_word(code))
        return TD_BAD_NAME;
    if (*message == '\0')
        return TD_EMPTY;
    enum td_error error = open_result(claim, path, aside, &to);
    if (error != TD_OK)
        return error;
    put_words(&to, "{\"status\":\"error\",\"error\":{");
    if (code != NULL) {
        put_words(&to, "\"code\":\"");
        put_words(&to, code);
        put_words(&to, "\",");
    }
    put_words(&to, "\"message\":");
    put_text(&to, message, MESSAGE);
    put_words(&to, retry ? "},\"retry\":true}\n" : "}}\n");
    return publish(&to, aside, path, true);
}

enum td_error td_give_back(const struct td_claim *claim)
{
    if (unlink(claim->path) == 0)
        return TD_OK;
    return errno == ENOENT || errno == ENOTDIR ? TD_GONE : TD_SYSTEM;
}

/* --- the worker loop --- */

/* Was a result of this claim refused? Then nobody here will mend it. */
static bool is_refused(const struct td_claim *claim)
{
    char refused[TD_PATH];
    return beside(claim, ".refused.json", refused) == TD_OK && is_there(refused);
}

bool td_has_result(const struct td_claim *claim)
{
    char result[TD_PATH];
    return (beside(claim, ".result.json", result) == TD_OK && is_there(result)) || is_refused(claim);
}

static enum td_error fail_refused(const struct td_claim *claim)
{
    enum td_error error = td_fail(claim, "refused", "the daemon refused the result, the log says why", true);
    return error == TD_GONE ? TD_OK : error;
}

/* Gets the next task, locked if there are locks. TD_NOTHING: look again later. */
static enum td_error take(const char *root, const struct td_worker *worker, struct td_claim *claim)
{
    bool others = false;
    enum td_error error;
    claim->path[0] = '\0';
    while ((error = td_unfinished(root, worker->agent, claim)) == TD_OK) {
        enum td_error held = hold(claim, TWIN_TRIES);
        if (held == TD_HELD || held == TD_GONE || !is_unfinished(claim)) { /* another process of this name is at it */
            others = others || held == TD_HELD;
            td_release(claim);
            continue;
        }
        if (!is_refused(claim))
            return TD_OK;
        error = fail_refused(claim);
        td_release(claim);
        if (error != TD_OK)
            return error;
    }
    if (error != TD_NOTHING || others)
        return error;
    error = td_claim(root, worker->agent, worker->queue != NULL ? worker->queue : "default", claim);
    if (error != TD_OK)
        return error == TD_UNFINISHED || error == TD_BENCHED ? TD_NOTHING : error;
    enum td_error held = hold(claim, HOLD_TRIES);
    if (held == TD_HELD || held == TD_GONE || !is_unfinished(claim)) { /* it was quick to take it up */
        td_release(claim);
        return TD_NOTHING;
    }
    return TD_OK;
}

enum td_error td_work(const char *root, const struct td_worker *worker, td_handler *handler, void *context)
{
    struct td_claim claim = {.lock = 0};
    unsigned long tasks = 0;
    double since = now();
    while (worker->stop == NULL || *worker->stop == 0) {
        enum td_error error = take(root, worker, &claim);
        if (error == TD_NOTHING) {
            double left = worker->idle < 0 ? 1 : worker->idle - (now() - since);
            if (left <= 0)
                return TD_OK;
            pause_ms(left * 1000 < LOOK_PAUSE ? (long)(left * 1000) + 1 : LOOK_PAUSE);
            continue;
        }
        if (error != TD_OK) {
            td_release(&claim);
            return error;
        }
        error = handler(&claim, context);
        int why = errno;
        if (is_unfinished(&claim)) /* the daemon may have judged already */
            (void)(is_refused(&claim) ? fail_refused(&claim) : td_give_back(&claim));
        td_release(&claim);
        errno = why;
        if (error != TD_OK && error != TD_GONE)
            return error;
        if (++tasks == worker->tasks)
            return TD_OK;
        since = now();
    }
    return TD_OK;
}
