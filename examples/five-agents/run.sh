#!/bin/sh
# run.sh [AGENT]: five workers write a small library in git worktrees of one repository, and merge what passes its tests.
#
# AGENT is a profile of `taskdir work`: plain (default; agent.py stands in for a coding agent), claude, codex, gemini …
# All lies in $FIVE_HOME (default: a new temporary directory): repo, jobs (the taskdir), report.html, run.log. Run it
# again with the same FIVE_HOME after anything, kill -9 of anybody too: it goes on where it was.
# Exit code 0: main has everything, its tests pass, `taskdir check` finds nothing; 1: not so.
set -eu
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE # as a git hook has them
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P) house=$(CDPATH='' cd -- "$here/../.." && pwd -P)
python=${PYTHON:-$house/.venv/bin/python} && [ -n "${PYTHON-}" ] || [ -x "$python" ] || python=python3
PYTHONPATH=$house/daemon${PYTHONPATH:+:$PYTHONPATH} && export PYTHONPATH
GIT_AUTHOR_NAME=${GIT_AUTHOR_NAME:-Ann} GIT_AUTHOR_EMAIL=${GIT_AUTHOR_EMAIL:-ann@example.org}
GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL
export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL

home=${FIVE_HOME:-$(mktemp -d "${TMPDIR:-/tmp}/taskdir-five-XXXXXX")} && mkdir -p "$home"
home=$(CDPATH='' cd -- "$home" && pwd -P) repo=$home/repo root=$home/jobs log=$home/run.log
"$python" -c 'import jsonschema, portalocker, watchdog' 2>/dev/null || {
    echo "five: $python lacks what taskdir needs: \`make test\` makes .venv, or name another by PYTHON" >&2
    exit 1
}
taskdir() { "$python" -m taskdir "$@" --root "$root"; }
put() { mkdir -p "${2%/*}" && cp "$1" "${2%/*}/.${2##*/}" && mv "${2%/*}/.${2##*/}" "$2"; } # FROM TO: whole or not at all
modules=$(cd "$here/library" && for file in *.py; do echo "${file%.py}"; done)

# --- everybody, each started again if it is gone; one of ours has the root as a word of its command line --------------
ours() { grep -lszxF -e "$root" /proc/[0-9]*/cmdline | xargs -r grep -lszxF -e "$1" | cut -d/ -f3; } # WORD: their pids
end() { # WORD: the first signal lets a task in hand end, the second one gives it back
    left=0
    while [ -n "$(ours "$1")" ]; do
        [ $((left % 30)) -gt 0 ] || ours "$1" | xargs -r kill 2>/dev/null || :
        left=$((left + 1)) && sleep 0.1
    done
}
stop() { end work && end run; }
everybody() {
    if [ -z "$(ours run)" ]; then taskdir run >>"$log" 2>&1 & fi
    for agent in a1 a2 a3 a4 a5; do
        if [ -n "$(ours $agent)" ]; then continue; fi
        taskdir work --agent $agent --worktree "$repo" --base main --commands "$home/commands.json" >>"$log" 2>&1 &
    done
}
trap 'exit 129' HUP && trap 'exit 130' INT && trap 'exit 143' TERM && trap stop EXIT

# --- the repository, the taskdir, and who does what: for another agent one word changes -------------------------------
stop # what an earlier run left
[ -d "$repo" ] || "$python" "$here/make-repo.py" "$repo"
taskdir init >>"$log" 2>&1
put "$here/taskdir.json" "$root/taskdir.json"
for type in implement merge; do put "$here/contracts/$type.json" "$root/contracts/$type.json"; done
case ${1:-plain} in
plain) implement="[\"python3\", \"$here/agent.py\", \"${FIVE_SECONDS:-0.5}\"]" ;;
*) implement="{\"profile\": \"$1\"}" ;;
esac
echo "{\"implement\": $implement, \"merge\": [\"python3\", \"$here/merge.py\"]}" >"$home/commands.json"

# --- the work, one message; sent again it is a duplicate, and does nothing --------------------------------------------
{
    printf '{"kind": "batch", "messages": ['
    for module in $modules; do
        printf '%s{"id": "write-%s", "type": "implement", "input": {"module": "%s"}},' "${comma-}" "$module" "$module"
        printf ' {"id": "merge-%s", "type": "merge", "input": {"task": "write-%s"}, "after": ["write-%s"],' \
            "$module" "$module" "$module"
        printf ' "resources": ["repo-main"], "priority": 2}' && comma=', '
    done
    echo ']}'
} >"$home/library.json"
everybody
[ -e "$root/inbox/library.json" ] || taskdir submit "$home/library.json" >>"$log" 2>&1 || :
tries=0
while [ -e "$root/inbox/library.json" ]; do # until the daemon has judged it: no id in it is known before
    everybody
    tries=$((tries + 1))
    [ $tries -lt 150 ] || { echo "five: no daemon judges what was submitted; see $log" >&2 && exit 1; }
    sleep 0.2
done
for file in "$root"/failed/*.json; do [ ! -e "$file" ] || mv "$file" "$root/inbox/"; done

# --- one agent hangs half way: its worker is killed, and another one does the task ------------------------------------
half="$root.work/*/write-wrap.1/library/wrap.py"
while [ "${1:-plain}" = plain ] && [ ! -e "$root/done/write-wrap.json" ]; do
    for claim in "$root"/claimed/*/*.write-wrap.1.json; do
        # shellcheck disable=SC2086  # a pattern
        if [ -e "$claim" ] && grep -qs lines $half && ! grep -qs NotImplementedError $half; then
            agent=${claim%/*} && agent=${agent##*/}
            echo "five: $agent hangs, and is killed with -9"
            ours "$agent" | xargs -r kill -9 || :
            break 2
        fi
    done
    everybody
    sleep 0.2
done

# --- until all is merged ----------------------------------------------------------------------------------------------
# shellcheck disable=SC2046,SC2086  # ids are words
until code=0 && taskdir wait --timeout 2 $(printf 'merge-%s ' $modules) >>"$log" 2>&1 || code=$? && [ $code = 0 ]; do
    [ $code = 124 ] || { echo "five: not everything was merged (exit code $code); see $log" >&2 && exit 1; }
    everybody
done
stop

# --- what is left of lost attempts stays on their branches; merged branches go ----------------------------------------
git -C "$repo" worktree list --porcelain | sed -n '2,$s/^worktree //p' | while read -r left; do
    git -C "$left" add -A && git -C "$left" commit -q --allow-empty -m 'Keep what a lost attempt left'
    echo "five: a lost attempt's work is kept: branch $(git -C "$left" branch --show-current)"
    git -C "$repo" worktree remove "$left"
done
git -C "$repo" for-each-ref --merged main --format='%(refname:short)' refs/heads/taskdir |
    xargs -r git -C "$repo" branch -q -d
for file in "$root"/done/*.json; do
    if grep -qs 'tries\\":[2-9]' "$file"; then
        id=${file##*/} && echo "five: ${id%.json} was sent back by its check before it was handed in"
    fi
done
git -C "$repo" --no-pager log --first-parent --format='%h %s' main
failed=0
(cd "$repo" && python3 check.py) || failed=1
taskdir report "$home/report.html" >>"$log" 2>&1 || failed=1
echo "repository: $repo"
echo "report: $home/report.html"
said=$(taskdir check 2>&1) || failed=1
echo "check: $said" && exit $failed
