/* Claim, lease, result, crash: every order of two agents, time, and a daemon that is killed anywhere (SPEC 3, 7, 8, 10).
 *
 * The log and the files survive a kill; what the daemon has just read does not. It reads, commits to the log, then
 * changes one file a step, and may be killed before each of these. Agents are as bad as agents are: they work for any
 * time, hand in results of attempts that are long over, give back, and one of them dies. Attempts are bits of a mask,
 * so files of several attempts may lie side by side, as they may in claimed/.
 *
 * Assertions: no task has two accepted results; no result is accepted for another attempt than its own; no result is
 * lost; nothing is shown that is not logged; no attempt is offered twice; and where nobody can do anything more, every
 * task is done or failed and all files are as they should be. That this end is always reached, `pan -l` shows: there is
 * no cycle. Each of these variants has to fail:
 *
 *   UNFENCED       the holder's result counts, whichever attempt it names
 *   ANY_RESULT     whoever hands in a result is believed
 *   RECORD_FIRST   the record is written before the commit
 *   TAKE_FIRST     the result is taken away before the commit
 *   CLAIMED_FIRST  claimed/ is listed before ready/, so what is claimed meanwhile is seen in neither
 *   NO_LEASE       no claim ends by itself
 *
 * Bounds: TASKS, KILLS of the daemon, GIVES (back), MOST attempts.
 */
#ifndef TASKS
#define TASKS 1
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifndef GIVES
#define GIVES 1
#endif
#ifndef MOST
#define MOST 3
#endif
#define AGENTS 2
#define QUEUED 0
#define CLAIMED 1
#define DONE 2
#define FAILED 3

#define at(a, t) ((a) * TASKS + (t))
#define bit(n) (1 << (n))
#define has(mask, n) (((mask) >> (n)) & 1)
#define lowest(mask) (has(mask, 1) -> 1 : (has(mask, 2) -> 2 : (has(mask, 3) -> 3 : 4)))
#define final(t) (log_state[t] >= DONE)
#define now(t) log_attempt[t]
#define there(a, t, n) has(claim[at(a, t)] | result[at(a, t)], n)
#define taken(t) (there(0, t, now(t)) || there(1, t, now(t)))
#define stale(a, t, n) (final(t) || (n) < now(t) || (log_state[t] == CLAIMED && log_holder[t] != (a)))

/* the log, folded */
byte log_state[TASKS];
byte log_attempt[TASKS];                /* the fencing token */
byte log_holder[TASKS];
byte log_results[TASKS];                /* how many were accepted */
byte log_answered[AGENTS * TASKS];      /* mask: results that were accepted or told late */

/* the files, as masks of attempts */
byte offer[TASKS];
byte claim[AGENTS * TASKS];
byte result[AGENTS * TASKS];
bool record[TASKS];

/* what was so, for assertions alone */
byte handed[AGENTS * TASKS];            /* mask: results that an agent wrote */
byte kills, gives, deaths;

#define check_result(a, t) assert((handed[at(a, t)] & ~log_answered[at(a, t)] & ~result[at(a, t)]) == 0)
#define check(t) \
	assert(log_results[t] == (log_state[t] == DONE)); \
	assert(!record[t] || final(t)); \
	check_result(0, t); check_result(1, t)
#define check_end(t) \
	assert(final(t) && record[t] && offer[t] == 0 && claim[at(0, t)] == 0 && claim[at(1, t)] == 0); \
	assert(result[at(0, t)] == 0 && result[at(1, t)] == 0)

/* A kill forgets what was read. It is one more choice at each of these places. */
#define KILL if :: atomic { kills < KILLS -> kills++; goto start } :: skip fi

#define END(t) \
	now(t)++; \
	log_state[t] = (now(t) > MOST -> FAILED : QUEUED)

/* A claim that is seen for the first time: the first holder on record wins. */
#define SEE_CLAIM(a, t) \
	:: atomic { log_state[t] == QUEUED && there(a, t, now(t)) -> \
		log_state[t] = CLAIMED; log_holder[t] = a }

#ifdef UNFENCED
#define COUNTS(a, t, n) (log_state[t] == CLAIMED && log_holder[t] == (a))
#else
#ifdef ANY_RESULT
#define COUNTS(a, t, n) true
#define OWN_ATTEMPT(t) true	/* the other assertion is to find it */
#else
#define COUNTS(a, t, n) (log_state[t] == CLAIMED && log_holder[t] == (a) && (n) == now(t))
#endif
#endif
#ifndef OWN_ATTEMPT
#define OWN_ATTEMPT(t) (n == now(t))
#endif

#ifdef RECORD_FIRST
#define EFFECT_FIRST(a, t) record[t] = COUNTS(a, t, n) || record[t]; KILL;
#else
#ifdef TAKE_FIRST
#define EFFECT_FIRST(a, t) result[at(a, t)] = result[at(a, t)] & ~bit(n); KILL;
#else
#define EFFECT_FIRST(a, t)
#endif
#endif

#define JUDGE(a, t) \
	:: result[at(a, t)] != 0 -> \
		n = lowest(result[at(a, t)]); KILL; \
		EFFECT_FIRST(a, t) \
		atomic { \
			if \
			:: log_state[t] == QUEUED && n == now(t) -> log_state[t] = CLAIMED; log_holder[t] = a \
			:: else \
			fi; \
			if \
			:: COUNTS(a, t, n) && !has(log_answered[at(a, t)], n) -> \
				log_results[t]++; log_state[t] = DONE; \
				assert(log_results[t] < 2); \
				assert(OWN_ATTEMPT(t)) \
			:: else \
			fi; \
			log_answered[at(a, t)] = log_answered[at(a, t)] | bit(n); \
			check(t) \
		}; KILL; \
		if \
		:: final(t) && !record[t] -> record[t] = true; KILL \
		:: else \
		fi; \
		atomic { \
			if \
			:: stale(a, t, n) -> claim[at(a, t)] = claim[at(a, t)] & ~bit(n) \
			:: else \
			fi \
		}; KILL; \
		atomic { result[at(a, t)] = result[at(a, t)] & ~bit(n); n = 0 }

/* The claimed file is gone and no result is there: given back. */
#define GONE(t) \
	:: atomic { log_state[t] == CLAIMED && !there(log_holder[t], t, now(t)) -> END(t); check(t) }

/* The lease is over, and no result was there when the pass looked; it may come before the commit, and is late then. */
#ifdef NO_LEASE
#define EXPIRE(t)
#else
#define EXPIRE(t) \
	:: log_state[t] == CLAIMED && !has(result[at(log_holder[t], t)], now(t)) -> \
		KILL; \
		atomic { END(t); check(t) }
#endif

/* What is missing in ready/, and then in nobody's directory, is offered. */
#ifdef CLAIMED_FIRST
#define OFFER(t) \
	:: log_state[t] == QUEUED && !taken(t) -> \
		KILL; \
		if \
		:: !has(offer[t], now(t)) -> PUBLISH(t) \
		:: else \
		fi
#else
#define OFFER(t) \
	:: log_state[t] == QUEUED && !has(offer[t], now(t)) -> \
		KILL; \
		if \
		:: !taken(t) -> PUBLISH(t) \
		SEE_CLAIM(0, t) \
		SEE_CLAIM(1, t) \
		fi
#endif
#define PUBLISH(t) \
		KILL; \
		atomic { \
			assert(!has(offer[t], now(t)) && !taken(t)); \
			offer[t] = offer[t] | bit(now(t)) \
		}

/* What a kill left: records to write, files of claims that are over. */
#define MEND(t) \
	:: final(t) && !record[t] -> record[t] = true
#define SWEEP(a, t) \
	:: atomic { claim[at(a, t)] != 0 && stale(a, t, lowest(claim[at(a, t)])) && record[t] == final(t) -> \
		n = lowest(claim[at(a, t)]); claim[at(a, t)] = claim[at(a, t)] & ~bit(n); n = 0 }

#define OF_TASK(t) OFFER(t) GONE(t) EXPIRE(t) MEND(t) \
	SEE_CLAIM(0, t) SEE_CLAIM(1, t) JUDGE(0, t) JUDGE(1, t) SWEEP(0, t) SWEEP(1, t)

active proctype Daemon() {
	byte n;
	d_step {
		for (n : 0 .. TASKS - 1) { log_attempt[n] = 1 }
		n = 0
	}
start:
	atomic {
		n = 0;
		check(0);
#if TASKS > 1
		check(1)
#endif
	}
end_idle:
	do
	OF_TASK(0)
#if TASKS > 1
	OF_TASK(1)
#endif
	od
}

#define CLAIM(t) \
	:: atomic { offer[t] != 0 -> \
		n = lowest(offer[t]); offer[t] = offer[t] & ~bit(n); claim[at(me, t)] = claim[at(me, t)] | bit(n); mine = t }

active [AGENTS] proctype Agent() {
	byte n, mine, me;
	me = _pid - 1;
end_idle:
	if
	CLAIM(0)
#if TASKS > 1
	CLAIM(1)
#endif
	fi;
	/* it works, for any time; its claim may end meanwhile, and it need not notice */
	if
	:: atomic {
		result[at(me, mine)] = result[at(me, mine)] | bit(n);
		handed[at(me, mine)] = handed[at(me, mine)] | bit(n);
		n = 0; mine = 0; goto end_idle }
	:: atomic { gives < GIVES ->
		gives++;
		claim[at(me, mine)] = claim[at(me, mine)] & ~bit(n);
		n = 0; mine = 0; goto end_idle }
	:: atomic { deaths == 0 -> deaths++ }
	fi
}

active proctype Monitor() {
	timeout ->
	check_end(0);
#if TASKS > 1
	check_end(1)
#endif
}
