"""How a key of a config is named: a tuple inside, dots between for people."""

Key = tuple[str | int, ...]  # ("optim", "betas", 0)


def dotted(key: Key) -> str:
    """`optim.betas.0`."""
    return ".".join(map(str, key))
