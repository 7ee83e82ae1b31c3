"""What looks like a secret, so that it is refused in a config and never printed. Pure text."""

import re

ADVICE = "secrets belong in the environment or the .env file of the worker, never in a config"

_WORDS = (
    r"(?:token|secret|passwd|password|credential|api[_-]?key"
    r"|private[_-]?key|access[_-]?key|webhook)"
)
_KEY = re.compile(_WORDS, re.IGNORECASE)
_VALUE = re.compile(
    r"xox[a-z]-[\w-]{6,}|xapp-[\w-]{6,}"  # Slack
    r"|\bhf_[A-Za-z0-9]{16,}"  # Hugging Face
    r"|\bgh[a-z]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}"
    r"|\bAKIA[A-Z0-9]{16}\b"
    r"|\b[0-9a-f]{40}\b"  # W&B
    r"|hooks\.slack\.com/\S+"
    r"|://[^/\s:@]*:[^/\s@]+@"  # a password inside a URL
)
_ASSIGNMENT = re.compile(rf"({_WORDS}[\w-]*[\"']?\s*[:=]\s*)(\S.*)$", re.IGNORECASE)


def secret_key(key: str) -> bool:
    """Whether a key names a secret."""
    return bool(_KEY.search(key))


def secret_value(text: str) -> bool:
    """Whether a text holds something shaped like a known kind of secret."""
    return bool(_VALUE.search(text))


def masked(line: str) -> str:
    """The line with stars over its secrets; as long as before, so that carets still fit."""
    line = _VALUE.sub(lambda match: "*" * len(match[0]), line)
    return _ASSIGNMENT.sub(lambda match: match[1] + "*" * len(match[2]), line)
