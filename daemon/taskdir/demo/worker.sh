#!/bin/sh
# A worker in plain sh. It needs nothing of taskdir's: ls and mv claim a task, printf and mv hand its result in.
#
#   sh worker.sh ROOT AGENT FOLDER [botch]        botch: hand in nonsense once, read why, correct it
LC_ALL=C && export LC_ALL  # byte order is the order of work
root=$1 folder=$3 botch=${4:-}
mkdir -p "$root/claimed/$2" && cd "$root/claimed/$2" || exit 1

rest() { sleep 0.05 2>/dev/null || sleep 1; }
sha256() { { sha256sum || shasum -a 256 || openssl dgst -sha256 -r; } <"$1" 2>/dev/null | cut -c 1-64; }
field() { sed 's/,"output_schema".*//; s/.*"'"$1"'":"\([^"]*\)".*/\1/' "$name"; }
names() {
    awk '/^(class|def|function) [A-Za-z_]/ { split($2, name, "[^A-Za-z0-9_]"); printf "%s\"%s\"", comma, name[1]
         comma = "," }' "$1"
}
work() {
    case $1 in
    count) printf '{"lines":%d,"bytes":%d}' "$(wc -l <"$2")" "$(wc -c <"$2")" ;;
    hash) printf '{"sha256":"%s"}' "$(sha256 "$2")" ;;
    outline) printf '{"names":[%s]}' "$(names "$2")" ;;
    esac
}
hand_in() { printf '{"status":"ok","output":%s}\n' "$1" >.result && mv .result "$stem.result.json"; }

while kill -0 "$PPID" 2>/dev/null; do
    name=$(ls "$root/ready/default" | head -n 1)
    if [ -z "$name" ]; then rest && continue; fi
    mv "$root/ready/default/$name" "$name" 2>/dev/null || continue  # somebody was first: take the next one
    stem=${name%.json} && output=$(work "$(field type)" "$folder/$(field path)")
    if [ -n "$botch" ]; then hand_in '"done, trust me"'; else hand_in "$output"; fi
    while kill -0 "$PPID" 2>/dev/null; do
        if [ -e "$stem.result.json" ]; then rest && continue; fi
        [ -e "$name" ] || break         # result and task are gone: accepted
        botch='' && hand_in "$output"   # the task is still here: refused, and NAME.refused.json says why
    done
done
