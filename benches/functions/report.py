"""From the figures of `run.py` to the tables and the plot of docs/performance.md."""

import argparse
import json
import pathlib
import statistics

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance.svg"
BEGIN, END = "<!-- begin: make bench -->", "<!-- end: make bench -->"
OURS = "slack-ingress"
CALLS_ALONE = "its calls alone"
median = statistics.median


class Results:
    """The figures of all lives, by function and memory."""

    def __init__(self, result):
        self.result = result
        names = dict.fromkeys(life["function"] for life in result["lives"])
        self.functions = [name for name in names if name != CALLS_ALONE]
        self.functions.sort(key=lambda name: self.cold(name, self.sizes[0]))
        # Ours first, then by how long they take.
        self.functions.sort(key=lambda name: name != OURS)

    @property
    def sizes(self):
        return sorted({life["memory_mb"] for life in self.result["lives"]})

    @property
    def rounds(self):
        return 1 + max(life["round"] for life in self.result["lives"])

    def lives(self, name, memory_mb=None):
        return [
            life
            for life in self.result["lives"]
            if life["function"] == name and memory_mb in (None, life["memory_mb"])
        ]

    def each(self, name, memory_mb, figure):
        return [life[figure] for life in self.lives(name, memory_mb)]

    def pooled(self, name, memory_mb, figure):
        """The same figure of every warm invocation of every life, in order."""
        return sorted(value for values in self.each(name, memory_mb, figure) for value in values)

    def init(self, name, memory_mb):
        return median(self.each(name, memory_mb, "init_ms"))

    def cold(self, name, memory_mb):
        return median(life["init_ms"] + life["first_ms"] for life in self.lives(name, memory_mb))

    def warm(self, name, memory_mb):
        return median(self.pooled(name, memory_mb, "warm_ms"))

    def p99(self, name, memory_mb):
        values = self.pooled(name, memory_mb, "warm_ms")
        return values[min(len(values) - 1, int(len(values) * 0.99))]

    def billed(self, name, memory_mb):
        return median(self.pooled(name, memory_mb, "billed_ms"))

    def cpu(self, name):
        values = [value for value in self.each(name, None, "cpu_us") if value is not None]
        return median(values) if values else None

    def peak(self, name):
        return max(self.each(name, None, "peak_kib")) / 1024


def table(head, rows):
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def against(figure, ours, digits=0):
    """A figure, and how many times ours it is."""
    text = f"{figure:,.{digits}f}"
    return f"**{text}**" if figure == ours else f"{text} ({figure / ours:.{1 if figure / ours < 10 else 0}f} ×)"


def by_size(results, figure, digits=0, calls_alone=False):
    head = ["", *(f"{size} MB" for size in results.sizes)]
    rows = []
    for name in [CALLS_ALONE] * calls_alone + results.functions:
        cells = (against(figure(name, size), figure(OURS, size), digits) for size in results.sizes)
        rows.append([name, *cells])
    return table(head, rows)


def tables(results):
    machine = results.result["machine"]
    latencies = results.result["latencies_ms"]
    largest = results.sizes[-1]
    yield (
        f"{results.rounds} lives of each function at each size of memory, {len(results.pooled(OURS, largest, 'warm_ms')):,}"
        f" warm events each; DynamoDB {latencies['dynamodb']} ms, SQS {latencies['sqs']} ms, Secrets Manager"
        f" {latencies['secretsmanager']} ms, Lambda's Invoke {latencies['lambda']} ms; {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}"
        f"{'' if machine['limited'] else '; no control groups: the CPU was not limited'}."
    )
    yield "**Cold: init and first event**, milliseconds until the answer, median:"
    yield by_size(results, results.cold)
    yield "of which init, which has a whole core at every size:"
    yield by_size(results, results.init)
    yield "**Warm: each event after**, milliseconds until the answer, median:"
    yield by_size(results, results.warm, 1, calls_alone=True)
    yield "the slowest in a hundred:"
    yield by_size(results, results.p99, 1)
    yield "until the function asks for the next event, which is what Lambda bills; our confirm is in it:"
    yield by_size(results, results.billed, 1)
    yield "**What it takes**, at all sizes together; the most memory of any life:"
    rows = []
    for name in [CALLS_ALONE, *results.functions]:
        cpu, packages = results.cpu(name), results.result["packages"].get(name)
        rows.append([
            name,
            "–" if cpu is None else against(cpu, results.cpu(OURS)),
            against(results.peak(name), results.peak(OURS), 1),
            f"{packages['binary'] / 1e6:.2f}" if packages else "–",
            f"{packages['zip'] / 1e6:.2f}" if packages else "–",
        ])
    yield table(["", "CPU for an event, µs", "peak memory, MiB", "binary, MB", "zip, MB"], rows)


def targets(results):
    """What issue and README promise, and whether this run keeps it."""
    smallest = results.sizes[0]
    ours = results.cold(OURS, smallest)
    checks = [(f"cold at {smallest} MB: at most 35 ms", ours, 35)]
    for peer in ("Python, boto3", "plain Rust"):
        checks.append((f"cold at {smallest} MB: a tenth of {peer}", ours, results.cold(peer, smallest) / 10))
    for size in results.sizes:
        warm = results.warm(OURS, size)
        checks.append((f"warm at {size} MB: 1.1 of plain Rust", warm, 1.1 * results.warm("plain Rust", size)))
        checks.append((f"warm at {size} MB: half of Powertools", warm, results.warm("Python, Powertools", size) / 2))
    if (cpu := results.cpu(OURS)) is not None:
        checks.append(("CPU: 1.5 of plain Rust", cpu, 1.5 * results.cpu("plain Rust")))
        checks.append(("CPU: a quarter of boto3", cpu, results.cpu("Python, boto3") / 4))
    package = results.result["packages"][OURS]
    checks += [
        ("peak memory: under 16 MiB", results.peak(OURS), 16),
        ("binary: under 8 MB", package["binary"] / 1e6, 8),
        ("zip: under 3.5 MB", package["zip"] / 1e6, 3.5),
    ]
    for what, figure, bound in checks:
        print(f"{'kept  ' if figure <= bound else 'BROKEN'}  {what:<40} {figure:10.2f}  (bound {bound:.2f})")


def plot(results):
    import matplotlib

    matplotlib.use("svg")
    # The same figures make the same file.
    matplotlib.rcParams["svg.hashsalt"] = "slack-ingress"
    matplotlib.rcParams["font.family"] = "sans-serif"
    import matplotlib.pyplot as plt

    sizes = [results.sizes[0], results.sizes[-2] if len(results.sizes) > 1 else results.sizes[0]]
    figure, axes = plt.subplots(1, 3, figsize=(11, 2.9), sharey=True, layout="constrained")
    names = results.functions[::-1]
    ours = ["#1a7f5a" if name == OURS else "#8a94a6" for name in names]
    for axis, size in zip(axes, sizes):
        totals = [results.cold(name, size) for name in names]
        inits = [results.init(name, size) for name in names]
        axis.barh(names, totals, color=ours)
        axis.barh(names, inits, color="white", alpha=0.45)
        label(axis, totals, f"Cold at {size} MB: init (light) and first event, ms")
    warm = [results.warm(name, sizes[0]) for name in names]
    axes[2].barh(names, warm, color=ours)
    label(axes[2], warm, f"Warm at {sizes[0]} MB: each event after, ms")
    figure.savefig(PLOT, metadata={"Date": None}, facecolor="white")


def label(axis, values, title):
    axis.set_title(title, fontsize=9)
    axis.bar_label(axis.containers[0], [f" {value:,.0f}" for value in values], fontsize=8)
    axis.set_xlim(0, max(values) * 1.18)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=pathlib.Path, default=ROOT / "target/bench.json")
    parser.add_argument("--print", action="store_true", help="only print the tables")
    arguments = parser.parse_args()
    results = Results(json.loads(arguments.figures.read_text()))
    text = "\n\n".join(tables(results))
    print(text, end="\n\n")
    if arguments.print:
        return
    head, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")
    plot(results)
    targets(results)


if __name__ == "__main__":
    main()
