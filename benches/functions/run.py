"""`make bench`: how long Slack waits, for this ingress and for what it might be compared to, side by side.

There are several comparisons, each of functions that get the same request of Slack's. Each function lives often, at each
size of memory, in an order that changes from round to round, so that a machine that is busy for a while is so for all of
them. What is kept are all figures of all lives, in a file of JSON; `report.py` makes the tables and the plot of it.
"""

import argparse
import json
import os
import pathlib
import platform
import random
import statistics
import subprocess
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYTHON, NODE = sys.executable, "node"
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
INLINE = {"SLACK_SIGNING_SECRET": SECRET}

# Milliseconds a call: what the services take within a region, about. An asynchronous invocation, which puts the event on a
# queue of Lambda's own, gets the time of a message to SQS. Slack's own time is an assumption: it is in the init of a Bolt
# app, which asks for `auth.test`, and in an answer that follows `views.open`; it is not in the time to a modal.
LATENCIES = {"dynamodb": 4, "sqs": 6, "secretsmanager": 5, "lambda": 6, "slack": 50}
SYSTEM_ROOTS = next(
    (path for path in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt") if os.path.exists(path)),
    None,
)


class Function:
    """Something that answers Slack: what it is, how it is started, what it calls for each request, and the body of its
    answer, if that is looked at."""

    def __init__(self, name, command, environment, calls, package=None, answer=None):
        self.name, self.command, self.environment, self.calls = name, command, environment, calls
        self.package, self.answer = package, answer


class Comparison:
    """Functions that get the same request of Slack's: at which sizes of memory, how often after the first time, and what each
    of them calls for it besides its own. The others are compared to the first function."""

    def __init__(self, name, request, memory, warm, functions, calls=None):
        self.name, self.request, self.memory, self.warm, self.functions = name, request, memory, warm, functions
        self.calls = calls or {}


def ours(name="slack-ingress", package=None, answer=None, **variables):
    environment = {"SLACK_SIGNING_SECRET_ARN": "slack", **variables}
    calls = {"PutItem": 1, "SendMessage": 1, "UpdateItem": 1}
    return Function(name, [str(ROOT / "target/release/slack-ingress")], environment, calls, package, answer)


def python(module):
    return {**INLINE, "PYTHONPATH": str(HERE / "peers" / "python"), "_HANDLER": f"{module}.handler"}


OURS = ours(package=ROOT / "target/release/slack-ingress")
PEERS = [
    Function(
        "plain Rust",
        [str(ROOT / "target/peers/release/plain-rust")],
        INLINE,
        {"PutItem": 1, "SendMessage": 1},
        ROOT / "target/peers/release/plain-rust",
    ),
    Function(
        "Python, boto3",
        [PYTHON, "-m", "awslambdaric", "handler.handler"],
        python("handler"),
        {"PutItem": 1, "SendMessage": 1},
    ),
    Function(
        "Python, Powertools",
        [PYTHON, "-m", "awslambdaric", "powertools.handler"],
        python("powertools"),
        {"PutItem": 1, "SendMessage": 1, "UpdateItem": 1},
    ),
    Function(
        "Node, Bolt",
        [NODE, str(HERE / "target/bolt.cjs")],
        {**INLINE, "NODE_ENV": "production"},
        {"PutItem": 1, "SendMessage": 1},
    ),
    Function(
        "AWS's sample",
        [NODE, str(HERE / "target/sample.cjs")],
        {},
        {"GetSecretValue": 1, "Invoke": 1},
    ),
]


# Bolt apps that answer Slack themselves. Their secrets are in their environment.
BOLT_TOKEN = {"SLACK_BOT_TOKEN": "xoxb-made-up"}
BOLT_PYTHON = Function(
    "Bolt for Python", [PYTHON, "-m", "awslambdaric", "bolt.handler"], {**python("bolt"), **BOLT_TOKEN}, {}, answer=""
)
BOLT_LAZY = Function(
    "Bolt for Python, lazy listener",
    [PYTHON, "-m", "awslambdaric", "bolt_lazy.handler"],
    {**python("bolt_lazy"), **BOLT_TOKEN},
    {"Invoke": 1},
    answer="",
)
BOLT_JAVASCRIPT = Function(
    "Bolt for JavaScript",
    [NODE, str(HERE / "target/front.cjs")],
    {**INLINE, **BOLT_TOKEN, "NODE_ENV": "production"},
    {},
    answer="",
)

# The rules of the fast path. The examples are what an app may have; none of them is for the requests here.
PLACEHOLDER = json.loads((HERE / "peers" / "placeholder.json").read_text(encoding="utf-8"))
EXAMPLES = json.loads((ROOT / "examples" / "fast-path.json").read_text(encoding="utf-8"))["rules"]
OPENS = {"when": {"type": "shortcut", "callback_id": "neue_bestellung"}, "open": PLACEHOLDER}
ANSWERS = {"when": {"command": "/weather"}, "answer": "On it, {{user_name}}."}
ANSWER = '{"response_type":"ephemeral","text":"On it, steve."}'


def by_rules(*rules):
    """The variables of an ingress that has these rules, of which one opens a modal."""
    document = json.dumps({"version": 1, "rules": rules}, ensure_ascii=False, separators=(",", ":"))
    return {"FAST_PATH": document, "SLACK_BOT_TOKEN_ARN": "slack-bot-token"}


# 128 MB is Lambda's own default, 256 MB is what our stacks set, and 1,024 MB is the default of the Serverless Framework, with
# which Bolt's guide deploys.
BOLT_SIZES = [128, 256, 1024]


def comparisons(harness):
    yield Comparison("events", "mention", [128, 256, 512, 1769], 60, [OURS, calls_alone(harness), *PEERS])
    yield Comparison("bolt", "mention", BOLT_SIZES, 30, [OURS, BOLT_LAZY, BOLT_PYTHON, BOLT_JAVASCRIPT])
    opening = ours(answer="", **by_rules(OPENS))
    yield Comparison("modal", "shortcut", BOLT_SIZES, 30, [opening, BOLT_PYTHON, BOLT_JAVASCRIPT], {"views.open": 1})
    variants = [
        ours("no rules", answer=""),
        ours("rules for other requests", answer="", **by_rules(*EXAMPLES)),
        ours("a rule with a static answer", answer=ANSWER, **by_rules(*EXAMPLES, ANSWERS)),
    ]
    yield Comparison("rules", "command", [128, 256], 60, variants)


def calls_alone(harness):
    """Nobody's: what is left of a function when there is nothing but its calls."""
    return Function("its calls alone", [str(harness / "calls-alone")], {}, OURS.calls)


def live(harness, comparison, function, memory_mb, warm, pause_ms, limit_cpu):
    """One life of the function, and its figures."""
    calls = {**function.calls, **comparison.calls}
    plan = {
        "command": function.command,
        "environment": {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": "", **function.environment},
        "request": comparison.request,
        "answer": function.answer,
        "opens_modal": "views.open" in calls,
        "memory_mb": memory_mb,
        "limit_cpu": limit_cpu,
        "warm": warm,
        "pause_ms": pause_ms,
        "latency_ms": LATENCIES,
        "system_roots": SYSTEM_ROOTS,
    }
    command = [str(harness / "functions-bench"), json.dumps(plan)]
    # What a function logs would be a sea of lines; it is shown if something is wrong.
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{function.name} at {memory_mb} MB: {done.stderr}\n{done.stdout}")
    figures = json.loads(done.stdout)
    for operation, each in calls.items():
        # What follows an answer is over when the function has asked for the next event, and the harness waits for that.
        expected = each * (warm + 1)
        if figures["calls"].get(operation, 0) != expected:
            sys.exit(f"{function.name}: {figures['calls']}, but {expected} {operation} were expected")
    return figures


def can_limit():
    """Whether a group that is made here can be held to a share, which is found out by making one."""
    root = pathlib.Path("/sys/fs/cgroup")
    is_v2 = (root / "cgroup.controllers").exists()
    group = (root if is_v2 else root / "cpu") / f"functions-bench-probe-{os.getpid()}"
    try:
        if is_v2:
            (root / "cgroup.subtree_control").write_text("+cpu")
        group.mkdir()
        try:
            return (group / ("cpu.max" if is_v2 else "cpu.cfs_quota_us")).exists()
        finally:
            group.rmdir()
    except OSError:
        return False


def package_sizes(function):
    """Bytes of the program, and of the zip that is uploaded."""
    if function.package is None:
        return None
    archive = ROOT / "target" / "bench.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as bundle:
        bundle.write(function.package, "bootstrap")
    sizes = {"binary": function.package.stat().st_size, "zip": archive.stat().st_size}
    archive.unlink()
    return sizes


def selected(arguments):
    """The comparisons that are asked for, each with the functions that are."""
    for comparison in comparisons(arguments.harness):
        if comparison.name not in arguments.comparisons:
            continue
        if arguments.only_ours:
            own = (OURS.command, calls_alone(arguments.harness).command)
            comparison.functions = [function for function in comparison.functions if function.command in own]
        if comparison.name == "events":
            unwanted = {peer.name for peer in PEERS} - set(arguments.peers)
            comparison.functions = [function for function in comparison.functions if function.name not in unwanted]
            if arguments.without_shortcut:
                comparison.functions.append(ours("without shortcut", SDK_SHORTCUT="off"))
            for name, path in arguments.build:
                comparison.functions.append(Function(name, [path], OURS.environment, OURS.calls, pathlib.Path(path)))
        comparison.memory = arguments.memory or comparison.memory
        comparison.warm = comparison.warm if arguments.warm is None else arguments.warm
        yield comparison


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7, help="lives of each function at each size")
    parser.add_argument("--warm", type=int, help="requests of each life after its first; else as each comparison says")
    parser.add_argument("--pause-ms", type=int, default=40, help="between two requests")
    parser.add_argument("--memory", type=int, nargs="+", help="else as each comparison says")
    parser.add_argument("--harness", type=pathlib.Path, default=ROOT / "target/tool",
                        help="the folder with functions-bench and calls-alone")
    names = ["events", "bolt", "modal", "rules"]
    parser.add_argument("--comparisons", nargs="+", choices=names, metavar="NAME", default=names,
                        help=f"only these of {', '.join(names)}")
    parser.add_argument("--only-ours", action="store_true", help="and its calls alone, without the peers")
    parser.add_argument("--peers", nargs="+", choices=[peer.name for peer in PEERS], metavar="NAME",
                        default=[peer.name for peer in PEERS], help="only these peers, of the comparison of events")
    parser.add_argument("--without-shortcut", action="store_true", help="events: ours with SDK_SHORTCUT=off, too")
    parser.add_argument("--build", nargs=2, metavar=("NAME", "PATH"), action="append", default=[],
                        help="events: another build of ours, too; an earlier one, say")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "target/bench.json")
    arguments = parser.parse_args()

    limit_cpu = can_limit()
    chosen = list(selected(arguments))
    if not limit_cpu:
        print("No control groups here: every function has all of the machine, whatever its memory.")
        for comparison in chosen:
            comparison.memory = comparison.memory[-1:]

    # Once without counting: byte code is compiled, files are in the page cache.
    for comparison in chosen:
        for function in comparison.functions:
            live(arguments.harness, comparison, function, comparison.memory[-1], 1, 0, limit_cpu)
    lives = []
    for round_ in range(arguments.rounds):
        for comparison in chosen:
            for memory_mb in comparison.memory:
                for function in random.sample(comparison.functions, len(comparison.functions)):
                    figures = live(
                        arguments.harness, comparison, function, memory_mb, comparison.warm, arguments.pause_ms, limit_cpu
                    )
                    life = {"comparison": comparison.name, "function": function.name, "memory_mb": memory_mb}
                    lives.append({**life, "round": round_, **figures})
                    print(
                        f"round {round_ + 1}/{arguments.rounds}  {comparison.name:<6}  {memory_mb:>4} MB"
                        f"  {function.name:<30} init {figures['init_ms']:7.1f}  first {figures['first_ms']:7.1f}"
                        f"  warm {statistics.median(figures['warm_ms'] or [0]):6.1f} ms",
                        flush=True,
                    )
    functions = {function.name: function for comparison in chosen for function in comparison.functions}
    result = {
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "kernel": platform.release(), "limited": limit_cpu},
        "latencies_ms": LATENCIES,
        "pause_ms": arguments.pause_ms,
        # The first function of each is what the others are compared to.
        "comparisons": {comparison.name: [function.name for function in comparison.functions] for comparison in chosen},
        "packages": {name: sizes for name, function in functions.items() if (sizes := package_sizes(function))},
        "lives": lives,
    }
    arguments.output.write_text(json.dumps(result))
    print(f"\nAll figures: {arguments.output}")


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    main()
