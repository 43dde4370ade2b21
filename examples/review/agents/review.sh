#!/bin/sh
# The agent that reviews everything but Python, in plain sh: lines, left notes, `sh -n` for scripts.
#
#   sh review.sh ROOT AGENT REPO
#
# All it needs of a task is the blob's name, so a path with quotes or newlines in it can do no harm here.
LC_ALL=C && export LC_ALL
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source=adapters/shell/taskdir.sh
. "$here/../../../adapters/shell/taskdir.sh"
TASKDIR=$1 agent=$2 repo=$3 && export TASKDIR
work=$(mktemp -d) || exit 73
trap 'rm -rf "$work"' EXIT && trap 'exit 143' HUP INT TERM

rest() { sleep 0.05 2>/dev/null || sleep 1; }
lines() { # FILE: findings of review.py's `text`, one a line
    awk '
    function say(rule, message) { printf "{\"line\":%d,\"rule\":\"%s\",\"message\":\"%s\"}\n", NR, rule, message }
    length($0) > 120 { say("long-line", length($0) " bytes, 120 are allowed") }
    match($0, /(^|[^A-Za-z0-9_])(FIX[M]E|TO[D]O|XX[X]|HACK)([^A-Za-z0-9_]|$)/) {
        word = substr($0, RSTART, RLENGTH)
        gsub(/[^A-Z]/, "", word)
        say("note-left", word " is left")
    }
    /^(<<<<<<<|>>>>>>>)( |$)/ { say("conflict-marker", "a merge was not finished") }
    ' "$1"
    [ -z "$(tail -c 1 "$1")" ] || awk 'END { printf "{\"line\":%d,", NR
        print "\"rule\":\"no-final-newline\",\"message\":\"the last line has no end\"}" }' "$1"
}
syntax() { # FILE: does a script parse? Nothing of it runs
    case $(head -n 1 "$1") in
    '#!'*[/\ ]bash*) shell='bash' ;;
    '#!'*[/\ ]sh | '#!'*[/\ ]sh\ * | '#!'*[/\ ]dash*) shell='sh' ;;
    *) return 0 ;;
    esac
    command -v "$shell" >/dev/null 2>&1 || return 0
    if said=$("$shell" -n "$1" 2>&1); then return 0; fi
    line=$(printf '%s\n' "$said" | sed -n 's/.*[: ]\([0-9][0-9]*\): .*/\1/p' | head -n 1)
    printf '{"line":%d,"rule":"syntax","message":"does not parse (%s -n)"}\n' "${line:-1}" "$shell"
}
review() { # PATH of the claimed task: hands in its result
    blob=$(sed -n 's/.*"blob":"\([0-9a-f]*\)".*/\1/p' "$1" | head -n 1)
    if ! git -C "$repo" cat-file blob "$blob" >"$work/blob" 2>"$work/why" </dev/null; then
        td_fail "$1" git-failed "git cat-file: $(cat "$work/why")" --retry
    elif [ "$(tr -d '\0' <"$work/blob" | wc -c)" -ne "$(wc -c <"$work/blob")" ]; then
        echo '{"findings":[],"skipped":"binary"}' | td_finish "$1" -
    else
        { lines "$work/blob" && syntax "$work/blob"; } | head -n 100 >"$work/found"
        printf '{"findings":[%s]}\n' "$(paste -s -d , "$work/found")" | td_finish "$1" -
    fi
}

for path in "$TASKDIR/claimed/$agent"/?-*.*[0-9].json; do # this agent died in the middle of it, in an earlier run
    [ ! -e "$path" ] || [ -e "${path%.json}.result.json" ] || td_give_back "$path"
done
while kill -0 "$PPID" 2>/dev/null; do
    if ! path=$(td_claim "$agent" text 2>/dev/null); then rest && continue; fi
    # Locked while we work: if we die, the daemon knows at once.
    td_hold "$path" review "$path" || { td_give_back "$path" && continue; }
    while [ -e "$path" ] && [ -e "${path%.json}.result.json" ]; do rest; done
    # The task is still there: the result was refused, NAME.refused.json says why, and a second one would be no better.
    [ ! -e "$path" ] || td_fail "$path" refused "the result was refused: $(cat "${path%.json}.refused.json")"
done
