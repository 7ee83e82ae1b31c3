"""The `publisher` command: check configs and put them in the queue."""

from publisher import console
from publisher.commands import retry, schema, submit, validate

app = console.desk(
    "Check configs and put them in the queue.",
    "publisher validate birds.yaml",
    "publisher submit birds.yaml optim.lr=3e-4",
    "publisher retry @failed",
)
console.add(app, "submit", submit.submit, submit.HELP)
console.add(app, "validate", validate.validate, validate.HELP)
console.add(app, "retry", retry.retry, retry.HELP)
console.add(app, "schema", schema.schema, schema.HELP, bare=True)


def main() -> None:
    app(prog_name="publisher")


if __name__ == "__main__":
    main()
