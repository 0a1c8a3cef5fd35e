"""How errors leave the process: a line for the user's mistakes, exit codes, and a traceback only for bugs."""

from typing import Any

import typer
from rich.console import Console

from schemas.errors import Fenced, Unreachable, UserError

UsageError: type[Any] = typer.BadParameter.__mro__[1]
"""Typer carries its own copy of click and does not export this class."""


class Failure(Exception):
    """The work ended, but not well: exit 1 with this line."""


def run_guarded(app: typer.Typer, console: Console) -> int:
    """Run the app; returns the exit code of its outcome."""
    try:
        return int(app(standalone_mode=False) or 0)
    except typer.Exit as done:
        return int(done.exit_code)
    except UsageError as mistake:
        return _line(console, _with_usage(mistake), 2)
    except UserError as mistake:
        return _line(console, str(mistake), 2)
    except (Failure, Fenced, Unreachable) as failure:
        return _line(console, str(failure), 1)
    except (KeyboardInterrupt, typer.Abort):
        return _line(console, "interrupted", 130)


def _line(console: Console, text: str, code: int) -> int:
    console.print(
        "recast: " + " ".join(text.split()), highlight=False, markup=False, style="red" if code == 2 else None
    )
    return code


def _with_usage(mistake: Any) -> Any:
    command = f" (see {mistake.ctx.command_path} --help)" if mistake.ctx is not None else ""
    return mistake.format_message() + command
