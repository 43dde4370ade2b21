#!/bin/sh
# run.sh [REPO [BASE]]: reviews what is new in a git repository, by a taskdir with five agents in Python and shell.
#
# Without REPO it makes a small repository first. The first review begins after BASE (default: ten commits ago, or the
# beginning), each later one where the last one ended. Everything lies in $REVIEW_HOME (default: `review` in the
# repository's git directory): REVIEW.md, run.log, and the taskdir's root.
# Exit code 0: reviewed, or nothing is new; 1: a task failed, or `taskdir check` found something; 75: another run is at
# it. $PYTHON is the interpreter that has taskdir's dependencies, $REVIEW_SECONDS the patience (600).
set -eu
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE # as a git hook has them
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P) house=$(CDPATH='' cd -- "$here/../.." && pwd -P)
python=${PYTHON:-$house/.venv/bin/python} && [ -n "${PYTHON-}" ] || [ -x "$python" ] || python=python3
PYTHONPATH=$house/daemon${PYTHONPATH:+:$PYTHONPATH} && export PYTHONPATH
agents='' daemon='' wait=''

stop() { # everybody goes home, the daemon last; a second call does nothing
    for pid in $wait $agents; do kill "$pid" 2>/dev/null || :; done
    for pid in $wait $agents; do wait "$pid" 2>/dev/null || :; done
    [ -z "$daemon" ] || { kill "$daemon" 2>/dev/null && wait "$daemon"; } || :
    agents='' daemon='' wait=''
    rm -rf "$scratch"
}
scratch=$(mktemp -d) && trap stop EXIT && trap 'exit 129' HUP && trap 'exit 130' INT && trap 'exit 143' TERM

if [ -n "${1-}" ]; then repo=$1; else
    repo=$(mktemp -d "${TMPDIR:-/tmp}/taskdir-review-XXXXXX")/repo
    sh "$here/make-repo.sh" "$repo"
    echo "repository: $repo"
fi
git_directory=$(git -C "$repo" rev-parse --absolute-git-dir)
home=${REVIEW_HOME:-$git_directory/review} && mkdir -p "$home" && home=$(CDPATH='' cd -- "$home" && pwd -P)
root=$home/root log=$home/run.log TMPDIR=$scratch && export TMPDIR

taskdir() { "$python" -m taskdir --root "$root" "$@"; }
put() { mkdir -p "${2%/*}" && cp "$1" "${2%/*}/.${2##*/}" && mv "${2%/*}/.${2##*/}" "$2"; } # FROM TO: whole or not at all
agent() { "$@" >>"$log" 2>&1 & agents="$agents $!"; } # COMMAND…
short() { printf %.12s "$1"; }
no_daemon() { # it ended at once: 75 if another one has the root
    code=0 && wait "$daemon" || code=$?
    daemon='' && echo "review: no daemon, exit code $code (75: another run is at it); see $log" >&2
    exit "$code"
}
await() { # ID: until the task is done; in the background, so that a signal is heard at once
    "$python" -m taskdir --root "$root" wait --timeout "${REVIEW_SECONDS:-600}" "$1" >>"$log" 2>&1 & wait=$!
    if ! wait "$wait"; then echo "review: $1 is not done; see $log" >&2 && exit 1; fi
    wait=''
}

# --- what is new: from the commit in the shared state to HEAD --------------------------------------------------------
head=$(git -C "$repo" rev-parse --verify 'HEAD^{commit}')
seen=$(sed -n 's/.*"commit": *"\([0-9a-f]*\)".*/\1/p' "$root/state/review-head.json" 2>/dev/null) || seen=''
if [ -n "$seen" ]; then base=$(git -C "$repo" merge-base "$seen" "$head" 2>/dev/null) || base=''
elif [ -n "${2-}" ]; then base=$(git -C "$repo" rev-parse --verify "$2^{commit}")
else base=$(git -C "$repo" rev-parse --verify --quiet "$head~10^{commit}") || base=''; fi
[ -n "$base" ] || base=$(git -C "$repo" hash-object -t tree /dev/null) # from the beginning

if [ "$base" = "$head" ]; then
    echo "review: nothing new since $(short "$head")"
else
    # --- the root, and its daemon; a second one at the same root ends at once, which makes a run exclusive ------------
    taskdir init "$root" >>"$log" 2>&1
    put "$here/taskdir.json" "$root/taskdir.json"
    for file in split review merge state/review-head; do put "$here/contracts/$file.json" "$root/contracts/$file.json"; done
    "$python" -m taskdir --root "$root" run >>"$log" 2>&1 & daemon=$!
    until grep -qs "\"event\":\"started\".*\"pid\":${daemon}[,}]" "$root/log.jsonl"; do
        kill -0 "$daemon" 2>/dev/null || no_daemon
        sleep 0.05
    done

    # --- the work: one message; a task that failed in an earlier run gets another chance; then the agents -------------
    span=$(short "$base")-$(short "$head")
    for file in "$root"/failed/*.json; do if [ -e "$file" ]; then mv "$file" "$root/inbox/"; fi; done
    [ -e "$root/inbox/split-$span.json" ] ||
        taskdir submit --type split --id "split-$span" --input "{\"base\": \"$base\", \"head\": \"$head\"}" >>"$log" 2>&1
    agent "$python" "$here/agents/split.py" "$root" split-1 "$repo"
    agent sh "$here/agents/review.sh" "$root" shell-1 "$repo"
    agent "$python" "$here/agents/merge.py" "$root" merge-1 "$repo" "$home/REVIEW.md"
    if [ "${REVIEW_TEST-}" = kill ]; then "$python" "$here/agents/review.py" "$root" python-1 "$repo" --die >>"$log" 2>&1 || :
    else agent "$python" "$here/agents/review.py" "$root" python-1 "$repo"; fi
    agent "$python" "$here/agents/review.py" "$root" python-2 "$repo"
    await "split-$span"
    await "merge-$span"
    stop
    echo "review: $(sed -n 3p "$home/REVIEW.md")"
fi
echo "report: $home/REVIEW.md"
checked=0 && said=$(taskdir check 2>&1) || checked=1
echo "check: $said" && exit "$checked"
