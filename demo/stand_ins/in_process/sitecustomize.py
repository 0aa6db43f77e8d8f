"""Leads a Bolt app to the stand-ins of Slack, so that its code may be what it would be for Slack itself.

Python imports this module by itself if its folder is in PYTHONPATH. What it changes are defaults: where Slack's Web API is
(SLACK_API_URL), and where a `response_url` may lead besides Slack (SLACK_HOOKS_URL).
"""

import contextlib
import os


def set_default(function, name, value):
    """Gives a parameter of a function another default."""
    if name in (function.__kwdefaults__ or {}):
        function.__kwdefaults__[name] = value
        return
    code, defaults = function.__code__, list(function.__defaults__ or ())
    names = code.co_varnames[code.co_argcount - len(defaults):code.co_argcount]
    defaults[names.index(name)] = value
    function.__defaults__ = tuple(defaults)


with contextlib.suppress(ImportError):
    from slack_sdk.web.base_client import BaseClient

    set_default(BaseClient.__init__, "base_url", os.environ["SLACK_API_URL"] + "/")
with contextlib.suppress(ImportError):
    from slack_sdk.web.async_base_client import AsyncBaseClient

    set_default(AsyncBaseClient.__init__, "base_url", os.environ["SLACK_API_URL"] + "/")
with contextlib.suppress(ImportError):
    from slack_ingress_bolt import SqsHandler

    set_default(SqsHandler.__init__, "response_origins", (os.environ["SLACK_HOOKS_URL"],))
