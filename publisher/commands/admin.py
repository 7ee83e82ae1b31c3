"""`queue admin`: what looks after the queue itself."""

from publisher import console
from publisher.commands import rebuild

app = console.desk("Look after the queue itself.", "queue admin rebuild --dry-run")
console.add(app, "rebuild", rebuild.rebuild, rebuild.HELP, bare=True)
