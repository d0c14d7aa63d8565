"""The commands by group: the module of each, and its summary. A module is imported when its command is used."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """`place` is its module and name; `summary` is its line in `headway --help`."""

    place: str
    summary: str


GROUPS: dict[str, dict[str, Command]] = {
    "Start": {
        "up": Command("up:up", "Start a server and a worker on this machine."),
        "server": Command("up:server", "Start a server alone."),
        "worker": Command("worker:worker", "Start a worker for a server."),
        "link": Command("link:link", "Print a link that opens Headway in a browser."),
        "login": Command("login:login", "Use a server with a token of yours."),
        "logout": Command("login:logout", "Revoke and forget that token."),
        "whoami": Command("login:whoami", "Print who you are, and what you may do."),
    },
    "Jobs": {
        "run": Command("train:run", "Run your own script, or any command."),
        "train": Command("train:train", "Train a built-in model."),
        "submit": Command("train:submit", "Submit a job file."),
        "init": Command("init:init", "Write a commented job file."),
        "jobs": Command("jobs:jobs", "List jobs."),
        "rerun": Command("rerun:rerun", "Submit a job again, with changes."),
        "pause": Command("jobs:pause", "Pause a job: its ranks save and end."),
        "resume": Command("jobs:resume", "Resume a paused job."),
        "cancel": Command("jobs:cancel", "End a job. Its ranks have time to save."),
        "kill": Command("jobs:kill", "End a job at once."),
        "edit": Command("jobs:edit", "Change a job's labels and notes."),
        "delete": Command("jobs:delete", "Delete an ended job."),
    },
    "Look inside": {
        "show": Command("show:show", "Show what a job runs, how far it is, and what to do."),
        "follow": Command("jobs:follow", "Follow a job until it ends."),
        "logs": Command("logs:logs", "Print the output of a job."),
        "metrics": Command("streams:metrics", "Print or plot a job's metrics."),
        "events": Command("streams:events", "Print the events of a job."),
        "checkpoints": Command("checkpoints:checkpoints", "List the checkpoints of a job."),
        "exec": Command("inquiries:execute", "Run a command beside a running rank."),
        "stacks": Command("inquiries:stacks", "Print the Python stacks of a running job's ranks."),
    },
    "Data and results": {
        "download": Command("jobs:download", "Download a job's model or files."),
        "predict": Command("predict:predict", "Run a job's model on samples."),
        "datasets": Command("datasets:datasets", "List, show, add, download and delete datasets."),
        "trainers": Command("datasets:trainers", "List the built-in trainers and their parameters."),
    },
    "Operate": {
        "workers": Command("workers:workers", "List workers and their load."),
        "projects": Command("accounts:projects", "List projects, and add them."),
        "users": Command("accounts:users", "List users, and change their rights."),
        "tokens": Command("tokens:tokens", "List, make and revoke tokens."),
        "audit": Command("accounts:audit", "List who changed what."),
        "doctor": Command("doctor:doctor", "Find configuration problems, and how to fix them."),
        "goodput": Command("goodput:goodput", "Show how much time of all jobs was useful."),
        "drill": Command("drill:drill", "Run fault-injection tests on a temporary local fleet."),
        "backup": Command("backup:backup", "Write the whole installation to one file."),
        "restore": Command("backup:restore", "Write a backup to an empty home or database."),
        "kubernetes": Command("kubernetes:kubernetes", "Print what the server needs in a cluster."),
        "migrate": Command("migrate:migrate", "Bring the database up to date."),
        "damaged": Command("damaged:damaged", "List stored rows that cannot be read."),
        "schema": Command("init:schema", "Print the JSON schema of job files."),
        "completion": Command("completion:completion", "Print the completion script of a shell."),
    },
}
IN_A_PROJECT = frozenset({*GROUPS["Jobs"], *GROUPS["Look inside"], *GROUPS["Data and results"], "goodput"}) - {"init"}
"""The commands that have `--project`."""
COMMANDS: dict[str, Command] = {name: one for group in GROUPS.values() for name, one in group.items()}
MEANT = {
    "ls": "jobs",
    "list": "jobs",
    "ps": "jobs",
    "status": "show JOB",
    "describe": "show JOB",
    "get": "show JOB",
    "stop": "cancel JOB",
    "rm": "delete JOB",
    "start": "up",
    "serve": "server",
    "log": "logs JOB",
    "tail": "logs -f JOB",
    "attach": "follow JOB",
    "nodes": "workers",
    "retry": "rerun JOB",
}
"""Commands of other tools, and their equivalents here."""
