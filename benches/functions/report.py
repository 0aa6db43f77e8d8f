"""From the figures of `run.py` to the tables and the plot of docs/performance.md. What was not measured stays as it is there."""

import argparse
import json
import pathlib
import statistics

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance.svg"
CALLS_ALONE = "its calls alone"
median = statistics.median


class Results:
    """The figures of one comparison: of all lives, by function and memory."""

    def __init__(self, result, comparison):
        self.result = result
        self.all_lives = [life for life in result["lives"] if life["comparison"] == comparison]
        names = result["comparisons"][comparison]
        # The one that the others are compared to first, then by how long they take.
        self.base = names[0]
        self.functions = [name for name in names if name != CALLS_ALONE]
        self.functions.sort(key=lambda name: (name != self.base, self.cold(name, self.sizes[0])))

    @property
    def sizes(self):
        return sorted({life["memory_mb"] for life in self.all_lives})

    @property
    def rounds(self):
        return 1 + max(life["round"] for life in self.all_lives)

    def lives(self, name, memory_mb=None):
        return [life for life in self.all_lives if life["function"] == name and memory_mb in (None, life["memory_mb"])]

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
        return slowest_in_a_hundred(self.pooled(name, memory_mb, "warm_ms"))

    def opened_cold(self, name, memory_mb):
        """From the start of the program until Slack had the first `views.open`."""
        return median(life["init_ms"] + life["opened_ms"][0] for life in self.lives(name, memory_mb))

    def opened(self, name, memory_mb):
        """Every later `views.open`, from the click on, in order."""
        return sorted(value for values in self.each(name, memory_mb, "opened_ms") for value in values[1:])

    def opened_warm(self, name, memory_mb):
        return median(self.opened(name, memory_mb))

    def opened_p99(self, name, memory_mb):
        return slowest_in_a_hundred(self.opened(name, memory_mb))

    def billed(self, name, memory_mb):
        return median(self.pooled(name, memory_mb, "billed_ms"))

    def cpu(self, name):
        values = [value for value in self.each(name, None, "cpu_us") if value is not None]
        return median(values) if values else None

    def peak(self, name):
        return max(self.each(name, None, "peak_kib")) / 1024


def slowest_in_a_hundred(values):
    return values[min(len(values) - 1, int(len(values) * 0.99))]


def table(head, rows):
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def against(figure, base, digits=0, is_base=False, ratio_digits=None):
    """A figure, and how many times that of the first function it is."""
    text = f"{figure:,.{digits}f}"
    if is_base:
        return f"**{text}**"
    ratio = figure / base
    if ratio_digits is None:
        ratio_digits = 1 if ratio < 10 else 0
    return f"{text} ({ratio:.{ratio_digits}f} ×)"


def by_size(results, figure, digits=0, calls_alone=False, ratio_digits=None):
    head = ["", *(f"{size} MB" for size in results.sizes)]
    rows = []
    for name in [CALLS_ALONE] * calls_alone + results.functions:
        cells = (
            against(figure(name, size), figure(results.base, size), digits, name == results.base, ratio_digits)
            for size in results.sizes
        )
        rows.append([name, *cells])
    return table(head, rows)


def takes(results, calls_alone=False):
    """What each function takes of the machine, and how large it is."""
    names = [CALLS_ALONE] * calls_alone + results.functions
    packages = [results.result["packages"].get(name) for name in names]
    head = ["", "CPU for an event, µs", "peak memory, MiB", *(["binary, MB", "zip, MB"] * any(packages))]
    rows = []
    for name, package in zip(names, packages):
        cpu, is_base = results.cpu(name), name == results.base
        row = [
            name,
            "–" if cpu is None else against(cpu, results.cpu(results.base), 0, is_base),
            against(results.peak(name), results.peak(results.base), 1, is_base),
        ]
        if any(packages):
            row += [f"{package[size] / 1e6:.2f}" if package else "–" for size in ("binary", "zip")]
        rows.append(row)
    return table(head, rows)


def how(results, what):
    """How often, with which services, on which machine."""
    machine, latencies = results.result["machine"], results.result["latencies_ms"]
    warm = len(results.pooled(results.base, results.sizes[-1], "warm_ms"))
    return (
        f"{results.rounds} lives of each function at each size of memory, {warm:,} warm {what} each; DynamoDB"
        f" {latencies['dynamodb']} ms, SQS {latencies['sqs']} ms,\nSecrets Manager {latencies['secretsmanager']} ms, Lambda's"
        f" Invoke {latencies['lambda']} ms, Slack {latencies['slack']} ms; {machine['cpu']}, {machine['cores']} cores, Linux"
        f" {machine['kernel']}{'' if machine['limited'] else '; no control groups: the CPU was not limited'}."
    )


COLD = "**Cold: init and first event**, milliseconds until the answer, median:"
WARM = "**Warm: each event after**, milliseconds until the answer, median:"
SLOWEST = "the slowest in a hundred:"
TAKES = "**What it takes**, at all sizes together; the most memory of any life:"


def events(results):
    yield how(results, "events")
    yield COLD
    yield by_size(results, results.cold)
    yield "of which init, which has a whole core at every size:"
    yield by_size(results, results.init)
    yield WARM
    yield by_size(results, results.warm, 1, calls_alone=True)
    yield SLOWEST
    yield by_size(results, results.p99, 1)
    yield "until the function asks for the next event, which is what Lambda bills; our confirm is in it:"
    yield by_size(results, results.billed, 1)
    yield TAKES
    yield takes(results, calls_alone=True)


def bolt(results):
    yield how(results, "events")
    yield COLD
    yield by_size(results, results.cold)
    yield WARM
    yield by_size(results, results.warm, 1)
    yield SLOWEST
    yield by_size(results, results.p99, 1)
    yield TAKES
    yield takes(results)


def modal(results):
    yield how(results, "clicks")
    yield "**Cold: init and first click**, milliseconds until Slack has the whole of `views.open`, median:"
    yield by_size(results, results.opened_cold)
    yield "**Warm: each click after**, milliseconds until Slack has the whole of `views.open`, median:"
    yield by_size(results, results.opened_warm, 1)
    yield SLOWEST
    yield by_size(results, results.opened_p99, 1)


def rules(results):
    yield how(results, "commands")
    yield "**Cold: init and first command**, milliseconds until the answer, median:"
    yield by_size(results, results.cold, 1, ratio_digits=2)
    yield "of which init:"
    yield by_size(results, results.init, 1, ratio_digits=2)
    yield "**Warm: each command after**, milliseconds until the answer, median:"
    yield by_size(results, results.warm, 2, ratio_digits=2)
    yield SLOWEST
    yield by_size(results, results.p99, 1, ratio_digits=2)
    yield TAKES
    yield takes(results)


# The parts of the page, by the comparison that each is made of.
PARTS = {"events": events, "bolt": bolt, "modal": modal, "rules": rules}


def targets(results):
    """What issue and README promise, and whether this run keeps it."""
    smallest = results.sizes[0]
    ours = results.cold(results.base, smallest)
    checks = [(f"cold at {smallest} MB: at most 35 ms", ours, 35)]
    for peer in ("Python, boto3", "plain Rust"):
        checks.append((f"cold at {smallest} MB: a tenth of {peer}", ours, results.cold(peer, smallest) / 10))
    for size in results.sizes:
        warm = results.warm(results.base, size)
        checks.append((f"warm at {size} MB: 1.1 of plain Rust", warm, 1.1 * results.warm("plain Rust", size)))
        checks.append((f"warm at {size} MB: half of Powertools", warm, results.warm("Python, Powertools", size) / 2))
    if (cpu := results.cpu(results.base)) is not None:
        checks.append(("CPU: 1.5 of plain Rust", cpu, 1.5 * results.cpu("plain Rust")))
        checks.append(("CPU: a quarter of boto3", cpu, results.cpu("Python, boto3") / 4))
    package = results.result["packages"][results.base]
    checks += [
        ("peak memory: under 16 MiB", results.peak(results.base), 16),
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
    ours = ["#1a7f5a" if name == results.base else "#8a94a6" for name in names]
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


def in_page(page, part, text):
    """The page with this text as its part of this name."""
    begin, end = f"<!-- begin: make bench, {part} -->", f"<!-- end: make bench, {part} -->"
    head, _, rest = page.partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        raise SystemExit(f"{PAGE} has no part between {begin} and {end}")
    return f"{head}{begin}\n{text}\n{end}{tail}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=pathlib.Path, default=ROOT / "target/bench.json")
    parser.add_argument("--print", action="store_true", help="only print the tables")
    arguments = parser.parse_args()
    result = json.loads(arguments.figures.read_text())
    measured = {name: Results(result, name) for name in PARTS if name in result["comparisons"]}
    texts = {name: "\n\n".join(PARTS[name](results)) for name, results in measured.items()}
    for name, text in texts.items():
        print(f"# {name}\n\n{text}", end="\n\n")
    if arguments.print:
        return
    page = PAGE.read_text()
    for name, text in texts.items():
        page = in_page(page, name, text)
    PAGE.write_text(page)
    if "events" in measured:
        plot(measured["events"])
        targets(measured["events"])


if __name__ == "__main__":
    main()
