/* taskdir.h: the gestures of an agent on a taskdir, in C11 and POSIX. The protocol is SPEC.md; no daemon is needed.
 *
 * What this library does and does not do
 *   - It acts on names and raw bytes: a claimed file's name says id and attempt, outputs go into the result as they
 *     are, and the daemon judges. There is no JSON parser; texts become JSON strings (td_json_string).
 *   - It allocates nothing and keeps nothing: every buffer is the caller's (opendir(3)'s own aside). It starts no
 *     thread and no process, and sets no signal handler. Calls on different claims may run at once.
 *   - Every call tells how it ended by enum td_error. A lost race (TD_NOTHING, TD_TAKEN, TD_GONE, TD_HELD) is an answer
 *     like any other. With TD_SYSTEM alone, errno says why, and is that of the call that failed, not of the tidying up.
 *   - Interrupted calls are taken up again; a signal neither ends nor fails a gesture.
 */
#ifndef TASKDIR_H
#define TASKDIR_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TD_WORD 65   /* bytes of an id, an agent or a code, with its NUL */
#define TD_PATH 4096 /* bytes of a path, with its NUL */

enum td_error {
    TD_OK = 0,
    TD_NOTHING,    /* nothing there to claim */
    TD_BENCHED,    /* the agent may not claim for a while (SPEC 7.18) */
    TD_UNFINISHED, /* the agent holds work that comes first: finish it, or give it back */
    TD_TAKEN,      /* a message of that name is there already */
    TD_GONE,       /* the claimed file is gone: the task is no longer yours, stop */
    TD_HELD,       /* another process holds the claimed file */
    TD_FAILED,     /* of td_wait: failed, canceled or refused */
    TD_TIMEOUT,    /* of td_wait: the time is up */
    TD_EMPTY,      /* a message or an output of no bytes, or of blanks alone */
    TD_BAD_NAME,   /* no id, agent, queue, code or claimed file (SPEC 5) */
    TD_NO_ROOT,    /* no taskdir.json */
    TD_SYSTEM      /* see errno */
};

/* A task that is yours. All zeros is no claim. */
struct td_claim {
    char path[TD_PATH];    /* the claimed file, absolute */
    char id[TD_WORD];      /* the idempotency key for what you do outside */
    unsigned long attempt; /* the fencing token for it */
    int lock;              /* the descriptor that td_hold locked, 0: none */
};

/* In words, without a newline. */
const char *td_words(enum td_error error);

bool td_is_word(const char *name);  /* fit for an id, an agent or a code? */
bool td_is_queue(const char *name); /* a word, or @ and one? */

/* The root, absolute: $TASKDIR, else the nearest parent directory that holds taskdir.json. TD_NO_ROOT. */
enum td_error td_find_root(char root[TD_PATH]);

/* A fresh id; ids sort by age. */
enum td_error td_mint(char id[TD_WORD]);

/* Puts a message into inbox/, durably and never in place of another. TD_TAKEN, TD_EMPTY, TD_BAD_NAME. */
enum td_error td_submit(const char *root, const char *id, const void *message, size_t length);

/* Takes the first offer of a queue. TD_NOTHING, TD_BENCHED, TD_BAD_NAME; TD_UNFINISHED: *claim is the first such. */
enum td_error td_claim(const char *root, const char *agent, const char *queue, struct td_claim *claim);

/* The next unfinished work of an agent after *claim, from the first if that is all zeros; TD_NOTHING after the last. */
enum td_error td_unfinished(const char *root, const char *agent, struct td_claim *claim);

/* The claim whose claimed file is at `path`. TD_GONE; TD_BAD_NAME if it does not lie in claimed/AGENT/. */
enum td_error td_open(const char *path, struct td_claim *claim);

/* Each of these gives TD_GONE if the claimed file is gone, and has then changed nothing. */
enum td_error td_check(const struct td_claim *claim); /* is it still there? Changes nothing */
enum td_error td_keep(const struct td_claim *claim);  /* renews the lease */
enum td_error td_note(const struct td_claim *claim, const char *text); /* a line for people; renews the lease */

/* Locks the claimed file: the lease stays fresh for as long as this process lives. Tries for one second: TD_HELD.
 * TD_SYSTEM: no locks here, call td_keep now and then. Let go by td_release, and only after a result is there or the
 * task is given back: a lock dropped without either means "abandoned" and counts as a failure. */
enum td_error td_hold(struct td_claim *claim);
void td_release(struct td_claim *claim);

/* Hands in a result, durably: an output, any JSON, as it is; or an error, whose message may hold any bytes (it is cut
 * to 8,192 characters; an empty one is TD_EMPTY), with a code or NULL. Neither releases a hold. */
enum td_error td_finish(const struct td_claim *claim, const void *output, size_t length);
enum td_error td_fail(const struct td_claim *claim, const char *code, const char *message, bool retry);

/* Does a result lie beside it, or the refusal of one? Then what you started has handed in by itself. */
bool td_has_result(const struct td_claim *claim);

/* Lets somebody else do it, at once. */
enum td_error td_give_back(const struct td_claim *claim);

/* Waits until a task has ended, so many seconds at most, for ever if negative: TD_OK done, TD_FAILED, TD_TIMEOUT.
 * `path` gets the record's or the reason's. */
enum td_error td_wait(const char *root, const char *id, double seconds, char path[TD_PATH]);

/* Does one task: td_finish, td_fail or td_give_back it; what it leaves without a result is given back. The claim is
 * locked, and released afterwards; claim->lock is 0 where there are no locks: then call td_keep now and then. Anything
 * but TD_OK and TD_GONE ends the loop. */
typedef enum td_error td_handler(struct td_claim *claim, void *context);

struct td_worker {
    const char *agent;
    const char *queue;                 /* NULL: default */
    unsigned long tasks;               /* end after so many, 0: no such end */
    double idle;                       /* end after so many seconds without work; negative: never */
    const volatile sig_atomic_t *stop; /* end before the next task once it is not 0; may be NULL */
};

/* The worker loop: takes up what this agent left unfinished, else claims. Unfinished work whose result the daemon
 * refused is failed with the code "refused"; what another process of this name holds is let be. */
enum td_error td_work(const char *root, const struct td_worker *worker, td_handler *handler, void *context);

/* Writes text as a JSON string with its quotes and a NUL, as snprintf does: never more than `size` bytes, and returns
 * how many it takes without the NUL. Bytes that are no UTF-8 become U+FFFD, one each. */
size_t td_json_string(char *out, size_t size, const char *text);

#ifdef __cplusplus
}
#endif
#endif
