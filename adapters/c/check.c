/* check.c: the tests of taskdir.c, a function each, played in a fresh root each. The first fault ends the run. */
#define _XOPEN_SOURCE 700
#define _DEFAULT_SOURCE 1

#include "taskdir.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(true_) ((true_) ? (void)0 : fault(__LINE__, #true_))
#define SAME(one, other) (same(__LINE__, (one), (other)))
#define OFFER "5-000000000001.a1.1.json"
#define STEM "5-000000000001.a1.1"

static char root[TD_PATH];

static void fault(int line, const char *what)
{
    fprintf(stderr, "check.c:%d: not so: %s (errno: %s)\n", line, what, strerror(errno));
    exit(1);
}

static void same(int line, const char *one, const char *other)
{
    if (strcmp(one, other) == 0)
        return;
    fprintf(stderr, "check.c:%d: not the same:\n%s\n%s\n", line, one, other);
    exit(1);
}

/* --- the tree --- */

static const char *in_root(const char *name)
{
    static char path[2 * TD_PATH];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(in_root(name), "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static const char *get(const char *name)
{
    static char text[200000];
    FILE *file = fopen(in_root(name), "r");
    if (file == NULL)
        return "(not there)";
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static bool there(const char *name)
{
    struct stat found;
    return lstat(in_root(name), &found) == 0;
}

static char listed[10000];

static int list(const char *path, const struct stat *found, int kind, struct FTW *at)
{
    (void)found;
    (void)at;
    if (kind != FTW_D && strcmp(path + strlen(root), "/taskdir.json") != 0)
        snprintf(listed + strlen(listed), sizeof listed - strlen(listed), "%s ", path + strlen(root) + 1);
    return 0;
}

/* The path of the only file in the root, taskdir.json aside. */
static const char *tree(void)
{
    listed[0] = '\0';
    CHECK(nftw(root, list, 8, FTW_PHYS) == 0);
    return listed;
}

static int delete(const char *path, const struct stat *found, int kind, struct FTW *at)
{
    (void)found;
    (void)kind;
    (void)at;
    return remove(path);
}

/* A claimed task of the agent "me". */
static struct td_claim claimed(void)
{
    struct td_claim claim;
    put("ready/default/" OFFER, "{\"id\":\"a1\"}");
    CHECK(td_claim(root, "me", "default", &claim) == TD_OK);
    return claim;
}

/* --- names and texts --- */

static void names_outside_the_grammar_are_refused(void)
{
    static const char *const bad[] = {"", "-x", "_x", "Ab", "a.b", "a b", "a/b", "..", "\xC3\xA9", "a\n", "a\xFF", "*",
                                      "@a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct td_claim claim = claimed(), other = {.lock = 0};
    char path[TD_PATH];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(!td_is_word(bad[i]));
        CHECK(td_submit(root, bad[i], "{}", 2) == TD_BAD_NAME);
        CHECK(td_claim(root, bad[i], "default", &other) == TD_BAD_NAME);
        CHECK(td_claim(root, "you", bad[i], &other) == TD_BAD_NAME);
        CHECK(td_wait(root, bad[i], 0, path) == TD_BAD_NAME);
        CHECK(td_fail(&claim, bad[i], "m", false) == TD_BAD_NAME);
    }
    CHECK(td_is_word("0") && td_is_word("a-_9") && td_is_queue("@a") && !td_is_queue("@") && !td_is_queue("@@a"));
    CHECK(td_is_word("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    SAME(tree(), "claimed/me/" OFFER " ");
}

static void a_path_is_that_of_a_claimed_task(void)
{
    struct td_claim claim = claimed(), found;
    CHECK(td_open(claim.path, &found) == TD_OK);
    SAME(found.path, claim.path);
    SAME(found.id, "a1");
    CHECK(found.attempt == 1 && found.lock == 0);
    CHECK(chdir(in_root("claimed/me")) == 0 && td_open(OFFER, &found) == TD_OK);
    SAME(found.path, claim.path);
    CHECK(td_open("../me/" OFFER, &found) == TD_OK);
    CHECK(td_open("../you/" OFFER, &found) == TD_GONE);
    CHECK(td_open("5-000000000002.a1.1.json", &found) == TD_GONE);
    CHECK(td_open("x.json", &found) == TD_BAD_NAME);
    put("ready/default/" OFFER, "{}");
    CHECK(td_open(in_root("ready/default/" OFFER), &found) == TD_BAD_NAME);
    static const char *const bad[] = {"5-1.a1.1.json", "x-000000000001.a1.1.json", "5-000000000001.a1.0.json",
                                      "5-000000000001.a1.01.json", "5-000000000001.a1.1234567890.json",
                                      "5-000000000001.a1.json", "5-000000000001..1.json", "5-000000000001.a1.1.jsonl",
                                      "5-000000000001.A1.1.json", "5-000000000001.a1.1.result.json", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(td_open(bad[i], &found) == TD_BAD_NAME);
    CHECK(chdir("/") == 0);
}

static void texts_become_json_strings(void)
{
    static const struct {
        const char *text, *json;
    } known[] = {
        {"", "\"\""},
        {"a\"b\\c/", "\"a\\\"b\\\\c/\""},
        {"\n\t\x01\x1f\x7f", "\"\\u000a\\u0009\\u0001\\u001f\x7f\""},
        {"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80", "\"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\""},
        {"\xF4\x8F\xBF\xBF", "\"\xF4\x8F\xBF\xBF\""},
        {"\xED\x9F\xBF\xEE\x80\x80", "\"\xED\x9F\xBF\xEE\x80\x80\""},
        {"\xC3", "\"\xEF\xBF\xBD\""},                                     /* cut off */
        {"\xFFx", "\"\xEF\xBF\xBDx\""},                                   /* never a byte of UTF-8 */
        {"\xC0\xAF", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},                     /* longer than it has to be */
        {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},     /* a surrogate */
        {"\xF4\x90\x80\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""}, /* past U+10FFFF */
    };
    char out[200];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        CHECK(td_json_string(out, sizeof out, known[i].text) == strlen(known[i].json));
        SAME(out, known[i].json);
        for (size_t size = 0; size <= strlen(known[i].json); size++) { /* cut, and never past the end */
            char *exact = malloc(size + 1);
            CHECK(exact != NULL);
            exact[size] = 'x';
            CHECK(td_json_string(exact, size, known[i].text) == strlen(known[i].json));
            CHECK(exact[size] == 'x' && (size == 0 || strlen(exact) == size - 1));
            free(exact);
        }
    }
}

/* --- submitting and waiting --- */

static void submit_never_replaces(void)
{
    CHECK(td_submit(root, "x", "first", 5) == TD_OK);
    CHECK(td_submit(root, "x", "second", 6) == TD_TAKEN);
    CHECK(symlink("nowhere", in_root("inbox/link.json")) == 0 && mkdir(in_root("inbox/dir.json"), 0777) == 0);
    CHECK(td_submit(root, "link", "x", 1) == TD_TAKEN && td_submit(root, "dir", "x", 1) == TD_TAKEN);
    CHECK(td_submit(root, "empty", "", 0) == TD_EMPTY);
    SAME(get("inbox/x.json"), "first");
    CHECK(unlink(in_root("inbox/link.json")) == 0);
    SAME(tree(), "inbox/x.json ");
}

static void of_eight_that_submit_one_name_one_wins(void)
{
    int won = 0, status, go[2];
    CHECK(pipe(go) == 0);
    for (int i = 0; i < 8; i++)
        if (fork() == 0) {
            char c;
            close(go[1]);
            _exit(read(go[0], &c, 1) == 0 && td_submit(root, "x", "0123456789" + i, 1) == TD_OK ? 0 : 1);
        }
    close(go[1]);
    while (wait(&status) > 0)
        won += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    close(go[0]);
    CHECK(won == 1);
    SAME(tree(), "inbox/x.json ");
}

static void what_cannot_be_written_leaves_nothing_and_keeps_errno(void)
{
    char long_root[TD_PATH];
    memset(long_root, 'x', sizeof long_root - 1);
    long_root[sizeof long_root - 1] = '\0';
    CHECK(td_submit(long_root, "x", "{}", 2) == TD_SYSTEM && errno == ENAMETOOLONG);
    CHECK(rmdir(in_root("inbox")) == 0);
    CHECK(td_submit(root, "x", "{}", 2) == TD_SYSTEM && errno == ENOENT);
    struct td_claim claim = claimed();
    CHECK(mkdir(in_root("claimed/me/" STEM ".result.json"), 0777) == 0);
    CHECK(td_finish(&claim, "1", 1) == TD_SYSTEM && errno == EISDIR);
    SAME(tree(), "claimed/me/" OFFER " ");
}

static void minted_ids_are_words_and_differ(void)
{
    char one[TD_WORD], other[TD_WORD];
    CHECK(td_mint(one) == TD_OK && td_mint(other) == TD_OK);
    CHECK(td_is_word(one) && td_is_word(other) && strcmp(one, other) != 0);
}

static void wait_tells_what_became_of_it(void)
{
    char path[TD_PATH];
    CHECK(td_wait(root, "x", 0, path) == TD_TIMEOUT);
    put("rejected/x.reason.json", "{}");
    put("inbox/x.json", "{}");
    CHECK(td_wait(root, "x", 0, path) == TD_TIMEOUT); /* its repair is not judged yet */
    CHECK(unlink(in_root("inbox/x.json")) == 0);
    CHECK(td_wait(root, "x", 0, path) == TD_FAILED);
    SAME(path, in_root("rejected/x.reason.json"));
    put("failed/x.json", "{}");
    CHECK(td_wait(root, "x", -1, path) == TD_FAILED);
    SAME(path, in_root("failed/x.json"));
    put("done/x.json", "{}");
    CHECK(td_wait(root, "x", -1, path) == TD_OK);
    SAME(path, in_root("done/x.json"));
}

/* --- claiming --- */

static void claim_takes_the_first_name_in_byte_order(void)
{
    struct td_claim claim;
    CHECK(td_claim(root, "me", "default", &claim) == TD_NOTHING);
    CHECK(td_claim(root, "me", "absent", &claim) == TD_NOTHING);
    CHECK(td_claim(root, "me", "@you", &claim) == TD_BAD_NAME);
    put("ready/default/5-000000000011.b.1.json", "{}");
    put("ready/default/5-000000000002.a.12.json", "{}");
    put("ready/default/0-000000000099.c.1.json", "{}");
    put("ready/default/README", "");
    put("ready/default/.5-000000000001.t.1.json", "");
    CHECK(mkdir(in_root("ready/default/0-000000000001.d.1.json"), 0777) == 0);
    CHECK(td_claim(root, "me", "default", &claim) == TD_OK);
    SAME(claim.path, in_root("claimed/me/0-000000000099.c.1.json"));
    CHECK(td_claim(root, "you", "default", &claim) == TD_OK);
    SAME(claim.path, in_root("claimed/you/5-000000000002.a.12.json"));
    SAME(claim.id, "a");
    CHECK(claim.attempt == 12 && claim.lock == 0);
}

static void unfinished_work_comes_first(void)
{
    struct td_claim claim = claimed(), other = {.lock = 0};
    put("ready/default/5-000000000002.b.1.json", "{}");
    put("claimed/me/5-000000000003.c.1.json", "{}");
    CHECK(td_claim(root, "me", "default", &other) == TD_UNFINISHED);
    SAME(other.path, claim.path);
    CHECK(td_unfinished(root, "me", &other) == TD_OK);
    SAME(other.id, "c");
    CHECK(td_unfinished(root, "me", &other) == TD_NOTHING);
    CHECK(td_give_back(&claim) == TD_OK && td_open(in_root("claimed/me/5-000000000003.c.1.json"), &other) == TD_OK);
    CHECK(td_finish(&other, "1", 1) == TD_OK); /* now it waits for its verdict only */
    CHECK(td_claim(root, "me", "default", &claim) == TD_OK);
    SAME(claim.id, "b");
}

static void a_benched_agent_claims_nothing(void)
{
    struct td_claim claim;
    put("ready/default/" OFFER, "{}");
    CHECK(mkdir(in_root("claimed/me"), 0555) == 0);
    CHECK(td_claim(root, "me", "default", &claim) == TD_BENCHED);
    CHECK(there("ready/default/" OFFER) && chmod(in_root("claimed/me"), 0755) == 0);
    CHECK(td_claim(root, "me", "default", &claim) == TD_OK);
}

static void eight_agents_win_each_offer_once(void)
{
    int go[2], won[2], status;
    char name[100], c, seen[100] = "";
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "ready/default/5-%012d.t%d.1.json", i, i);
        put(name, "{}");
    }
    CHECK(pipe(go) == 0 && pipe(won) == 0);
    for (int agent = 0; agent < 8; agent++)
        if (fork() == 0) {
            struct td_claim claim;
            char me[2] = {(char)('a' + agent), '\0'};
            enum td_error error;
            close(go[1]);
            CHECK(read(go[0], &c, 1) == 0);
            while ((error = td_claim(root, me, "default", &claim)) == TD_OK) {
                c = (char)atoi(claim.id + 1);
                CHECK(write(won[1], &c, 1) == 1 && td_finish(&claim, "1", 1) == TD_OK);
            }
            _exit(error == TD_NOTHING ? 0 : 1);
        }
    close(go[0]);
    close(go[1]);
    close(won[1]);
    while (read(won[0], &c, 1) == 1)
        CHECK(seen[(int)c]++ == 0);
    close(won[0]);
    while (wait(&status) > 0)
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (int i = 0; i < 100; i++)
        CHECK(seen[i] == 1);
}

/* --- what one does with a claim --- */

static void results_hold_the_bytes_as_they_are(void)
{
    struct td_claim claim = claimed();
    CHECK(td_finish(&claim, " \n\t\v\f\r", 6) == TD_EMPTY && td_finish(&claim, "", 0) == TD_EMPTY);
    CHECK(td_fail(&claim, NULL, "", false) == TD_EMPTY);
    CHECK(!there("claimed/me/" STEM ".result.json"));
    CHECK(td_finish(&claim, "{\"n\": 1.50}\n\0", 13) == TD_OK);
    SAME(get("claimed/me/" STEM ".result.json"), "{\"status\":\"ok\",\"output\":{\"n\": 1.50}\n");
    CHECK(td_fail(&claim, NULL, "no \"luck\"", false) == TD_OK);
    SAME(get("claimed/me/" STEM ".result.json"),
         "{\"status\":\"error\",\"error\":{\"message\":\"no \\\"luck\\\"\"}}\n");
    CHECK(td_fail(&claim, "bad-luck", "no\xFF", true) == TD_OK);
    SAME(get("claimed/me/" STEM ".result.json"),
         "{\"status\":\"error\",\"error\":{\"code\":\"bad-luck\",\"message\":\"no\xEF\xBF\xBD\"},\"retry\":true}\n");
    CHECK(there("claimed/me/" OFFER));
}

static void a_message_is_cut_between_characters(void)
{
    struct td_claim claim = claimed();
    static char text[20001], wanted[20101];
    for (size_t i = 0; i < sizeof text - 1; i++)
        text[i] = "\xC3\xBC"[i % 2];
    CHECK(td_fail(&claim, NULL, text, false) == TD_OK);
    text[2 * 8192] = '\0';
    snprintf(wanted, sizeof wanted, "{\"status\":\"error\",\"error\":{\"message\":\"%s\"}}\n", text);
    SAME(get("claimed/me/" STEM ".result.json"), wanted);
}

static void an_output_of_any_length_is_written_whole(void)
{
    struct td_claim claim = claimed();
    static char output[100001];
    for (size_t length = 2000; length < sizeof output; length = length * 3 / 2) {
        memset(output, '1', length);
        CHECK(td_finish(&claim, output, length) == TD_OK);
        CHECK(strlen(get("claimed/me/" STEM ".result.json")) == strlen("{\"status\":\"ok\",\"output\":}\n") + length);
    }
}

static void notes_are_lines(void)
{
    struct td_claim claim = claimed();
    CHECK(td_note(&claim, "one\ntwo") == TD_OK && td_note(&claim, "") == TD_OK);
    const char *lines = get("claimed/me/" STEM ".notes.jsonl"), *first = "{\"time\":\"";
    const char *text = "\",\"text\":\"one\\u000atwo\"}\n";
    CHECK(strncmp(lines, first, strlen(first)) == 0);
    CHECK(strncmp(lines + strlen(first) + 20, text, strlen(text)) == 0 && lines[strlen(first) + 19] == 'Z');
    lines += strlen(first) + 20 + strlen(text);
    CHECK(strlen(lines) == strlen(first) + 20 + strlen("\",\"text\":\"\"}\n"));
}

static void keep_renews_the_lease(void)
{
    struct td_claim claim = claimed();
    struct timeval old[2] = {{1, 0}, {1, 0}};
    struct stat found;
    CHECK(utimes(claim.path, old) == 0 && td_keep(&claim) == TD_OK);
    CHECK(stat(claim.path, &found) == 0 && found.st_mtime > 1);
}

static void nothing_is_done_to_a_claim_that_is_gone(void)
{
    struct td_claim claim = claimed();
    CHECK(td_check(&claim) == TD_OK && td_give_back(&claim) == TD_OK);
    CHECK(td_check(&claim) == TD_GONE && td_keep(&claim) == TD_GONE && td_note(&claim, "x") == TD_GONE);
    CHECK(td_finish(&claim, "1", 1) == TD_GONE && td_fail(&claim, NULL, "x", false) == TD_GONE);
    CHECK(td_give_back(&claim) == TD_GONE && td_hold(&claim) == TD_GONE && claim.lock == 0);
    SAME(tree(), "");
}

/* Asks from another process whether the claimed file is locked. */
static bool seen_locked(void)
{
    int status;
    if (fork() == 0) {
        int fd = open(in_root("claimed/me/" OFFER), O_RDONLY);
        _exit(flock(fd, LOCK_SH | LOCK_NB) == 0 ? 0 : errno == EWOULDBLOCK ? 1 : 2);
    }
    CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 1;
}

static void a_hold_is_seen_by_other_processes(void)
{
    struct td_claim claim = claimed(), twin = claim;
    CHECK(!seen_locked() && td_hold(&claim) == TD_OK && claim.lock > 0 && seen_locked());
    CHECK((fcntl(claim.lock, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(td_hold(&twin) == TD_HELD && twin.lock == 0);
    CHECK(td_finish(&claim, "1", 1) == TD_OK && seen_locked());
    td_release(&claim);
    CHECK(claim.lock == 0 && !seen_locked());
    int in = dup(0); /* with stdin closed a hold must not get its number, which means "none" */
    close(0);
    CHECK(td_hold(&claim) == TD_OK && claim.lock > 0 && fcntl(0, F_GETFD) == -1 && seen_locked());
    td_release(&claim);
    CHECK(dup2(in, 0) == 0 && close(in) == 0);
}

static void ignore(int sig) { (void)sig; }

static void signals_neither_end_nor_fail_a_gesture(void)
{
    struct sigaction action = {.sa_handler = ignore}; /* no SA_RESTART: calls fail with EINTR */
    struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
    char path[TD_PATH], *big = calloc(1, 1 << 22);
    struct td_claim claim = claimed(), twin = claim;
    CHECK(big != NULL && sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
    CHECK(td_submit(root, "x", memset(big, ' ', 1 << 22), 1 << 22) == TD_OK);
    big[0] = '1';
    CHECK(td_hold(&claim) == TD_OK && td_hold(&twin) == TD_HELD);
    CHECK(td_note(&claim, "x") == TD_OK && td_keep(&claim) == TD_OK && td_finish(&claim, big, 1 << 22) == TD_OK);
    CHECK(td_wait(root, "x", 0.1, path) == TD_TIMEOUT);
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    free(big);
    td_release(&claim);
}

/* --- the worker loop --- */

struct seen {
    char ids[100];
    int locked;
    volatile sig_atomic_t stop;
    enum td_error (*then)(struct td_claim *claim);
};

static enum td_error handler(struct td_claim *claim, void *context)
{
    struct seen *seen = context;
    strcat(strcat(seen->ids, claim->id), " ");
    seen->locked += claim->lock > 0;
    seen->stop = seen->stop != 0 ? seen->stop - 1 : 0;
    return seen->then(claim);
}

static enum td_error finishing(struct td_claim *claim) { return td_finish(claim, "1", 1); }
static enum td_error leaving(struct td_claim *claim)
{
    (void)claim;
    return TD_OK;
}
static enum td_error losing(struct td_claim *claim)
{
    CHECK(td_give_back(claim) == TD_OK);
    return td_finish(claim, "1", 1);
}
static enum td_error breaking(struct td_claim *claim)
{
    (void)claim;
    errno = ENOSPC;
    return TD_SYSTEM;
}

static void work_takes_up_what_was_left_then_claims(void)
{
    struct td_worker worker = {.agent = "me"}; /* idle 0: it ends once there is nothing */
    struct seen seen = {.then = finishing};
    (void)claimed();
    put("ready/default/5-000000000000.first.1.json", "{}");
    put("ready/default/5-000000000003.last.1.json", "{}");
    CHECK(td_work(root, &worker, handler, &seen) == TD_OK && seen.locked == 3);
    SAME(seen.ids, "a1 first last ");
    CHECK(there("claimed/me/5-000000000003.last.1.result.json"));
}

static void work_ends_after_so_many_tasks_or_when_told(void)
{
    volatile sig_atomic_t told = 1;
    struct td_worker worker = {.agent = "me", .tasks = 1, .idle = -1, .stop = &told};
    struct seen seen = {.then = finishing};
    put("ready/default/5-000000000001.a.1.json", "{}");
    put("ready/default/5-000000000002.b.1.json", "{}");
    CHECK(td_work(root, &worker, handler, &seen) == TD_OK);
    SAME(seen.ids, "");
    told = 0;
    CHECK(td_work(root, &worker, handler, &seen) == TD_OK);
    SAME(seen.ids, "a ");
}

static void work_gives_back_what_its_handler_left(void)
{
    struct td_worker worker = {.agent = "me", .tasks = 1};
    struct seen seen = {.then = leaving};
    (void)claimed();
    CHECK(td_work(root, &worker, handler, &seen) == TD_OK);
    SAME(tree(), "");
    (void)claimed();
    seen.then = losing;
    CHECK(td_work(root, &worker, handler, &seen) == TD_OK);
    SAME(tree(), "");
    (void)claimed();
    seen.then = breaking;
    CHECK(td_work(root, &worker, handler, &seen) == TD_SYSTEM && errno == ENOSPC);
    SAME(tree(), "");
}

static void work_fails_what_was_refused(void)
{
    struct td_worker worker = {.agent = "me"};
    struct seen seen = {.then = finishing};
    (void)claimed();
    put("claimed/me/" STEM ".refused.json", "{}");
    CHECK(td_work(root, &worker, handler, &seen) == TD_OK);
    SAME(seen.ids, "");
    const char *result = get("claimed/me/" STEM ".result.json");
    CHECK(strstr(result, "\"code\":\"refused\"") != NULL && strstr(result, "\"retry\":true") != NULL);
}

static void work_lets_be_what_a_twin_holds(void)
{
    struct td_worker worker = {.agent = "me"};
    struct seen seen = {.then = finishing};
    struct td_claim twin = claimed();
    put("ready/default/5-000000000002.b.1.json", "{}");
    CHECK(td_hold(&twin) == TD_OK && td_work(root, &worker, handler, &seen) == TD_OK);
    SAME(seen.ids, "");
    td_release(&twin);
    CHECK(td_work(root, &worker, handler, &seen) == TD_OK);
    SAME(seen.ids, "a1 b ");
}

static void the_root_is_taskdir_or_the_nearest_parent_with_a_marker(void)
{
    char found[TD_PATH];
    CHECK(setenv("TASKDIR", root, 1) == 0 && td_find_root(found) == TD_OK);
    SAME(found, root);
    CHECK(setenv("TASKDIR", in_root("claimed"), 1) == 0 && td_find_root(found) == TD_NO_ROOT);
    CHECK(setenv("TASKDIR", "", 1) == 0 && chdir(in_root("ready/default")) == 0 && td_find_root(found) == TD_OK);
    SAME(found, root);
    CHECK(unsetenv("TASKDIR") == 0 && chdir("/") == 0 && td_find_root(found) == TD_NO_ROOT);
}

int main(void)
{
#define TEST(name) {#name, name}
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        TEST(names_outside_the_grammar_are_refused),
        TEST(a_path_is_that_of_a_claimed_task),
        TEST(texts_become_json_strings),
        TEST(submit_never_replaces),
        TEST(of_eight_that_submit_one_name_one_wins),
        TEST(what_cannot_be_written_leaves_nothing_and_keeps_errno),
        TEST(minted_ids_are_words_and_differ),
        TEST(wait_tells_what_became_of_it),
        TEST(claim_takes_the_first_name_in_byte_order),
        TEST(unfinished_work_comes_first),
        TEST(a_benched_agent_claims_nothing),
        TEST(eight_agents_win_each_offer_once),
        TEST(results_hold_the_bytes_as_they_are),
        TEST(a_message_is_cut_between_characters),
        TEST(an_output_of_any_length_is_written_whole),
        TEST(notes_are_lines),
        TEST(keep_renews_the_lease),
        TEST(nothing_is_done_to_a_claim_that_is_gone),
        TEST(a_hold_is_seen_by_other_processes),
        TEST(signals_neither_end_nor_fail_a_gesture),
        TEST(work_takes_up_what_was_left_then_claims),
        TEST(work_ends_after_so_many_tasks_or_when_told),
        TEST(work_gives_back_what_its_handler_left),
        TEST(work_fails_what_was_refused),
        TEST(work_lets_be_what_a_twin_holds),
        TEST(the_root_is_taskdir_or_the_nearest_parent_with_a_marker),
    };
    static const char *const places[] = {"inbox", "ready", "ready/default", "claimed", "done", "failed", "rejected"};
    size_t count = sizeof tests / sizeof *tests;
    for (size_t i = 0; i < count; i++) {
        const char *temporary = getenv("TMPDIR");
        char made[1024];
        snprintf(made, sizeof made, "%s/taskdir check.XXXXXX", temporary != NULL ? temporary : "/tmp");
        CHECK(mkdtemp(made) != NULL && realpath(made, root) != NULL);
        for (size_t n = 0; n < sizeof places / sizeof *places; n++)
            CHECK(mkdir(in_root(places[n]), 0777) == 0);
        put("taskdir.json", "{\"protocol\": 1}");
        printf("%s\n", tests[i].name);
        fflush(stdout);
        tests[i].run();
        CHECK(nftw(root, delete, 8, FTW_DEPTH | FTW_PHYS) == 0);
    }
    printf("%zu tests passed\n", count);
    return 0;
}
