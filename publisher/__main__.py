"""The `publisher` command: check configs and put them in the queue."""

import gc

from publisher import console
from publisher.commands import (
    diff,
    doctor,
    edit,
    import_,
    init,
    preflight,
    retry,
    schema,
    submit,
    validate,
)

# A command makes values, keeps them and ends: looking for garbage as often as Python does by itself
# would cost a fifth of a large submit.
GARBAGE = 500_000

app = console.desk(
    "Check configs and put them in the queue.",
    "publisher validate birds.yaml",
    "publisher submit birds.yaml optim.lr=3e-4",
    "publisher retry @failed",
)
console.add(app, "submit", submit.submit, submit.HELP)
console.add(
    app,
    "validate",
    validate.validate,
    console.help_text(
        "Check configs and show all mistakes at once; queue nothing.",
        "publisher validate birds.yaml",
        "publisher validate birds.yaml optim.lr=3e-4 --resolved",
        "publisher validate examples/*.yaml --json",
    ),
)
console.add(app, "preflight", preflight.preflight, preflight.HELP)
console.add(app, "diff", diff.diff, diff.HELP)
console.add(app, "doctor", doctor.doctor, doctor.HELP, bare=True)
console.add(app, "import", import_.import_configs, import_.HELP)
console.add(app, "init", init.init, init.HELP, bare=True)
console.add(app, "retry", retry.retry, retry.HELP)
console.add(app, "edit", edit.edit, edit.HELP)
console.add(
    app,
    "schema",
    schema.schema,
    console.help_text(
        "Print the JSON Schema of a config, for editors.",
        "publisher schema",
        "publisher schema -o config.schema.json",
        "sed -i '1i # yaml-language-server: $schema=config.schema.json' birds.yaml",
    ),
    bare=True,
)


def main() -> None:
    gc.set_threshold(GARBAGE)
    app(prog_name="publisher")


if __name__ == "__main__":
    main()
