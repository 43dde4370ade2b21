/* agent.c: the program taskdir-agent, which offers the library's gestures as commands (adapters/CONTRACT.md, 1). */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif

#include "taskdir.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char HELP[] =
    "usage: taskdir-agent VERB ...\n"
    "  submit [ID] <MESSAGE                offers a message, prints its id        73 the name is taken\n"
    "  claim AGENT [QUEUE]                 takes a task, prints its path          75 none, or unfinished work\n"
    "  keep PATH                           renews the lease                       66 gone: stop\n"
    "  finish PATH [OUTPUT.json | -]       gives the result (absent: null)        66 gone, 65 empty\n"
    "  fail PATH [CODE] MESSAGE [--retry]  gives an error as the result           66 gone\n"
    "  give-back PATH                      lets somebody else do it               66 gone\n"
    "  note PATH TEXT                      a line for people; renews the lease    66 gone\n"
    "  wait ID [SECONDS]                   prints the record's or reason's path   0 done, 1 not, 124 time is up\n"
    "  hold PATH CMD...                    keeps the lease fresh while CMD runs   CMD's; 66 gone, 75 held\n"
    "  work AGENT [QUEUE] [--tasks N] [--idle SECONDS] [-- CMD...]\n"
    "      does tasks by CMD (absent: cat): stdin is the claimed file, stdout the output\n"
    "      CMD ends with 0: done, with 75: given back, else: failed, to be tried again\n"
    "Also 2 usage, 66 no root, 73 cannot write. The root is $TASKDIR, else the nearest parent directory that\n"
    "holds taskdir.json.\n";

enum {
    LOOK = 100,     /* milliseconds between two looks whether a claimed file is still there */
    RENEW = 333,    /* milliseconds between two renewals where there are no locks */
    GRACE = 5000,   /* milliseconds between SIGTERM and SIGKILL */
    PIPE = 1 << 20, /* bytes, more than a pipe holds */
    GIVE_BACK = 75, /* the exit code by which CMD gives a task back */
    NO_COMMAND = 127
};

/* Says why and ends. */
__attribute__((format(printf, 2, 3), noreturn)) static void no(int code, const char *format, ...)
{
    va_list parts;
    fputs("taskdir: ", stderr);
    va_start(parts, format);
    vfprintf(stderr, format, parts);
    va_end(parts);
    fputc('\n', stderr);
    exit(code);
}

static int code_of(enum td_error error)
{
    switch (error) {
    case TD_OK: return 0;
    case TD_FAILED: return 1;
    case TD_BAD_NAME: return 2;
    case TD_EMPTY: return 65;
    case TD_GONE:
    case TD_NO_ROOT: return 66;
    case TD_TAKEN:
    case TD_SYSTEM: return 73;
    case TD_NOTHING:
    case TD_BENCHED:
    case TD_UNFINISHED:
    case TD_HELD: return 75;
    case TD_TIMEOUT: return 124;
    }
    return 2;
}

/* Goes on if all is well, else says what it is about, and ends. */
static void must(enum td_error error, const char *about)
{
    if (error == TD_SYSTEM)
        no(73, "%s: %s", strerror(errno), about);
    if (error != TD_OK)
        no(code_of(error), "%s: %s", td_words(error), about);
}

static void tell(const char *line)
{
    if (puts(line) == EOF || fflush(stdout) == EOF)
        no(73, "cannot write to stdout: %s", line);
}

static long milliseconds(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (long)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

static void nap(long span)
{
    struct timespec left = {span / 1000, span % 1000 * 1000000};
    nanosleep(&left, NULL);
}

/* --- bytes of any number --- */

struct bytes {
    char *data;
    size_t length, room;
};

/* Reads what is there into `to`: 1 more may come, 0 the end, -1 an error. */
static int take_in(int fd, struct bytes *to)
{
    if (to->room - to->length < 65536) {
        to->room = to->room * 2 + 65536;
        if ((to->data = realloc(to->data, to->room)) == NULL)
            no(73, "out of memory");
    }
    ssize_t n = read(fd, to->data + to->length, to->room - to->length);
    if (n > 0)
        to->length += (size_t)n;
    return n > 0 ? 1 : n == 0 ? 0 : errno == EINTR || errno == EAGAIN ? 1 : -1;
}

/* Reads to the end. */
static struct bytes all_of(int fd, const char *about)
{
    struct bytes found = {0};
    struct pollfd ready = {fd, POLLIN, 0};
    for (int more = 1; more != 0;) {
        poll(&ready, 1, -1); /* stdin may be one that never blocks */
        if ((more = take_in(fd, &found)) < 0)
            must(TD_SYSTEM, about);
    }
    return found;
}

/* --- arguments --- */

static void usage(bool right, const char *text)
{
    if (!right)
        no(2, "usage: %s", text);
}

static double number(const char *text, const char *what)
{
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 9 || text[n] != '\0')
        no(2, "not a number of %s: %s", what, text);
    return (double)strtoul(text, NULL, 10);
}

static const char *root(void)
{
    static char path[TD_PATH];
    const char *named = getenv("TASKDIR");
    must(td_find_root(path), named != NULL && *named != '\0' ? named : ".");
    return path;
}

static struct td_claim own(const char *path)
{
    struct td_claim claim;
    must(td_open(path, &claim), path);
    return claim;
}

/* --- running a command --- */

static volatile sig_atomic_t stopping;
static volatile sig_atomic_t child;

static void stop(int sig)
{
    (void)sig;
    stopping = 1;
}

static void pass_on(int sig)
{
    int why = errno;
    if (child > 0)
        kill((pid_t)child, sig);
    errno = why;
}

static void let_be(int sig) { (void)sig; }

static void on(int sig, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler}; /* no SA_RESTART: a wait is to be cut short */
    sigemptyset(&action.sa_mask);
    sigaction(sig, &action, NULL);
}

/* Starts a command; -1 and errno if there can be no further process. `in` and `out` become its stdin and stdout and
 * the claim its environment, if there is a claim; it then leads a process group, so that it can be ended as a whole and
 * Ctrl-C leaves it to finish its task. */
static pid_t start(char **command, const struct td_claim *claim, int in, int out)
{
    sigset_t all, before;
    char attempt[24];
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before); /* no signal between the fork and its number being known */
    pid_t pid = fork();
    if (pid != 0) {
        int why = errno;
        child = pid > 0 ? (sig_atomic_t)pid : 0;
        if (pid > 0 && claim != NULL)
            setpgid(pid, pid);
        sigprocmask(SIG_SETMASK, &before, NULL);
        errno = why;
        return pid;
    }
    if (claim != NULL) {
        snprintf(attempt, sizeof attempt, "%lu", claim->attempt);
        setpgid(0, 0);
        if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || setenv("TASKDIR_TASK", claim->path, 1) != 0
            || setenv("TASKDIR_ID", claim->id, 1) != 0 || setenv("TASKDIR_ATTEMPT", attempt, 1) != 0)
            _exit(NO_COMMAND);
    }
    for (const int *sig = (const int[]){SIGTERM, SIGINT, SIGHUP, SIGQUIT, 0}; *sig != 0; sig++)
        on(*sig, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    execvp(command[0], command);
    int why = errno;
    dprintf(2, "taskdir: cannot run %s: %s\n", command[0], strerror(why));
    _exit(why == ENOENT ? NO_COMMAND : NO_COMMAND - 1);
}

/* Asks a process and its group to end; kills them if they do not. */
static void terminate(pid_t pid)
{
    long until = milliseconds() + GRACE;
    int status;
    kill(-pid, SIGTERM);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (milliseconds() >= until) {
            kill(-pid, SIGKILL);
            until += GRACE;
        }
        nap(10);
    }
}

/* Collects the stdout of a running command until it has ended. False: the claimed file went first, and it was
 * terminated. */
static bool collect(const struct td_claim *claim, pid_t pid, int out, struct bytes *output, int *status)
{
    long looked = milliseconds(), renewed = looked;
    bool open = true;
    for (long pause = 1;;) {
        struct pollfd ready = {out, POLLIN, 0};
        if (open && poll(&ready, 1, LOOK) > 0)
            open = take_in(out, output) > 0;
        if (!open || ready.revents == 0) {
            pid_t ended = waitpid(pid, status, WNOHANG);
            if (ended == pid) {
                size_t end = output->length + PIPE; /* a process it left behind may write on and on */
                while (open && output->length < end && poll(&ready, 1, 0) > 0)
                    open = take_in(out, output) > 0;
                return true;
            }
            if (!open) {
                nap(pause);
                pause = pause * 2 < LOOK ? pause * 2 : LOOK;
            }
        }
        if (milliseconds() - looked < LOOK)
            continue;
        looked = milliseconds();
        enum td_error error = td_check(claim);
        if (error == TD_OK && claim->lock == 0 && looked - renewed >= RENEW) {
            renewed = looked;
            error = td_keep(claim);
        }
        if (error == TD_GONE) {
            terminate(pid);
            return false;
        }
    }
}

/* Hands in an output, null if it is blank. */
static enum td_error finish(const struct td_claim *claim, const struct bytes *output)
{
    enum td_error error = td_finish(claim, output->data, output->length);
    return error == TD_EMPTY ? td_finish(claim, "null", 4) : error;
}

static int open_task(const struct td_claim *claim) { return open(claim->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW); }

/* The handler of `work` without a command: the claimed file is the output. */
static enum td_error echo_task(struct td_claim *claim, void *context)
{
    (void)context;
    int in = open_task(claim);
    if (in < 0)
        return errno == ENOENT ? TD_GONE : TD_SYSTEM;
    struct bytes output = all_of(in, claim->path);
    close(in);
    enum td_error error = finish(claim, &output);
    int why = errno;
    free(output.data);
    errno = why;
    return error;
}

/* The handler of `work`: does a task by a command. */
static enum td_error do_task(struct td_claim *claim, void *context)
{
    char **command = context, code[32], message[96];
    struct bytes output = {0};
    int pipes[2] = {-1, -1}, status = 0;
    int in = open_task(claim); /* a descriptor of its own: that of the lock must not be inherited */
    if (in < 0)
        return errno == ENOENT ? TD_GONE : TD_SYSTEM;
    pid_t pid = -1;
    if (pipe(pipes) == 0) {
        fcntl(pipes[0], F_SETFD, FD_CLOEXEC);
        fcntl(pipes[1], F_SETFD, FD_CLOEXEC);
        pid = start(command, claim, in, pipes[1]);
        int why = errno;
        close(pipes[1]);
        errno = why;
    }
    int why = errno;
    close(in);
    if (pid < 0) {
        close(pipes[0]);
        errno = why;
        return TD_SYSTEM; /* no fault of the task: the loop gives it back and ends */
    }
    bool mine = collect(claim, pid, pipes[0], &output, &status);
    close(pipes[0]);
    enum td_error error = TD_GONE;
    if (mine && td_has_result(claim)) {
        error = TD_OK; /* the command handed in by itself: that stands, and the loop sees to a refusal */
    } else if (mine && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        error = finish(claim, &output);
    } else if (mine && WIFEXITED(status) && WEXITSTATUS(status) == GIVE_BACK) {
        error = td_give_back(claim);
    } else if (mine) {
        bool exited = WIFEXITED(status);
        snprintf(code, sizeof code, "%s-%d", exited ? "exit" : "signal",
                 exited ? WEXITSTATUS(status) : WTERMSIG(status));
        snprintf(message, sizeof message, "the command ended with %s %d", exited ? "exit code" : "signal",
                 exited ? WEXITSTATUS(status) : WTERMSIG(status));
        error = td_fail(claim, code, message, true);
    }
    if (error == TD_GONE)
        fprintf(stderr, "taskdir: %s: %s\n", td_words(TD_GONE), claim->path);
    why = errno;
    free(output.data);
    errno = why;
    return error;
}

/* --- the verbs; argv[0] is the verb --- */

static int verb_submit(int argc, char **argv)
{
    char minted[TD_WORD];
    const char *id = argc > 1 ? argv[1] : minted;
    usage(argc <= 2, "submit [ID] <MESSAGE");
    if (argc < 2)
        must(td_mint(minted), "an id");
    else if (!td_is_word(id))
        must(TD_BAD_NAME, id);
    const char *where = root();
    struct bytes message = all_of(0, "stdin");
    enum td_error error = td_submit(where, id, message.data, message.length);
    free(message.data);
    must(error, error == TD_EMPTY ? "the message" : id);
    tell(id);
    return 0;
}

static int verb_claim(int argc, char **argv)
{
    struct td_claim claim = {.lock = 0};
    usage(argc == 2 || argc == 3, "claim AGENT [QUEUE]");
    const char *agent = argv[1], *queue = argc > 2 ? argv[2] : "default";
    if (!td_is_word(agent) || !td_is_queue(queue) || (*queue == '@' && strcmp(queue + 1, agent) != 0))
        no(2, "not the name of an agent, or of a queue for it: %s %s", agent, queue);
    const char *where = root();
    enum td_error error = td_claim(where, agent, queue, &claim);
    if (error == TD_UNFINISHED) {
        do
            fprintf(stderr, "taskdir: unfinished, resume or delete it: %s\n", claim.path);
        while (td_unfinished(where, agent, &claim) == TD_OK);
        return 75;
    }
    must(error, error == TD_BENCHED ? agent : queue);
    tell(claim.path);
    return 0;
}

static int verb_keep(int argc, char **argv)
{
    usage(argc == 2, "keep PATH");
    struct td_claim claim = own(argv[1]);
    must(td_keep(&claim), argv[1]);
    return 0;
}

static int verb_finish(int argc, char **argv)
{
    usage(argc == 2 || argc == 3, "finish PATH [OUTPUT.json | -]");
    struct bytes output = {0};
    if (argc == 3) {
        int fd = strcmp(argv[2], "-") == 0 ? 0 : open(argv[2], O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            no(66, "%s: %s", strerror(errno), argv[2]);
        output = all_of(fd, argv[2]);
    }
    struct td_claim claim = own(argv[1]);
    enum td_error error = argc == 3 ? td_finish(&claim, output.data, output.length) : td_finish(&claim, "null", 4);
    free(output.data);
    must(error, error == TD_EMPTY ? "the output" : argv[1]);
    return 0;
}

static int verb_fail(int argc, char **argv)
{
    bool retry = argc > 3 && strcmp(argv[argc - 1], "--retry") == 0;
    argc -= retry;
    const char *code = argc == 4 ? argv[2] : NULL, *message = argv[argc - 1];
    usage((argc == 3 || argc == 4) && *message != '\0' && strcmp(message, "--retry") != 0,
          "fail PATH [CODE] MESSAGE [--retry]");
    if (code != NULL && !td_is_word(code))
        no(2, "not a code: %s", code);
    struct td_claim claim = own(argv[1]);
    must(td_fail(&claim, code, message, retry), argv[1]);
    return 0;
}

static int verb_give_back(int argc, char **argv)
{
    usage(argc == 2, "give-back PATH");
    struct td_claim claim = own(argv[1]);
    must(td_give_back(&claim), argv[1]);
    return 0;
}

static int verb_note(int argc, char **argv)
{
    usage(argc == 3, "note PATH TEXT");
    struct td_claim claim = own(argv[1]);
    must(td_note(&claim, argv[2]), argv[1]);
    return 0;
}

static int verb_wait(int argc, char **argv)
{
    char path[TD_PATH];
    usage(argc == 2 || argc == 3, "wait ID [SECONDS]");
    if (!td_is_word(argv[1]))
        must(TD_BAD_NAME, argv[1]);
    double seconds = argc > 2 ? number(argv[2], "seconds") : -1;
    enum td_error error = td_wait(root(), argv[1], seconds, path);
    if (error == TD_OK || error == TD_FAILED)
        tell(path);
    else
        must(error, argv[1]);
    return code_of(error);
}

static int verb_hold(int argc, char **argv)
{
    int status = 0;
    usage(argc >= 3, "hold PATH CMD...");
    struct td_claim claim = own(argv[1]);
    enum td_error error = td_hold(&claim);
    if (error == TD_SYSTEM)
        fprintf(stderr, "taskdir: %s, renewing the lease instead\n", strerror(errno));
    else
        must(error, argv[1]);
    on(SIGTERM, pass_on); /* a terminal sends the other two to the command itself */
    on(SIGHUP, pass_on);
    on(SIGINT, let_be);
    on(SIGQUIT, let_be);
    pid_t pid = start(argv + 2, NULL, 0, 1);
    if (pid < 0)
        must(TD_SYSTEM, argv[2]);
    pid_t ended;
    while ((ended = waitpid(pid, &status, claim.lock == 0 ? WNOHANG : 0)) != pid) {
        if (ended < 0 && errno != EINTR)
            must(TD_SYSTEM, argv[2]);
        if (ended == 0) {
            (void)td_keep(&claim);
            nap(RENEW);
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int verb_work(int argc, char **argv)
{
    static const char text[] = "work AGENT [QUEUE] [--tasks N] [--idle SECONDS] [-- CMD...]";
    struct td_worker worker = {.queue = "default", .idle = -1, .stop = &stopping};
    int i = 2;
    usage(argc > 1, text);
    worker.agent = argv[1];
    if (i < argc && argv[i][0] != '-')
        worker.queue = argv[i++];
    for (; i < argc && strcmp(argv[i], "--") != 0; i += 2) {
        usage(i + 1 < argc && (strcmp(argv[i], "--tasks") == 0 || strcmp(argv[i], "--idle") == 0), text);
        double value = number(argv[i + 1], argv[i][2] == 't' ? "tasks" : "seconds");
        if (argv[i][2] == 't') {
            usage(value > 0, text);
            worker.tasks = (unsigned long)value;
        } else {
            worker.idle = value;
        }
    }
    char **command = i < argc ? argv + i + 1 : NULL;
    usage(command == NULL || *command != NULL, text);
    if (!td_is_word(worker.agent) || !td_is_queue(worker.queue)
        || (*worker.queue == '@' && strcmp(worker.queue + 1, worker.agent) != 0))
        no(2, "not the name of an agent, or of a queue for it: %s %s", worker.agent, worker.queue);
    on(SIGTERM, stop);
    on(SIGINT, stop);
    must(td_work(root(), &worker, command != NULL ? do_task : echo_task, command), worker.agent);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } verbs[] = {
        {"submit", verb_submit}, {"claim", verb_claim}, {"keep", verb_keep}, {"finish", verb_finish},
        {"fail", verb_fail},     {"give-back", verb_give_back}, {"note", verb_note}, {"wait", verb_wait},
        {"hold", verb_hold},     {"work", verb_work},
    };
    for (int fd; (fd = open("/dev/null", O_RDWR)) >= 0;) /* a file that is opened later must not become stdin or such */
        if (fd > 2) {
            close(fd);
            break;
        }
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0) {
        fputs(HELP, stdout);
        return 0;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    no(2, "no such verb: %s (see taskdir-agent help)", argv[1]);
}
