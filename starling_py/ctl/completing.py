"""The command completion: what a shell runs to complete commands and names of queues."""

import argparse
from typing import Final

from starling_py.ctl.command import Command, Context
from starling_py.ctl.errors import DONE

PROGRAM: Final = "starling-ctl"
SHELLS: Final = ("bash", "zsh", "fish")


def completion(context: Context) -> int:
    """Print the shell's part of the completion."""
    from argcomplete.shell_integration import shellcode

    print(shellcode([PROGRAM], shell=context.options.shell))
    return DONE


def offer(parser: argparse.ArgumentParser) -> None:
    """Answer the shell, and end, if it is the shell that asks."""
    import argcomplete

    argcomplete.autocomplete(parser, always_complete_options=False)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


COMMANDS = (
    Command(
        "completion",
        "print what a shell needs to complete commands and names of queues",
        completion,
        _arguments,
        '  bash   eval "$(starling-ctl completion bash)"          in ~/.bashrc\n'
        '  zsh    eval "$(starling-ctl completion zsh)"           in ~/.zshrc, behind compinit\n'
        "  fish   starling-ctl completion fish > ~/.config/fish/completions/starling-ctl.fish",
    ),
)
"""What this module brings."""
