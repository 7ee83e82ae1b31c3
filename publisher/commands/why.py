"""`queue why`: what keeps a run from starting, one sentence for each worker."""

from __future__ import annotations

from publisher.desk import console
from publisher.desk.options import AsJson, OneRun
from publisher.outlook.scene import scene_of
from publisher.pages.dossier import why_record
from publisher.pages.reasons import reason_lines, reasons_of

HELP = console.help_text(
    "Say why a run stands where it stands, with a sentence for each worker.",
    "queue why 7f3k2q",
    "queue why @last",
    "queue why 7f3k2q --json",
)


def why(run: OneRun, as_json: AsJson = False) -> None:
    queue, settings = console.open_queue(), console.settings()
    record = queue.get(queue.resolve(run, user=settings.user))
    seen = scene_of(queue, record)
    told = reasons_of(record, seen, queue.share(), settings.half_life_s)
    if as_json:
        console.out_json(why_record(told, seen))
        return
    console.out(reason_lines(told, console.width()))
    first, *more = told.commands
    console.hint(f"Next: {first}", *more)
