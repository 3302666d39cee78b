"""Files that are no YAML, or YAML that no reader may print in full."""

from __future__ import annotations

BOMB = "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij")
)
"""After it, *j is a list that would take gigabytes as text."""
NOT_YAML = (
    (b"\xff\xfe\x00abc", "mine.yaml: 'utf-8' codec can't decode byte 0xff"),
    (b"a: {\nb: [", "is not YAML: while parsing a flow node"),
    (b"classes: [2024-13-45]", "is not YAML: month must be in 1..12"),
    (b"[" * 3000, "is not YAML: it is nested too deep"),
)
"""Contents of a file mine.yaml, and what the error says."""
