#!/bin/sh
# taskdir.sh: every gesture of a taskdir in one file of POSIX shell; no jq, no Python, and no daemon needed to run it.
#
#   taskdir.sh submit [ID] <MESSAGE                offers a message, prints its id        73 the name is taken
#   taskdir.sh claim AGENT [QUEUE]                 takes a task, prints its path          75 none, or unfinished work
#   taskdir.sh keep PATH                           renews the lease                       66 gone: stop
#   taskdir.sh finish PATH [OUTPUT.json | -]       gives the result (absent: null)        66 gone, 65 empty
#   taskdir.sh fail PATH [CODE] MESSAGE [--retry]  gives an error as the result           66 gone
#   taskdir.sh give-back PATH                      lets somebody else do it               66 gone
#   taskdir.sh note PATH TEXT                      a line for people; renews the lease    66 gone
#   taskdir.sh wait ID [SECONDS]                   prints the record's or reason's path   0 done, 1 not, 124 time is up
#   taskdir.sh hold PATH CMD...                    keeps the lease fresh while CMD runs   CMD's; 66 gone, 75 held
#   taskdir.sh work AGENT [QUEUE] [--tasks N] [--idle SECONDS] [-- CMD...]
#       claims and runs CMD for each task, which is its stdin; its stdout is the output. 75 gives back, else it failed
# Also 2 usage, 66 no root, 73 cannot write. Data goes to stdout, words to stderr. The root is $TASKDIR, else the
# nearest parent directory that holds taskdir.json. Run it under this name, or source it for the functions td_submit,
# td_claim, td_keep, td_finish, td_fail, td_give_back, td_note, td_wait, td_hold and td_work.
#
# The design. Where a file lies says what is true; only a link, a rename or an unlink changes that.
#   submit  inbox/.ID.* is written, then linked to inbox/ID.json. A link never replaces: the first of two wins.
#   claim   ready/QUEUE/NAME is renamed to claimed/AGENT/NAME. The kernel lets one rename win; losers try the next name
#           in byte order. Won: mv says so and the file is there. It failed and the file is there: a twin of the same
#           agent did it, so nothing runs twice: it is shown with 75, as all unfinished work is.
#   keep    touch -c, which never makes the file again. If the claimed file is gone, the task is no longer yours.
#   finish  STEM.result.json is put beside the task by dot-name and rename. STEM comes from the task's name; the output
#           is wrapped, not parsed: the daemon judges. "Result gone, task still there" means: read STEM.refused.json.
#   hold    flock on the claimed file through a descriptor that CMD does not get (`flock FILE` makes a missing FILE).
#           Let CMD finish or fail before it ends: a lock dropped without a result means "abandoned". Without flock(1)
#           the lease is renewed after every third of lease_seconds instead.
#   work    takes up what the agent left unfinished, else claims; holds; runs CMD in the background, so that a Ctrl-C
#           ends the worker alone, after the task in hand, and a look now and then can end CMD once the task is gone.
# NAME is P-NNNNNNNNNNNN.ID.ATTEMPT.json, STEM is NAME without .json; whatever else lies there is let be. ROOT is one
# file system. Each verb is a subshell, `td_x() ( ... )`: nothing leaks into the shell that sources this, and its
# options, IFS, aliases and locale do no harm. The td__x are parts: they answer in variables, or leave by td__no.
# shellcheck disable=SC2015,SC2016,SC2020,SC2030,SC2031,SC2059

td__no() { printf 'taskdir: %s\n' "$2" >&2; exit "$1"; } # CODE TEXT: says why and leaves the verb
td__say() { { printf '%s\n' "$1"; } 2>/dev/null || td__no 73 'cannot write to stdout'; } # DATA
td__args() { set +e && [ "$1" -ge "$2" ] && [ "$1" -le "$3" ] || td__no 2 "usage: $4"; } # COUNT LEAST MOST USAGE
td__word() { # WORD: fit for an id, agent, queue? (not a-z: in some locales that range holds other letters)
    case $1 in '' | [_-]* | *[!abcdefghijklmnopqrstuvwxyz0123456789_-]*) false ;; *) [ "${#1}" -le 64 ] ;; esac
}
td__offer() { # NAME: of an offer? Sets $name, $stem
    name=$1 stem=${1%.json} id=${1#*.} d='[0123456789]' && id=${id%.json}
    case $1 in $d-$d$d$d$d$d$d$d$d$d$d$d$d.*.*.json) ;; *) return 1 ;; esac
    case ${id##*.} in '' | 0* | ??????????* | *[!0123456789]*) return 1 ;; esac
    td__word "${id%.*}"
}
td__file() { [ -f "$1" ] && [ ! -L "$1" ]; } # PATH: a regular file, and no link to one?
td__root() { # goes to the root. Sets $root, absolute
    root=$(CDPATH='' cd -- "${TASKDIR:-.}" 2>/dev/null && pwd -P) || td__no 66 "no such directory: ${TASKDIR:-.}"
    while [ -z "${TASKDIR:-}" ] && [ -n "$root" ] && [ ! -f "$root/taskdir.json" ]; do root=${root%/*}; done
    cd "${root:-/}" && [ -f taskdir.json ] || td__no 66 'no taskdir.json: set TASKDIR, or run `taskdir init`'
}
td__own() { # PATH: goes to the directory of a claimed task that is still there. Sets $name, $stem, $own (absolute)
    td__offer "${1##*/}" || td__no 2 "not the name of a task: $1"
    case $1 in */*) own=${1%/*}/ ;; *) own=./ ;; esac
    CDPATH='' cd -- "$own" 2>/dev/null && own=$(pwd -P) || td__no 66 "gone: $1"
    case ${own%/*} in */claimed) own=$own/$name ;; *) td__no 2 "not in claimed/AGENT/: $1" ;; esac
    td__file "$name" || td__no 66 "gone, it is no longer yours, stop: $1"
}
td__temp() { # LABEL: makes a new dot-file here. Sets $temp; it goes when the verb ends
    n=0 && until temp=./.$1.$$.$n && (set -C && : >"$temp") 2>/dev/null; do
        [ -e "$temp" ] && n=$((n + 1)) || td__no 73 "cannot write in $(pwd)"
    done
    trap 'command rm -f "$temp"' 0 && trap 'exit 143' 1 2 15
}
td__json() { # BYTES TEXT: so many bytes as a JSON string, U+FFFD for what is not UTF-8; sed sees bytes as octal numbers
    printf "\"$(printf %s "$2" 2>/dev/null | od -An -v -to1 -N "$1" | tr -s ' \n' '  ' | sed -E '
        s/^ */ /; s/ *$//; s/ 134/ 134 134/g; s/ 042/ 134 042/g
        s/ 00([0-7])/ 134u000\1/g; s/ 02([0-7])/ 134u001\1/g; s/ 01([0-7])/ 134u000@\1/g; s/ 03([0-7])/ 134u001@\1/g
        s/@0/8/g; s/@1/9/g; s/@2/a/g; s/@3/b/g; s/@4/c/g; s/@5/d/g; s/@6/e/g; s/@7/f/g
        s/ (360) (2[2-7].) (2..) (2..)/:\1:\2:\3:\4/g; s/ (36[123]) (2..) (2..) (2..)/:\1:\2:\3:\4/g
        s/ (364) (2[01].) (2..) (2..)/:\1:\2:\3:\4/g; s/ (340) (2[4-7].) (2..)/:\1:\2:\3/g
        s/ (34[1-7]|35[0-467]) (2..) (2..)/:\1:\2:\3/g; s/ (355) (2[0-3].) (2..)/:\1:\2:\3/g
        s/ (30[2-7]|3[123].) (2..)/:\1:\2/g; s/ [23]../ 134ufffd/g; s/[ :]/\\/g')\""
}
td__result() { # JSON: becomes the result of the claim that td__own found
    td__temp "$stem.result"
    printf '%s\n' "$1" >>"$temp" && command mv -f "$temp" "$stem.result.json" || td__no 73 'cannot write the result'
}
td_submit() (
    td__args "$#" 0 1 'submit [ID] <MESSAGE'
    id=${1-$(date -u +%Y%m%dt%H%M%S)-$$-$(od -An -N4 -tx1 /dev/urandom | tr -d ' \n')}
    td__word "$id" || td__no 2 "not an id ([a-z0-9][a-z0-9_-]{0,63}): $id"
    td__root && cd ./inbox || td__no 73 "no inbox in $root"
    td__temp "$id"
    cat >>"$temp" || td__no 73 'cannot write the message'
    [ -s "$temp" ] || td__no 65 'the message is empty'
    [ ! -e "$id.json" ] && [ ! -L "$id.json" ] || td__no 73 "inbox/$id.json is there already" # ln enters directories
    command ln "$temp" "$id.json" 2>/dev/null || td__no 73 "cannot create inbox/$id.json, or it is there already"
    td__say "$id"
)
td__benched() { case $(command ls -ld "$mine") in d?w*) ;; *) td__no 75 "benched for a while: $mine" ;; esac; }
td_claim() (
    td__args "$#" 1 2 'claim AGENT [QUEUE]'
    agent=$1 queue=${2-default} busy='' stuck=''
    td__word "$agent" && td__word "${queue#@}" || td__no 2 "not the name of an agent or of a queue: $agent $queue"
    case $queue in "@$agent") ;; @*) td__no 2 "queue $queue is for that agent alone" ;; esac
    td__root
    mine=$root/claimed/$agent ready=$root/ready/$queue
    mkdir -p "$mine" 2>/dev/null || td__no 73 "cannot make $mine"
    unset IFS && set -f
    for name in $(command ls "$mine"); do
        td__offer "$name" && td__file "$mine/$name" && [ ! -e "$mine/$stem.result.json" ] || continue
        busy=y && printf 'taskdir: unfinished, resume or delete it: %s\n' "$mine/$name" >&2
    done
    [ -z "$busy" ] || exit 75
    td__benched
    for name in $(LC_ALL=C command ls "$ready" 2>/dev/null); do
        td__offer "$name" && td__file "$ready/$name" || continue
        if command mv -f "$ready/$name" "$mine/$name" 2>/dev/null; then
            [ -f "$mine/$name" ] && td__say "$mine/$name" && exit 0
        elif [ -f "$mine/$name" ]; then
            td__no 75 "not sure who claimed it, resume or delete it: $mine/$name"
        elif [ -f "$ready/$name" ]; then stuck=$ready/$name; fi
    done
    [ -z "$stuck" ] || { td__benched && td__no 73 "cannot move $stuck"; } # benched in the very moment?
    td__no 75 "nothing to claim in ready/$queue"
)
td_keep() (
    td__args "$#" 1 1 'keep PATH'
    td__own "$1"
    touch -c "$name" 2>/dev/null || [ ! -f "$name" ] || td__no 73 "cannot touch $1"
    [ -f "$name" ] || td__no 66 "gone, it is no longer yours, stop: $1"
)
td_finish() (
    td__args "$#" 1 2 'finish PATH [OUTPUT.json | -]'
    case $#:${2-} in 1:) output=null ;; 2:-) output=$(cat) ;; *) output=$(cat -- "$2") ;; esac || td__no 66 'no output'
    case $output in *[![:space:]]*) ;; *) td__no 65 'the output is empty' ;; esac
    td__own "$1"
    td__result "{\"status\":\"ok\",\"output\":$output}"
)
td_fail() (
    usage='fail PATH [CODE] MESSAGE [--retry]' retry='' code='' && td__args "$#" 2 4 "$usage"
    case $#:${3-}:${4-} in
    2:*) message=$2 ;;
    3:--retry:) message=$2 retry=',"retry":true' ;;
    3:*) code=$2 message=$3 ;;
    4:*:--retry) code=$2 message=$3 retry=',"retry":true' ;;
    *) td__no 2 "usage: $usage" ;;
    esac
    [ -n "$message" ] && [ "$message" != --retry ] || td__no 2 "usage: $usage"
    case $#:$retry in 2: | 3:?*) ;; *) td__word "$code" || td__no 2 "not a code: $code" ;; esac
    td__own "$1"
    message=${code:+\"code\":\"$code\",}\"message\":$(td__json 8192 "$message")
    td__result "{\"status\":\"error\",\"error\":{$message}$retry}"
)
td_give_back() (
    td__args "$#" 1 1 'give-back PATH'
    td__own "$1"
    command rm -f "$name" || td__no 73 "cannot delete $1"
)
td_note() (
    td__args "$#" 2 2 'note PATH TEXT'
    td__own "$1"
    line="{\"time\":\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\",\"text\":$(td__json 65536 "$2")}"
    printf '%s\n' "$line" >>"$stem.notes.jsonl" || td__no 73 "cannot write $stem.notes.jsonl"
)
td_wait() (
    td__args "$#" 1 2 'wait ID [SECONDS]'
    td__word "$1" || td__no 2 "not an id: $1"
    case ${2-0} in '' | *[!0123456789]* | ??????????*) td__no 2 "not a number of seconds: $2" ;; esac
    td__root
    n=0 && while :; do
        [ -e "done/$1.json" ] && td__say "$root/done/$1.json" && exit 0
        [ -e "failed/$1.json" ] && td__say "$root/failed/$1.json" && exit 1
        why=rejected/$1.reason.json # void while a message of that name waits in inbox/: look there first
        [ ! -e "inbox/$1.json" ] && [ -e "$why" ] && td__say "$root/$why" && exit 1
        [ "$#" -eq 1 ] || [ "$n" -lt "$2" ] || td__no 124 "$1 is not done after $2 s"
        sleep 1 && n=$((n + 1))
    done
)
td__renew() { # PATH: until it is gone, or this shell is. Any "lease_seconds" in it counts, the smallest is safe
    lease=$(tr '{,' '\n\n' <"$1" | sed -n 's/^[[:space:]]*"lease_seconds"[[:space:]]*:[[:space:]]*\([0-9]*\).*/\1/p')
    lease=$(printf '%s\n' "${lease:-30}" | sort -n | head -n 1) && [ "$lease" -ge 3 ] && span=$((lease / 3)) || span=0.3
    while { sleep "$span" 2>/dev/null || sleep 1; } && kill -0 "$$" && td_keep "$1"; do :; done
}
td__lock() { # PATH TRIES PAUSE: descriptor 9 holds it. 66 gone, 75 held by another
    command exec 9<"$1" || return 66
    tries=0 && until flock -xn 0 <&9; do # the daemon's own look at the lock lasts an instant
        tries=$((tries + 1)) && [ "$tries" -lt "$2" ] && sleep "$3" || return 75
    done
    [ -f "$1" ] || return 66
}
td_hold() (
    td__args "$#" 2 999999 'hold PATH CMD...'
    task=$(td__own "$1" && printf %s "$own") || exit
    shift && n=0
    if command -v flock >/dev/null 2>&1; then
        td__lock "$task" 3 1 || td__no "$?" "gone, or another process holds it: $task"
        "$@" 9<&- || n=$?
    else
        printf 'taskdir: no flock here, renewing the lease instead\n' >&2
        td__renew "$task" </dev/null >/dev/null 2>&1 &
        renewer=$!
        "$@" || n=$?
        kill "$renewer" 2>/dev/null
    fi
    exit "$n" # were CMD the last command, a shell might turn into it, and the lock would be gone
)
td__left() { command rm -f "$temp" && exit "$1"; } # CODE: ends a worker
td__mine() { # PATH in $mine: unfinished work? Sets $name, $stem, $id
    td__offer "${1##*/}" && td__file "$1" && [ ! -e "$mine/$stem.result.json" ]
}
td__next() { # takes up the unfinished work of $agent in $mine, else claims. Sets $task; fails if there is nothing now
    for task in "$mine"/*; do if td__mine "$task"; then return 0; fi; done
    code=0 && task=$(td_claim "$agent" "$queue" 2>"$temp") || code=$?
    case $code in 0) td__offer "${task##*/}" ;; 75) return 1 ;; *) cat "$temp" >&2; td__left "$code" ;; esac
}
td__refused() { td_fail "$task" refused 'the result was refused' --retry; } # and nobody here will mend it
td__do() { # CMD...: has $task done; without CMD it is the output itself
    [ "$#" -gt 0 ] || { td_finish "$task" "$task" || :; return; }
    export TASKDIR_TASK="$task" TASKDIR_ID="${id%.*}" TASKDIR_ATTEMPT="${id##*.}"
    code=127 again=y result=${task%.json}.result.json
    "$@" <"$task" >"$temp" 9<&- &
    job=$!
    {
        while { sleep 0.3 2>/dev/null || sleep 1; } && kill -0 "$$" && [ ! -e "$result" ] && td_keep "$task"; do :; done
        [ -e "$result" ] || kill "$job"
    } </dev/null >/dev/null 2>&1 9<&- &
    minder=$!
    while [ -n "$again" ]; do # a signal to us ends `wait`, and its trap sets $again
        again='' n=0
        wait "$job" 2>/dev/null || n=$?
        [ "$n" -eq 127 ] || code=$n
    done
    kill "$minder" 2>/dev/null
    if [ -e "$result" ]; then : # CMD handed it in itself: that stands
    elif [ -e "$mine/$stem.refused.json" ]; then td__refused
    elif [ "$code" -eq 0 ]; then
        if grep -q '[^[:space:]]' "$temp"; then td_finish "$task" "$temp"; else td_finish "$task"; fi
    elif [ "$code" -eq 75 ]; then td_give_back "$task"
    elif [ "$code" -gt 128 ] && [ "$code" -le 192 ]; then
        td_fail "$task" "signal-$((code - 128))" "$1 ended by signal $((code - 128))" --retry
    else td_fail "$task" "exit-$code" "$1 ended with exit code $code" --retry; fi
}
td_work() (td__work "$@")
td__work() { # the loop itself: run as a program it gets the signals
    usage='work AGENT [QUEUE] [--tasks N] [--idle SECONDS] [-- CMD...]' && td__args "$#" 1 999999 "$usage"
    agent=$1 queue=default left='' idle='' ended='' quiet=0 tick=0.1 second=10 && shift
    case ${1---} in --*) ;; *) queue=$1 && shift ;; esac
    while case ${1-}:${2-} in --tasks:?* | --idle:?*) ;; *) false ;; esac do
        case $2 in *[!0123456789]* | ??????????*) td__no 2 "usage: $usage" ;; esac
        case $1 in --tasks) [ "$2" -gt 0 ] && left=$2 || td__no 2 "usage: $usage" ;; *) idle=$2 ;; esac
        shift 2
    done
    [ "$#" -eq 0 ] || { [ "$1" = -- ] && [ "$#" -ge 2 ] && shift; } || td__no 2 "usage: $usage"
    td__word "$agent" && td__word "${queue#@}" || td__no 2 "not the name of an agent or of a queue: $agent $queue"
    case $queue in @"$agent" | [!@]*) ;; *) td__no 2 "queue $queue is for that agent alone" ;; esac
    here=$(pwd) && set +fC && td__root && mine=$root/claimed/$agent
    cd "${TMPDIR:-/tmp}" && td__temp taskdir && temp=$(pwd -P)/$temp && cd "$here" || td__no 73 "no way to $here"
    trap - 0 && trap 'ended=y again=y' 1 2 15 # none for 0: in bash a part that is killed early would remove our file
    mkdir -p "$mine" 2>/dev/null || { printf 'taskdir: cannot make %s\n' "$mine" >&2 && td__left 73; }
    sleep "$tick" 2>/dev/null || tick=1 second=1
    while [ -z "$ended" ] && [ "$left" != 0 ]; do
        if td__next && { ! command -v flock >/dev/null 2>&1 || td__lock "$task" 3 "$tick"; } && td__mine "$task"; then
            if [ -e "$mine/$stem.refused.json" ]; then td__refused
            else td__do "$@"; quiet=0 && [ -z "$left" ] || left=$((left - 1)); fi
        elif [ -n "$idle" ] && [ "$quiet" -ge "$((idle * second))" ]; then break
        else quiet=$((quiet + 1)) && sleep "$tick"; fi
        command exec 9<&-
    done
    td__left 0
}
case ${0##*/} in taskdir.sh) # run, not sourced
    verb=${1-help} && [ "$#" -eq 0 ] || shift
    case $verb in
    submit | claim | keep | finish | fail | note | wait | hold) "td_$verb" "$@" ;;
    work) td__work "$@" ;;
    give-back) td_give_back "$@" ;;
    help | -h | --help) sed -n "2,/^# shellcheck/{/^# shellcheck/!s/^# \{0,1\}//p;}" "$0" ;;
    *) td__no 2 "no such verb: $verb (see taskdir.sh help)" ;;
    esac && exit ;;
esac
