"""`make demo-picture`: a recording of `make demo-agent`, as docs/demo-agent.svg.

Runs the demonstration in a terminal and writes each line at the time at which it came, for a browser that plays it. What does
not play it shows all of it. With `--check`, as `make test` runs it, nothing is written: the exit code is 1 if the demonstration
now says what the picture does not show, or no longer says what it shows. Times, ids, the order of what happens side by side,
and the last column are not compared: they are those of one run.
"""

from __future__ import annotations

import html
import os
import pathlib
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs/demo-agent.svg"
FASTER = 3
LINE_HEIGHT, CHARACTER_WIDTH, MARGIN = 17, 7.25, 14
COLORS = {"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341"}
PAINTED = re.compile(r"\033\[(\d+)m(.*?)\033\[0m")
TEXT = re.compile(r"<text [^>]*>(.*?)</text>")


def recorded() -> tuple[list[tuple[float, str]], int]:
    """Runs the demonstration, passes on what it prints, and returns each line with the second at which it came, and the exit
    code. A pseudo-terminal has it print in colours, as people see it."""
    ours, its = pty.openpty()
    command = [sys.executable, str(ROOT / "demo/demo_agent.py")]
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=its, env=env)
    os.close(its)
    begin = time.monotonic()
    lines = []
    for line in lines_of(ours):
        lines.append((time.monotonic() - begin, line))
        print(line, flush=True)
    return lines, process.wait()


def lines_of(terminal: int) -> Iterator[str]:
    rest = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            # What Linux says when the other end is closed.
            piece = b""
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode().rstrip("\r ")
        if not piece:
            return


def drawn(lines: list[tuple[float, str]]) -> str:
    # What is said beforehand is there at once, and the story begins two seconds later.
    story = next(at for at, line in lines if line.endswith("on the way"))
    width = max(len(plain(line)) for _, line in lines) * CHARACTER_WIDTH + 2 * MARGIN
    height = len(lines) * LINE_HEIGHT + 2 * MARGIN
    texts = []
    for number, (at, line) in enumerate(lines):
        if line:
            delay = max(at - story, 0) / FASTER + 2 if at >= story else 0
            texts.append(f'<text x="{MARGIN}" y="{MARGIN + (number + 0.75) * LINE_HEIGHT:g}" '
                         f'style="animation-delay:{delay:.1f}s">{colored(line)}</text>')
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" xml:space="preserve">
<title>make demo-agent, {FASTER} times as fast</title>
<style>
text {{ font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #e6edf3; white-space: pre; }}
@media (prefers-reduced-motion: no-preference) {{ text {{ animation: appear 0.1s both; }} }}
@keyframes appear {{ from {{ opacity: 0; }} }}
</style>
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
{chr(10).join(texts)}
</svg>
"""


def colored(line: str) -> str:
    return PAINTED.sub(lambda it: f'<tspan fill="{COLORS[it[1]]}">{it[2]}</tspan>', html.escape(line, quote=False))


def plain(line: str) -> str:
    return PAINTED.sub(r"\2", line)


def said(lines: list[str]) -> set[str]:
    """What the lines say in every run."""
    found = set()
    for line in lines:
        line = re.sub(r"queue (empty|\d+), agent at (rest|work)$", "", line)
        line = re.sub(r"^ *\d+\.\d  |\b[CD][0-9A-F]{10}\b|thread \d+\.\d+|\d+ ms", "…", line)
        found.add(" ".join(line.split()))
    # Whether the dispatcher meets the end of the session depends on the moment.
    return {line for line in found if line and "RetryableConflictException" not in line}


def shown() -> list[str]:
    """The lines of the picture."""
    texts = TEXT.findall(PICTURE.read_text()) if PICTURE.exists() else []
    return [html.unescape(re.sub(r"<[^>]+>", "", text)) for text in texts]


def main() -> int:
    lines, status = recorded()
    if status != 0:
        return status
    if "--check" not in sys.argv[1:]:
        PICTURE.write_text(drawn(lines))
        return 0
    now, before = said([plain(line) for _, line in lines]), said(shown())
    changed = [f"+ {line}" for line in sorted(now - before)] + [f"- {line}" for line in sorted(before - now)]
    if changed:
        print("\ndocs/demo-agent.svg shows another demonstration than this one (make demo-picture draws it anew):",
              *changed, sep="\n  ", file=sys.stderr)
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
