"""``laggard completion``: the lines that teach a shell to complete laggard's commands. Installs nothing."""

import click
from click.shell_completion import get_completion_class

VARIABLE = "_LAGGARD_COMPLETE"
HOW = {
    "bash": 'eval "$(laggard completion bash)"       # in ~/.bashrc',
    "zsh": 'eval "$(laggard completion zsh)"        # in ~/.zshrc, after compinit',
    "fish": "laggard completion fish | source         # in ~/.config/fish/config.fish",
}


@click.command(epilog="\b\n" + "\n".join(HOW.values()))
@click.argument("shell", type=click.Choice(tuple(HOW)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the completion for SHELL; its start-up file evaluates it."""
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(ctx.find_root().command, {}, "laggard", VARIABLE).source())
    return 0
