"""The subcommands, a file each. They import what they need when they run, so that `--help` starts at once."""

from __future__ import annotations

from kas.study.commands import (
    check,
    dashboard,
    export,
    init,
    keys,
    measure,
    promote,
    proxy,
    rediscover,
    report,
    resume,
    run,
    show,
    status,
)
from kas.study.commands import list as list_
from kas.study.commands._base import Command

__all__ = ["COMMANDS", "Command"]

COMMANDS: dict[str, Command] = {
    "init": init.command,
    "check": check.command,
    "run": run.command,
    "resume": resume.command,
    "status": status.command,
    "list": list_.command,
    "show": show.command,
    "keys": keys.command,
    "promote": promote.command,
    "export": export.command,
    "measure": measure.command,
    "dashboard": dashboard.command,
    "report": report.command,
    "proxy": proxy.command,
    "rediscover": rediscover.command,
}
