"""The AWS CLI in a process that has loaded it already: a call takes a tenth of the time, and the pages make some hundred and forty.

    aws_cli.py serve SOCKET          waits for calls; each is run by a fork, with the caller's arguments, environment and descriptors
    aws_cli.py call SOCKET ARG…      is `aws ARG…`
"""

from __future__ import annotations

import array
import json
import os
import socket
import sys
import traceback


def serve(path: str) -> None:
    import awscli.clidriver  # noqa: F401  This is what takes long.

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        while True:
            caller, _ = server.accept()
            if os.fork() == 0:
                if os.fork() == 0:  # so that nobody has to wait for it
                    run(caller)
                os._exit(0)
            caller.close()
            os.wait()


def run(caller: socket.socket) -> None:
    size = array.array("i").itemsize
    message, ancillary, _, _ = caller.recvmsg(1 << 20, socket.CMSG_SPACE(3 * size))
    descriptors = array.array("i", ancillary[0][2])
    while not message.endswith(b"\n"):
        message += caller.recv(1 << 20)
    call = json.loads(message)
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
    os.chdir(call["directory"])
    own = os.environ["AWS_DATA_PATH"]  # awscli's own models, which it named when it was loaded
    os.environ.clear()
    os.environ.update(call["environment"] | {"AWS_DATA_PATH": own})
    sys.argv = ["aws", *call["arguments"]]
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate("rww"))
    status = 255
    try:
        import awscli.clidriver

        status = awscli.clidriver.main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        caller.sendall(bytes([status & 255]))
        os._exit(0)


def call(path: str, arguments: list[str]) -> int:
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        asked = json.dumps({"arguments": arguments, "environment": dict(os.environ), "directory": os.getcwd()}) + "\n"
        server.sendmsg([asked.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
        status = server.recv(1)
    return status[0] if status else 255


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(call(sys.argv[2], sys.argv[3:]))
