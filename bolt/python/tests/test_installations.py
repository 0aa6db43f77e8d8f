"""OAuth and `authorize`: which installation's token a listener gets, as Bolt itself decides."""

from __future__ import annotations

import re
import urllib.parse

import pytest
from apps import SIGNING_SECRET, async_app, sync_app
from messages import Context, event, failures, record, sample
from slack import Fault, Slack
from slack_bolt import App
from slack_bolt.adapter.aws_lambda import SlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.oauth.oauth_settings import OAuthSettings
from slack_sdk import WebClient
from slack_sdk.oauth.installation_store import FileInstallationStore, Installation
from slack_sdk.oauth.state_store import FileOAuthStateStore
from slack_sdk.web.async_client import AsyncWebClient

from slack_ingress_bolt import SqsHandler

both = pytest.mark.parametrize("is_async", [False, True], ids=["App", "AsyncApp"])
HOME, OTHER, ORG = "T061EG9R6", "T0OTHER", "E0ORG12345"


class Store(FileInstallationStore):
    """Slack's own file store, in whose place a store may also be down."""

    is_down = False

    def find_installation(self, **arguments):
        if self.is_down:
            raise ConnectionError("the store is down")
        return super().find_installation(**arguments)

    async def async_find_installation(self, **arguments):
        return self.find_installation(**arguments)


@pytest.fixture
def store(tmp_path) -> Store:
    it = Store(base_dir=str(tmp_path), client_id="1.2")
    for team, enterprise, token in ((HOME, None, "xoxb-home"), (OTHER, None, "xoxb-other"), (None, ORG, "xoxb-org")):
        it.save(Installation(
            app_id="A0F7YS25R", team_id=team, enterprise_id=enterprise, is_enterprise_install=enterprise is not None,
            bot_token=token, bot_id="B0LAN0Z90", bot_user_id="U0LAN0Z89", bot_scopes=["chat:write"], user_id="U0INSTALLER"))
    return it


def app_with(store: Store, slack: Slack, tmp_path, is_async: bool):
    settings = {
        "client_id": "1.2", "client_secret": "made-up", "installation_store": store,
        "state_store": FileOAuthStateStore(expiration_seconds=60, base_dir=str(tmp_path)),
    }
    if is_async:
        app = AsyncApp(signing_secret=SIGNING_SECRET, oauth_settings=AsyncOAuthSettings(**settings),
                       client=AsyncWebClient(base_url=slack.api_url))

        @app.event("app_mention")
        @app.event("message")
        async def mention(say):
            await say("Yes?")

        app.enable_token_revocation_listeners()
    else:
        app = App(signing_secret=SIGNING_SECRET, oauth_settings=OAuthSettings(**settings),
                  client=WebClient(base_url=slack.api_url))

        @app.event("app_mention")
        @app.event("message")
        def mention(say):
            say("Yes?")

        app.enable_token_revocation_listeners()
    return app


def get(path: str, cookies: list[str] | None = None, **query: str) -> dict:
    """What an HTTP API sends (payload format 2.0) for the page of a browser."""
    more = {"queryStringParameters": query} if query else {}
    return {
        "version": "2.0", "routeKey": f"GET {path}", "rawPath": path, "rawQueryString": urllib.parse.urlencode(query),
        "headers": {"host": "a1.execute-api.eu-central-1.amazonaws.com", "accept": "text/html"}, "isBase64Encoded": False,
        "requestContext": {"http": {"method": "GET", "path": path}, "stage": "$default"},
    } | more | ({"cookies": cookies} if cookies else {})


def mention_in(team: str | None, enterprise: str | None = None):
    it = sample("app_mention")
    where = {"team_id": team, "enterprise_id": enterprise, "is_enterprise_install": enterprise is not None}
    authorizations = [{"user_id": "U0LAN0Z89", "is_bot": True} | where]
    return it.changed(authorizations=authorizations, context_team_id=team, context_enterprise_id=enterprise,
                      enterprise_id=enterprise, team_id=team, is_enterprise_install=enterprise is not None)


@both
def test_a_listener_has_the_token_of_the_events_installation(is_async, store, slack: Slack, tmp_path) -> None:
    handler = SqsHandler(app_with(store, slack, tmp_path, is_async))
    where = [mention_in(HOME), mention_in(OTHER), mention_in("T0OF_ORG", ORG), sample("enterprise_without_team")]
    assert failures(handler(event(*map(record, where)), Context())) == []
    assert [it.token for it in slack.calls("chat.postMessage")] == ["xoxb-home", "xoxb-other", "xoxb-org", "xoxb-org"]


@both
@pytest.mark.parametrize("why", ["not installed", "the store is down", "slack is down"])
def test_an_event_for_which_no_installation_was_found_is_kept(is_async, why, store, slack, tmp_path, lines) -> None:
    """Bolt answers 200 to it, so that Slack does not send it again; here it is not done, because the next time may do."""
    handler = SqsHandler(app_with(store, slack, tmp_path, is_async))
    it = mention_in("T0NOWHERE" if why == "not installed" else HOME)
    store.is_down = why == "the store is down"
    if why == "slack is down":
        slack.inject("auth.test", Fault(body={"ok": False, "error": "service_unavailable"}))
    assert len(failures(handler(event(record(it)), Context()))) == 1
    assert lines()[0]["error"] == ("ConnectionError" if store.is_down else "Unauthorized")
    assert slack.calls("chat.postMessage") == []
    store.is_down = False
    assert len(failures(handler(event(record(it)), Context()))) == (1 if why == "not installed" else 0)


@both
def test_so_is_a_command_whose_user_bolt_tells(is_async, store, slack: Slack, tmp_path, lines) -> None:
    handler = SqsHandler(app_with(store, slack, tmp_path, is_async))
    it = sample("slash_command").at(slack.url).changed(team_id="T0NOWHERE")
    assert len(failures(handler(event(record(it)), Context()))) == 1
    assert "no longer available" in slack.calls("response_url")[0].values["text"]
    assert lines()[0]["error"] == "Unauthorized"


@both
def test_an_installation_that_is_gone_is_deleted_from_the_store(is_async, store, slack: Slack, tmp_path) -> None:
    handler = SqsHandler(app_with(store, slack, tmp_path, is_async))
    assert store.find_installation(enterprise_id=None, team_id=HOME) is not None
    assert failures(handler(event(record(sample("app_uninstalled"))), Context())) == []
    assert store.find_installation(enterprise_id=None, team_id=HOME) is None


@both
def test_an_authorize_function_of_the_apps_own_is_asked(is_async, slack: Slack) -> None:
    asked = []

    def result(team_id):
        asked.append(team_id)
        return AuthorizeResult(enterprise_id=None, team_id=team_id, bot_token=f"xoxb-of-{team_id}", bot_user_id="U1")

    if is_async:
        async def authorize(team_id):
            return result(team_id)

        app = AsyncApp(authorize=authorize, client=AsyncWebClient(base_url=slack.api_url), signing_secret=SIGNING_SECRET)

        @app.event("app_mention")
        async def mention(say):
            await say("Yes?")
    else:
        app = App(authorize=result, client=WebClient(base_url=slack.api_url), signing_secret=SIGNING_SECRET)

        @app.event("app_mention")
        def mention(say):
            say("Yes?")

    handler = SqsHandler(app)
    assert failures(handler(event(record(mention_in(HOME)), record(mention_in(OTHER))), Context())) == []
    assert asked == [HOME, OTHER]
    assert [it.token for it in slack.calls("chat.postMessage")] == [f"xoxb-of-{HOME}", f"xoxb-of-{OTHER}"]


@both
def test_what_a_middleware_before_authorize_answers_is_done(is_async, slack: Slack, lines) -> None:
    """It is no missing installation, although nobody was authorized."""
    from slack_bolt import BoltResponse

    if is_async:
        async def before(ack):
            return BoltResponse(status=200)

        app = async_app(slack.api_url, before_authorize=before)
    else:
        app, _ = sync_app(slack.api_url, before_authorize=lambda ack: BoltResponse(status=200))
    assert failures(SqsHandler(app)(event(record(sample("app_mention")), record(sample("shortcut"))), Context())) == []
    assert [it["outcome"] for it in lines()] == ["done", "done"]


def test_what_the_pages_install_is_found_behind_the_queue(store, slack: Slack, tmp_path) -> None:
    """Bolt's own pages in a function behind two GET routes, as the README says, and the app behind the queue."""
    new = "T0NEW"
    pages = SlackRequestHandler(app_with(store, slack, tmp_path, False))
    page = pages.handle(get("/slack/install"), None)
    assert page["statusCode"] == 200
    assert page["headers"]["content-type"].startswith("text/html")
    [state] = re.findall(r"slack\.com/oauth/v2/authorize\?state=([^&]+)&", page["body"])
    cookie, _, _ = page["headers"]["set-cookie"].partition(";")
    assert cookie == f"slack-app-oauth-state={state}"

    slack.inject("oauth.v2.access", Fault(body={
        "ok": True, "access_token": "xoxb-new", "token_type": "bot", "scope": "chat:write", "bot_user_id": "U0LAN0Z89",
        "app_id": "A0F7YS25R", "team": {"id": new, "name": "New"}, "enterprise": None, "authed_user": {"id": "U0INSTALLER"},
        "is_enterprise_install": False}))
    back = pages.handle(get("/slack/oauth_redirect", [cookie], code="a-code", state=state), None)
    assert back["statusCode"] == 200, back["body"]
    assert [it.values["code"] for it in slack.calls("oauth.v2.access")] == ["a-code"]

    answer = SqsHandler(app_with(store, slack, tmp_path, False))(event(record(mention_in(new))), Context())
    assert failures(answer) == []
    assert [it.token for it in slack.calls("chat.postMessage")] == ["xoxb-new"]


def test_the_pages_refuse_the_state_of_another_browser(store, slack: Slack, tmp_path) -> None:
    pages = SlackRequestHandler(app_with(store, slack, tmp_path, False))
    cookie = pages.handle(get("/slack/install"), None)["headers"]["set-cookie"]
    state = cookie.partition(";")[0].partition("=")[2]
    back = pages.handle(get("/slack/oauth_redirect", code="a-code", state=state), None)
    assert back["statusCode"] == 400
    assert slack.calls("oauth.v2.access") == []
