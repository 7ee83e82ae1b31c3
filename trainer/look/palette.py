"""The colours of roles, on light paper and on dark; told apart by the colour-blind.

Words have a contrast of 4.5 to 1 at least, lines and dots 3 to 1.
"""

LIGHT = {
    "paper": "#ffffff",
    "card": "#f6f8fa",
    "ink": "#1b1f24",
    "faint": "#57606a",
    "grid": "#d0d7de",
    "good": "#0b5fa5",
    "bad": "#b34700",
    "s0": "#0b5fa5",
    "s1": "#b34700",
    "s2": "#00735c",
    "s3": "#8a2d9e",
    "s4": "#6b5900",
    "s5": "#1b1f24",
    "s6": "#c02560",
    "s7": "#4b5bd6",
}
DARK = {
    "paper": "#0d1117",
    "card": "#161b22",
    "ink": "#e6edf3",
    "faint": "#9ba7b4",
    "grid": "#3d444d",
    "good": "#6cb6ff",
    "bad": "#ffa657",
    "s0": "#6cb6ff",
    "s1": "#ffa657",
    "s2": "#4fd0ae",
    "s3": "#dda3f5",
    "s4": "#e3c94f",
    "s5": "#e6edf3",
    "s6": "#ff8fb4",
    "s7": "#a5b0ff",
}
RIGHT, WRONG = (8, 48, 107), (150, 45, 0)  # of a matrix, mixed with white; the same on any paper
