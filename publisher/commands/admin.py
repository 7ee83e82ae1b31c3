"""`queue admin`: what looks after the queue itself."""

from publisher.commands import cap, prune, rebuild, share
from publisher.desk import console

app = console.desk(
    "Look after the queue itself.",
    "queue admin share",
    "queue admin prune --older-than 90d --dry-run",
    "queue admin rebuild --dry-run",
)
console.add(app, "share", share.share, share.HELP, bare=True)
console.add(app, "cap", cap.cap, cap.HELP)
console.add(app, "prune", prune.prune, prune.HELP)
console.add(app, "rebuild", rebuild.rebuild, rebuild.HELP, bare=True)
