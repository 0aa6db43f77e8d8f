"""`make bench`: how long Slack waits, for this ingress and for what it might be compared to, side by side.

Each function lives often, at each size of memory, in an order that changes from round to round, so that a machine
that is busy for a while is so for all of them. What is kept are all figures of all lives, in a file of JSON;
`report.py` makes the table and the plot of it.
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
# queue of Lambda's own, gets the time of a message to SQS.
LATENCIES = {"dynamodb": 4, "sqs": 6, "secretsmanager": 5, "lambda": 6}
SYSTEM_ROOTS = next(
    (path for path in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt") if os.path.exists(path)),
    None,
)


class Function:
    """Something that answers Slack's events: what it is, how it is started, what it calls for each event."""

    def __init__(self, name, command, environment, calls, package=None):
        self.name, self.command, self.environment, self.calls = name, command, environment, calls
        self.package = package


def python(module):
    return {**INLINE, "PYTHONPATH": str(HERE / "peers" / "python"), "_HANDLER": f"{module}.handler"}


OURS = Function(
    "slack-ingress",
    [str(ROOT / "target/release/slack-ingress")],
    {"SLACK_SIGNING_SECRET_ARN": "slack"},
    {"PutItem": 1, "SendMessage": 1, "UpdateItem": 1},
    ROOT / "target/release/slack-ingress",
)
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


def calls_alone(harness):
    """Nobody's: what is left of a function when there is nothing but its calls."""
    return Function("its calls alone", [str(harness / "calls-alone")], {}, OURS.calls)


def live(harness, function, memory_mb, warm, pause_ms, limit_cpu):
    """One life of the function, and its figures."""
    plan = {
        "command": function.command,
        "environment": {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": "", **function.environment},
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
    for operation, each in function.calls.items():
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7, help="lives of each function at each size")
    parser.add_argument("--warm", type=int, default=60, help="invocations of each life after its first")
    parser.add_argument("--pause-ms", type=int, default=40, help="between two invocations")
    parser.add_argument("--memory", type=int, nargs="+", default=[128, 256, 512, 1769])
    parser.add_argument("--harness", type=pathlib.Path, default=ROOT / "target/tool",
                        help="the folder with functions-bench and calls-alone")
    parser.add_argument("--only-ours", action="store_true", help="and its calls alone, without the peers")
    parser.add_argument("--peers", nargs="+", choices=[peer.name for peer in PEERS], metavar="NAME",
                        default=[peer.name for peer in PEERS], help="only these peers")
    parser.add_argument("--without-shortcut", action="store_true", help="ours with SDK_SHORTCUT=off, too")
    parser.add_argument("--build", nargs=2, metavar=("NAME", "PATH"), action="append", default=[],
                        help="another build of ours, too; an earlier one, say")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "target/bench.json")
    arguments = parser.parse_args()

    functions = [OURS, calls_alone(arguments.harness)]
    if not arguments.only_ours:
        functions += [peer for peer in PEERS if peer.name in arguments.peers]
    if arguments.without_shortcut:
        off = {**OURS.environment, "SDK_SHORTCUT": "off"}
        functions.append(Function("without shortcut", OURS.command, off, OURS.calls))
    for name, path in arguments.build:
        functions.append(Function(name, [path], OURS.environment, OURS.calls, pathlib.Path(path)))
    limit_cpu = can_limit()
    if not limit_cpu:
        print("No control groups here: every function has all of the machine, whatever its memory.")
        arguments.memory = arguments.memory[-1:]

    # Once without counting: byte code is compiled, files are in the page cache.
    for function in functions:
        live(arguments.harness, function, arguments.memory[-1], 1, 0, limit_cpu)
    lives = []
    for round_ in range(arguments.rounds):
        for memory_mb in arguments.memory:
            for function in random.sample(functions, len(functions)):
                figures = live(arguments.harness, function, memory_mb, arguments.warm, arguments.pause_ms, limit_cpu)
                lives.append({"function": function.name, "memory_mb": memory_mb, "round": round_, **figures})
                print(
                    f"round {round_ + 1}/{arguments.rounds}  {memory_mb:>4} MB  {function.name:<20}"
                    f" init {figures['init_ms']:7.1f}  first {figures['first_ms']:7.1f}"
                    f"  warm {statistics.median(figures['warm_ms'] or [0]):6.1f} ms",
                    flush=True,
                )
    result = {
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "kernel": platform.release(), "limited": limit_cpu},
        "latencies_ms": LATENCIES,
        "pause_ms": arguments.pause_ms,
        "packages": {function.name: sizes for function in functions if (sizes := package_sizes(function))},
        "lives": lives,
    }
    arguments.output.write_text(json.dumps(result))
    print(f"\nAll figures: {arguments.output}")


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    main()
