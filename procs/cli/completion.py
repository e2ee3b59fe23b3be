"""``laggard completion``: the lines that teach a shell to complete laggard's commands. Installs nothing.

Owns the shells' side alone; the answers are click's, asked for by a variable in the environment. Unlike
click's lines these ask the very program that was typed, so ``bin/laggard`` need not be on PATH.
"""

import click

BASH = r"""_laggard_completion() {
    local IFS=$'\n' line kind
    COMPREPLY=()
    for line in $(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD _LAGGARD_COMPLETE=bash_complete \
        "${1/#\~/$HOME}" 2>/dev/null); do
        kind=${line%%,*}
        case $kind in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            plain) COMPREPLY+=("${line#*,}") ;;
        esac
    done
}
# Before bash 4.4 there is no nosort.
complete -o nosort -F _laggard_completion laggard 2>/dev/null || complete -F _laggard_completion laggard
"""

ZSH = r"""#compdef laggard
_laggard_completion() {
    local -a rows values described
    local kind value text
    rows=("${(@f)$(COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT - 1)) _LAGGARD_COMPLETE=zsh_complete \
        ${~words[1]} 2>/dev/null)}")
    for kind value text in "${rows[@]}"; do
        case $kind in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain) if [[ $text == _ ]]; then values+=("$value"); else described+=("$value:$text"); fi ;;
        esac
    done
    (( $#described )) && _describe -V laggard described -U
    (( $#values )) && compadd -U -V laggard -a values
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # A file of the fpath: this is the first call.
    _laggard_completion "$@"
else
    # Before compinit, as in a start-up file that calls it later or never.
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _laggard_completion laggard
fi
"""

FISH = r"""function _laggard_completion
    set -l words (commandline -opc)
    set -l program (string replace -r '^~(?=/)' $HOME -- $words[1])
    for row in (COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) _LAGGARD_COMPLETE=fish_complete \
            $program 2>/dev/null)
        # Only the first comma divides: a description may have its own.
        set -l parts (string split -m 1 , -- $row)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                echo $parts[2]
        end
    end
end
complete --no-files --keep-order --command laggard --arguments '(_laggard_completion)'
"""

LINES = {"bash": BASH, "zsh": ZSH, "fish": FISH}
HOW = {
    "bash": 'eval "$(laggard completion bash)"       # in ~/.bashrc',
    "zsh": 'eval "$(laggard completion zsh)"        # in ~/.zshrc',
    "fish": "laggard completion fish | source         # in ~/.config/fish/config.fish",
}


@click.command(epilog="\b\n" + "\n".join(HOW.values()))
@click.argument("shell", type=click.Choice(tuple(LINES)))
def completion(shell: str) -> int:
    """Print the completion for SHELL; its start-up file evaluates it."""
    click.echo(LINES[shell], nl=False)
    return 0
