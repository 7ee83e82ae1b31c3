"""The `queue` command: look at runs and steer them."""

from publisher import console
from publisher.commands import (
    admin,
    cancel,
    compare,
    export,
    hold,
    list,
    logs,
    move,
    release,
    results,
    show,
    wait,
    watch,
    why,
)

app = console.desk(
    "Look at the queue and steer it.",
    "queue list",
    "queue logs @last -f",
    "queue cancel 7f3k2q --reason 'wrong split'",
)
console.add(app, "list", list.list_runs, list.HELP, bare=True)
console.add(app, "show", show.show, show.HELP)
console.add(app, "why", why.why, why.HELP)
console.add(app, "logs", logs.logs, logs.HELP)
console.add(app, "watch", watch.watch, watch.HELP, bare=True)
console.add(app, "cancel", cancel.cancel, cancel.HELP)
console.add(app, "hold", hold.hold, hold.HELP)
console.add(app, "release", release.release, release.HELP)
console.add(app, "move", move.move, move.HELP)
console.add(app, "wait", wait.wait, wait.HELP)
console.add(app, "results", results.results, results.HELP, bare=True)
console.add(app, "compare", compare.compare, compare.HELP)
console.add(app, "export", export.export, export.HELP, bare=True)
app.add_typer(admin.app, name="admin")


def main() -> None:
    app(prog_name="queue")


if __name__ == "__main__":
    main()
