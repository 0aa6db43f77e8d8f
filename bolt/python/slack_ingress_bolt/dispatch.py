"""One message through Bolt's own dispatch, to its end: middleware, listener, then the lazy listeners one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Protocol

from slack_bolt import App, BoltRequest, BoltResponse
from slack_bolt.error import BoltUnhandledRequestError
from slack_bolt.kwargs_injection import build_required_kwargs
from slack_bolt.util.utils import get_arg_names_of_callable

from . import listeners
from .ack import AsyncQueueAck, QueueAck
from .acknowledgement import Acknowledgement
from .payload import Malformed
from .respond import NotedRespond
from .run import Run, current

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncApp

Headers = dict[str, str | Sequence[str]]
# The name in a listener's context of the id under which the ingress recorded the message.
EVENT_ID = "slack_ingress_event_id"


@dataclass(frozen=True)
class Ended:
    """How a dispatch ended. Neither failed nor heard: nobody listens."""

    is_heard: bool
    """Whether a listener or a middleware of the app took it."""
    error: str | None = None
    """Why it failed, without a word of what Slack sent."""


class Dispatch(Protocol):
    def run(
        self, payload: dict[str, Any], headers: Headers, acknowledgement: Acknowledgement, event_id: str | None
    ) -> Ended: ...

    @property
    def proxy(self) -> str | None: ...

    @property
    def ssl(self) -> SSLContext | None: ...


class SyncDispatch:
    def __init__(self, app: App) -> None:
        self._app = app
        listeners.install(app)

    @property
    def proxy(self) -> str | None:
        return self._app.client.proxy

    @property
    def ssl(self) -> SSLContext | None:
        return self._app.client.ssl

    def run(
        self, payload: dict[str, Any], headers: Headers, acknowledgement: Acknowledgement, event_id: str | None
    ) -> Ended:
        listeners.install(self._app)
        ack = QueueAck(acknowledgement)
        context = context_of(ack, event_id)
        try:
            request = BoltRequest(mode="socket_mode", body=payload, headers=headers, context=context)
        except Exception as error:
            raise Malformed("Bolt cannot read the body") from error
        respond = NotedRespond(response_url=request.context.response_url, proxy=self.proxy, ssl=self.ssl)
        request.context["respond"] = respond
        run = Run()
        token = current.set(run)
        try:
            response = self._app.dispatch(request)
            message = returned(run, response, ack, acknowledgement)
            if message is not None:
                acknowledgement.send(message)
            if run.failure is None:
                for function, its_request in run.lazy:
                    function(
                        **build_required_kwargs(
                            logger=self._app.logger, required_arg_names=get_arg_names_of_callable(function),
                            request=its_request, response=None, this_func=function,
                        )
                    )
        except (Exception, SystemExit) as error:
            return escaped(error, self._app)
        finally:
            current.reset(token)
        return ended(run, response, ack.response, is_unauthorized(response, request.context, respond.was_called))


def context_of(ack: QueueAck | AsyncQueueAck, event_id: str | None) -> dict[str, Any]:
    """What Bolt's context begins with. The id is also the `external_id` of a modal that the ingress opens by its rules."""
    return {"ack": ack} | ({EVENT_ID: event_id} if event_id is not None else {})


def returned(
    run: Run, response: BoltResponse, ack: QueueAck | AsyncQueueAck, acknowledgement: Acknowledgement
) -> dict[str, Any] | None:
    """A listener may return its answer in place of an ack."""
    if run.failure is None and run.has_listener and response is not ack.response and response.status == 200:
        return acknowledgement.take(response)
    return None


def escaped(error: BaseException, app: App | AsyncApp) -> Ended:
    """What went past Bolt: an error handler's own exception, a lazy listener's, and what is no `Exception`."""
    if isinstance(error, BoltUnhandledRequestError):
        return Ended(is_heard=False)
    app.logger.error("Failed to run a listener (error: %s)", error, exc_info=error)
    return Ended(is_heard=True, error=_name(error))


def ended(run: Run, response: BoltResponse, acknowledged: BoltResponse | None, is_unauthorized: bool) -> Ended:
    if run.failure is not None:
        return Ended(is_heard=True, error=_name(run.failure))
    if not run.has_listener and acknowledged is None and is_unauthorized:
        return Ended(is_heard=True, error="Unauthorized")
    is_heard = run.has_listener or response.status != 404
    # Bolt's 404 after a listener: it ended without a call of `ack`.
    if response.status == 404 or 200 <= response.status < 300:
        return Ended(is_heard)
    # Slack would have taken it for a failure, and sent an event again.
    return Ended(is_heard, error=f"Status{response.status}")


def is_unauthorized(response: BoltResponse, context: Mapping[str, Any], has_responded: bool) -> bool:
    """Whether Bolt found no installation, or could not ask for it: it does not say which, and answers 200 with an excuse
    for the user, or posts that to the `response_url`. Such an event is kept, because the store or Slack may be down."""
    has_excuse = bool(response.body) or has_responded
    return response.status == 200 and has_excuse and context.get("authorize_result") is None


def _name(error: BaseException) -> str:
    return type(error).__name__
