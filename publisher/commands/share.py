"""`queue admin share`: who used how much lately, and what that does to their place in line."""

from publisher.desk import console
from publisher.desk.options import AsJson
from publisher.outlook.fairness import share_lines
from publisher.pages.dossier import share_record

HELP = console.help_text(
    "Show what everybody used lately, what they run, and what moves their place in line.",
    "queue admin share",
    "queue admin share --json",
    "queue admin cap ana 2",
)


def share(as_json: AsJson = False) -> None:
    queue, half_life_s = console.open_queue(), console.settings().half_life_s
    people, controls = queue.share(), queue.controls()
    if as_json:
        console.out_json(share_record(people, controls, half_life_s))
        return
    console.out(share_lines(people, controls, half_life_s, console.width()))
