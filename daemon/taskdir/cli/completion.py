"""taskdir completion: what a shell needs to complete the command line, made from the verbs' own parsers."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from taskdir import __version__
from taskdir.cli import described
from taskdir.cli.described import Argument, Described
from taskdir.cli.frame import Env

HELP = """Print a shell's completion of taskdir's own command line. bash: eval "$(taskdir completion bash)" in
~/.bashrc; zsh: eval "$(taskdir completion zsh)" in ~/.zshrc, behind compinit; fish: taskdir completion fish | source
in ~/.config/fish/config.fish. An install that puts share/ where the shells look needs none of it."""

_GLOBAL = {
    "--root": "the root",
    "--json": "JSON on stdout",
    "--help": "show the verbs",
    "--version": "show the version",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("shell", choices=_SHELLS)


def run(args: argparse.Namespace, env: Env) -> int:
    """Print it."""
    script = f"# taskdir {__version__}, for {args.shell}: made by `taskdir completion {args.shell}`\n"
    script += "\n".join(_SHELLS[args.shell]([*described.described()])) + "\n"
    env.out({"shell": args.shell, "script": script} if env.json else script.rstrip("\n"))
    return 0


def _bash(verbs: list[Described]) -> Iterator[str]:
    """Offer words; where there are none, bash itself offers files. Works with the bash 3.2 of macOS."""
    valued = "|".join(
        f"{verb.name}:{flag}" for verb in verbs for each in verb.options if each.value for flag in each.flags
    )
    yield "_taskdir() {"
    yield "    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb= count=0 i words="
    yield "    COMPREPLY=()"
    yield "    for ((i = 1; i < COMP_CWORD; i++)); do"
    yield "        case $verb:${COMP_WORDS[i]} in"
    yield f"            *:--root|{valued}) ((i++)) ;;"
    yield "            *:-*) ;;"
    yield "            :*) verb=${COMP_WORDS[i]} ;;"
    yield "            *) ((count++)) ;;"
    yield "        esac"
    yield "    done"
    yield "    case $verb:$before in"
    yield '        *:--root) COMPREPLY=($(compgen -d -- "$current")); return ;;'
    for verb in verbs:
        for each in verb.options:
            if each.choices:
                flags = "|".join(f"{verb.name}:{flag}" for flag in each.flags)
                yield f'        {flags}) COMPREPLY=($(compgen -W "{" ".join(each.choices)}" -- "$current")); return ;;'
    yield f"        {valued}) return ;;"
    yield "    esac"
    yield "    case $verb:$current in"
    yield f'        :-*) words="{" ".join(_GLOBAL)}" ;;'
    yield f'        :*) words="{" ".join(verb.name for verb in verbs)}" ;;'
    for verb in verbs:
        yield f'        {verb.name}:-*) words="{" ".join(flag for each in verb.options for flag in each.flags)}" ;;'
        if verb.actions:
            yield f'        {verb.name}:*) ((count == 0)) && words="{" ".join(verb.actions)}" ;;'
    yield "    esac"
    yield '    COMPREPLY=($(compgen -W "$words" -- "$current"))'
    yield "}"
    yield "complete -o bashdefault -o default -F _taskdir taskdir"


def _zsh(verbs: list[Described]) -> Iterator[str]:
    """Describe verbs and options to _arguments."""
    yield "#compdef taskdir"
    yield "_taskdir() {"
    yield "    local context state state_descr line"
    yield "    typeset -A opt_args"
    told = (f"'{flag}[{about}]{':root:_files -/' * (flag == '--root')}'" for flag, about in _GLOBAL.items())
    yield f"    _arguments -C {' '.join(told)} '1:verb:->verb' '*::word:->words'"
    yield "    case $state in"
    yield "        verb)"
    yield "            local -a verbs=("
    for verb in verbs:
        yield f"                {_single(f'{verb.name}:{verb.about}')}"
    yield "            )"
    yield "            _describe verb verbs ;;"
    yield "        words)"
    yield "            case $words[1] in"
    for verb in verbs:
        words = [*(_zsh_option(each, flag) for each in verb.options for flag in each.flags), *_zsh_words(verb)]
        yield f"                {verb.name}) _arguments {' '.join(words)} ;;"
    yield "            esac ;;"
    yield "    esac"
    yield "}"
    yield 'if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _taskdir "$@"; else compdef _taskdir taskdir; fi'


def _zsh_option(option: Argument, flag: str) -> str:
    value = ""
    if option.value:
        kind = f"({' '.join(option.choices)})" if option.choices else "_files -/" if flag == "--root" else "_files"
        value = f":{re.sub(r'[:|]', ' ', option.value)}:{kind}"
    about = re.sub(r"[\[\]:]", " ", option.help)
    return _single(f"*{flag}[{about}]{value}")


def _zsh_words(verb: Described) -> list[str]:
    first = [_single(f"1:action:({' '.join(verb.actions)})")] if verb.actions else []
    return [*first, _single("*:file:_files")]


def _fish(verbs: list[Described]) -> Iterator[str]:
    """Say each word and option to complete, under the condition of its verb."""
    valued = " ".join(sorted({flag for verb in verbs for each in verb.options if each.value for flag in each.flags}))
    yield "function __taskdir_words"
    yield "    set -l words (commandline -opc)"
    yield "    set -e words[1]"
    yield "    while set -q words[1]"
    yield f"        if contains -- $words[1] {valued}"
    yield "            set -e words[1]"
    yield "        else if not string match -q -- '-*' $words[1]"
    yield "            echo $words[1]"
    yield "        end"
    yield "        set -e words[1]"
    yield "    end"
    yield "end"
    yield "function __taskdir_in  # VERB [COUNT]: behind this verb, and so many words of its own"
    yield "    set -l words (__taskdir_words)"
    yield '    test "$words[1]" = "$argv[1]"; or return 1'
    yield "    not set -q argv[2]; or test (count $words) -eq (math $argv[2] + 1)"
    yield "end"
    yield "complete -c taskdir -n '__taskdir_in \"\"' -f"
    for flag, about in _GLOBAL.items():
        value = " -x -a '(__fish_complete_directories)'" if flag == "--root" else ""
        yield f"complete -c taskdir -n '__taskdir_in \"\"' -l {flag.removeprefix('--')}{value} -d {_single(about)}"
    for verb in verbs:
        yield f"complete -c taskdir -n '__taskdir_in \"\"' -a {verb.name} -d {_single(verb.about)}"
        if verb.actions:
            yield f"complete -c taskdir -n '__taskdir_in {verb.name} 0' -f -a {_single(' '.join(verb.actions))}"
        for each in verb.options:
            flags = " ".join(f"-{'l' if flag.startswith('--') else 's'} {flag.lstrip('-')}" for flag in each.flags)
            value = f" -x -a {_single(' '.join(each.choices))}" if each.choices else " -r" if each.value else ""
            yield f"complete -c taskdir -n '__taskdir_in {verb.name}' {flags}{value} -d {_single(each.help)}"


def _single(text: str) -> str:
    """Quote for zsh and fish; between single quotes fish alone reads escapes, so there shall be none."""
    return "'" + text.replace("'", "’").replace("\\", "/").replace("\n", " ") + "'"


_SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
