"""The tools of the agent's Gateway, called as a model calls them: by Strands, its real MCP client and the stand-in for the
Gateway, with the documents that are deployed. Stand-ins play the model, Slack and Trello."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from calls import with_calls
from payloads import asked, new_record
from stand_ins.canvases import Canvas, sections_of
from stand_ins.converse import Converse, calls, says, tools_in
from stand_ins.gateway import Credential, Gateway, agent_targets
from stand_ins.slack_api import SlackApi, failure
from stand_ins.trello_api import Card, TrelloApi

from slack_agent.payload import parse
from slack_agent.thinking import thinking

MODEL = "eu.anthropic.claude-some-model-v1:0"
CHANNEL = "C0TRAVEL"
CANVAS_TOOLS = ["canvases___create_canvas", "canvases___edit_canvas", "canvases___find_canvas_sections"]
TRELLO_TOOLS = [f"trello___{name}" for name in ("comment_on_card", "create_card", "list_board_lists", "list_boards",
                                                "list_cards", "update_card")]
BOARD_FIELDS, LIST_FIELDS = "id,name,url", "id,name"
CARD_FIELDS = "id,name,desc,due,dueComplete,idList,shortUrl"

Arguments = dict[str, Any]


class Result:
    """What a tool returned to the model."""

    def __init__(self, block: dict[str, Any]) -> None:
        self.is_error = block["status"] == "error"
        self.text = "".join(part.get("text", "") for part in block["content"])

    @property
    def json(self) -> Any:
        assert not self.is_error, self.text
        found = json.loads(self.text)
        # The stand-in's MCP server puts a list into an object.
        return found["result"] if isinstance(found, dict) and set(found) == {"result"} else found


UseTool = Callable[[str, Arguments], Result]


@pytest.fixture
def slack() -> Iterator[SlackApi]:
    with SlackApi("xoxb-the-bots") as slack:
        yield slack


@pytest.fixture
def trello() -> Iterator[TrelloApi]:
    with TrelloApi() as trello:
        yield trello


@pytest.fixture
def bot_token() -> Credential:
    return Credential("xoxb-the-bots")


@pytest.fixture
def trello_credential(trello: TrelloApi) -> Credential:
    return Credential(trello.credential, "OAuth")


@pytest.fixture
def gateway(
    slack: SlackApi, bot_token: Credential, trello: TrelloApi, trello_credential: Credential
) -> Iterator[Gateway]:
    with Gateway(agent_targets(slack.url, bot_token, trello.url, trello_credential)) as gateway:
        yield gateway


@pytest.fixture
def use(converse: Converse, gateway: Gateway) -> UseTool:
    """Asks a question about which the model calls this tool, which is the only one that TOOLS names. Returns what the tool
    returned to the model."""

    def use(name: str, arguments: Arguments) -> Result:
        converse.turns = [calls((name, arguments)), says("That is done.")]
        think = thinking({"THINKING": f"strands:{MODEL}", "AWS_REGION": "us-east-1", "GATEWAY_URL": gateway.url,
                          "TOOLS": name.rpartition("___")[2]})
        question = parse(asked(new_record(), "0" * 32, "please do it")).asked("a session", 1)
        assert think(with_calls(question, gateway.url)) == "That is done."
        first, second = converse.bodies[-2:]
        assert tools_in(first) == [name]
        [block] = [block["toolResult"] for block in second["messages"][-1]["content"] if "toolResult" in block]
        return Result(block)

    return use


def markdown(text: str) -> Arguments:
    return {"type": "markdown", "markdown": text}


# All tools.


@pytest.mark.parametrize("name", [*CANVAS_TOOLS, *TRELLO_TOOLS])
def test_a_tool_is_offered_with_its_description_and_its_parameters(name: str, use: UseTool, converse: Converse) -> None:
    use(name, {})
    [tool] = converse.bodies[0]["toolConfig"]["tools"]
    spec = tool["toolSpec"]
    schema = spec["inputSchema"]["json"]
    assert len(spec["description"]) > 60
    assert schema["properties"] and set(schema["required"]) <= set(schema["properties"])
    assert all(it.get("description") for it in schema["properties"].values()), schema["properties"]


def test_each_target_is_called_with_its_own_credential(
    use: UseTool, slack: SlackApi, trello: TrelloApi, bot_token: Credential, trello_credential: Credential
) -> None:
    create = {"channel_id": CHANNEL, "title": "Trip", "document_content": markdown("Ulm")}
    boards = {"filter": "open", "fields": BOARD_FIELDS}
    assert use("canvases___create_canvas", create).json["ok"] and use("trello___list_boards", boards).json
    bot_token.secret = "another"
    assert use("canvases___create_canvas", create).json["error"] == "invalid_auth"
    assert use("slack___post_to_slack", {"channel": CHANNEL, "text": "Ulm"}).json["error"] == "invalid_auth"
    assert use("trello___list_boards", boards).json
    bot_token.secret, trello_credential.secret = "xoxb-the-bots", "another"
    assert use("trello___list_boards", boards).is_error
    assert use("canvases___create_canvas", create).json["ok"]


def test_there_are_no_tools_for_trello_unless_they_are_asked_for(
    slack: SlackApi, bot_token: Credential, converse: Converse, caplog: pytest.LogCaptureFixture
) -> None:
    with Gateway(agent_targets(slack.url, bot_token)) as gateway:
        think = thinking({"THINKING": f"strands:{MODEL}", "AWS_REGION": "us-east-1", "GATEWAY_URL": gateway.url,
                          "TOOLS": "create_card"})
        with pytest.raises(Exception, match="create_card, which is no tool of the Gateway's") as raised:
            think(parse(asked(new_record(), "0" * 32, "please do it")).asked("a session", 1))
    assert "canvases___create_canvas" in str(raised.value) and "trello" not in str(raised.value)


# Canvases.


@pytest.fixture
def canvas(use: UseTool, slack: SlackApi) -> Canvas:
    """A canvas that a model has created."""
    text = "# Trip\nWe go by train.\n\n## Ulm\n- the minster\n- the Danube\n\n## Basel"
    made = use("canvases___create_canvas", {"channel_id": CHANNEL, "title": "Trip", "document_content": markdown(text)})
    [canvas] = slack.canvases
    assert made.json == {"ok": True, "canvas_id": canvas.id}
    return canvas


def edit(canvas: Canvas, **change: Any) -> Arguments:
    return {"canvas_id": canvas.id, "changes": [change]}


def test_a_canvas_is_created_in_a_channel(canvas: Canvas) -> None:
    assert (canvas.title, canvas.channel) == ("Trip", CHANNEL)
    sections = [section.markdown for section in canvas.sections]
    assert sections == ["# Trip", "We go by train.", "## Ulm", "- the minster\n- the Danube", "## Basel"]


@pytest.mark.parametrize(("change", "after"), [
    ({"operation": "insert_at_start", "document_content": markdown("new")}, "new|# Trip|one|## Ulm|two"),
    ({"operation": "insert_at_end", "document_content": markdown("new")}, "# Trip|one|## Ulm|two|new"),
    ({"operation": "insert_before", "document_content": markdown("new")}, "# Trip|one|new|## Ulm|two"),
    ({"operation": "insert_after", "document_content": markdown("new")}, "# Trip|one|## Ulm|new|two"),
    ({"operation": "replace", "document_content": markdown("new")}, "# Trip|one|new|two"),
    ({"operation": "delete"}, "# Trip|one|two"),
])
def test_a_section_is_found_and_the_canvas_is_changed_there(
    use: UseTool, slack: SlackApi, canvas: Canvas, change: Arguments, after: str
) -> None:
    canvas.sections = sections_of("# Trip\none\n## Ulm\ntwo")
    criteria = {"section_types": ["h2"], "contains_text": "Ulm"}
    found = use("canvases___find_canvas_sections", {"canvas_id": canvas.id, "criteria": criteria}).json
    [section] = found["sections"]
    assert section == {"id": canvas.sections[2].id}, "Slack tells the ids of sections, and nothing that is in them"
    if not change["operation"].startswith("insert_at"):
        change = change | {"section_id": section["id"]}
    assert use("canvases___edit_canvas", edit(canvas, **change)).json == {"ok": True}
    assert "|".join(section.markdown for section in canvas.sections) == after


def test_a_whole_canvas_is_replaced_and_renamed(use: UseTool, canvas: Canvas) -> None:
    use("canvases___edit_canvas", edit(canvas, operation="replace", document_content=markdown("Nothing.")))
    use("canvases___edit_canvas", edit(canvas, operation="rename", title_content=markdown("No trip")))
    assert (canvas.title, canvas.markdown) == ("No trip", "Nothing.")


@pytest.mark.parametrize(("criteria", "found"), [
    ({"section_types": ["any_header"]}, ["# Trip", "## Ulm", "## Basel"]),
    ({"section_types": ["h1", "h3"]}, ["# Trip"]),
    ({"contains_text": "Danube"}, ["- the minster\n- the Danube"]),
    ({"contains_text": "Bern"}, []),
])
def test_sections_are_found_by_their_kind_and_by_their_text(
    use: UseTool, canvas: Canvas, criteria: Arguments, found: list[str]
) -> None:
    result = use("canvases___find_canvas_sections", {"canvas_id": canvas.id, "criteria": criteria}).json
    ids = [section["id"] for section in result["sections"]]
    assert [section.markdown for section in canvas.sections if section.id in ids] == found and len(ids) == len(found)


@pytest.mark.parametrize(("name", "scope"), [
    ("canvases___create_canvas", "canvases:write"), ("canvases___edit_canvas", "canvases:write"),
    ("canvases___find_canvas_sections", "canvases:read")])
def test_without_its_scope_a_tool_for_canvases_says_which_is_missing(
    use: UseTool, slack: SlackApi, canvas: Canvas, name: str, scope: str
) -> None:
    slack.scopes.discard(scope)
    before = canvas.markdown
    result = use(name, {
        "canvases___create_canvas": {"channel_id": CHANNEL, "title": "x", "document_content": markdown("x")},
        "canvases___edit_canvas": edit(canvas, operation="replace", document_content=markdown("x")),
        "canvases___find_canvas_sections": {"canvas_id": canvas.id, "criteria": {"contains_text": "Ulm"}}}[name]).json
    assert (result["ok"], result["error"], result["needed"]) == (False, "missing_scope", scope)
    assert len(slack.canvases) == 1 and canvas.markdown == before


def test_on_a_free_plan_a_channel_has_one_canvas(use: UseTool, slack: SlackApi, canvas: Canvas) -> None:
    slack.is_free = True
    create = {"channel_id": CHANNEL, "title": "Another", "document_content": markdown("x")}
    result = use("canvases___create_canvas", create).json
    assert result == {"ok": False, "error": "free_team_canvas_tab_already_exists"}
    assert use("canvases___create_canvas", create | {"channel_id": "C0OTHER"}).json["ok"]
    assert use("canvases___edit_canvas", edit(canvas, operation="delete", section_id=canvas.sections[0].id)).json["ok"]
    canvas.channel = None
    result = use("canvases___edit_canvas", edit(canvas, operation="delete", section_id=canvas.sections[0].id)).json
    assert result["error"] == "free_teams_cannot_edit_standalone_canvases"


def test_slack_refuses_a_canvas_without_a_channel_on_a_free_plan_only(slack: SlackApi) -> None:
    """The tool asks for a channel in any case, so this is about the stand-in alone."""
    create: Callable[[], Any] = lambda: slack.answer("canvases.create", "Bearer xoxb-the-bots", {"title": "x"})  # noqa: E731
    assert create().body["ok"]
    slack.is_free = True
    assert create() == failure("free_teams_cannot_create_non_tabbed_canvases")


def test_what_slack_refuses_of_a_canvas_reaches_the_model(use: UseTool, slack: SlackApi, canvas: Canvas) -> None:
    before = canvas.markdown

    def error_of_edit(**change: Any) -> Any:
        return use("canvases___edit_canvas", edit(canvas, **change)).json["error"]

    content = {"document_content": markdown("x")}
    assert error_of_edit(operation="insert_after", section_id="temp:C:gone", **content) == "canvas_editing_failed"
    assert error_of_edit(operation="insert_after", **content) == "invalid_arguments"
    assert error_of_edit(operation="shuffle", **content) == "invalid_arguments"
    two = edit(canvas, operation="delete", section_id=canvas.sections[0].id)
    two["changes"] *= 2
    result = use("canvases___edit_canvas", two).json
    assert "no more than 1 items allowed" in result["response_metadata"]["messages"][0]
    bad = use("canvases___edit_canvas", edit(canvas, operation="replace", document_content=markdown("> - x"))).json
    assert bad["error"] == "canvas_editing_failed" and "line 1: Unsupported block type (List)" in bad["detail"]
    bad = use("canvases___create_canvas",
              {"channel_id": CHANNEL, "title": "x", "document_content": markdown("fine\n> - x")}).json
    assert bad["error"] == "canvas_creation_failed" and "line 2" in bad["detail"]
    slack.fail("restricted_action", method="canvases.edit")
    assert error_of_edit(operation="replace", **content) == "restricted_action"
    assert canvas.markdown == before and len(slack.canvases) == 1


def test_a_canvas_that_is_gone_or_switched_off_reaches_the_model(use: UseTool, slack: SlackApi, canvas: Canvas) -> None:
    change = edit(canvas, operation="replace", document_content=markdown("x"))
    find = {"canvas_id": canvas.id, "criteria": {"contains_text": "Ulm"}}
    for name, arguments in (("edit_canvas", change), ("find_canvas_sections", find)):
        unknown = use(f"canvases___{name}", arguments | {"canvas_id": "F0UNKNOWN"}).json
        assert unknown == {"ok": False, "error": "canvas_not_found"}
    slack.delete_canvas(canvas.id)
    assert use("canvases___find_canvas_sections", find).json["error"] == "canvas_deleted"
    assert use("canvases___edit_canvas", change).json["error"] == "canvas_not_found"
    slack.has_canvases = False
    assert use("canvases___edit_canvas", change).json["error"] == "canvas_disabled_user_team"


def test_too_many_calls_of_slack_reach_the_model_as_a_failure(use: UseTool, slack: SlackApi, canvas: Canvas) -> None:
    slack.fail("ratelimited", method="canvases.edit")
    result = use("canvases___edit_canvas", edit(canvas, operation="replace", document_content=markdown("x")))
    assert result.is_error and "429" in result.text and "ratelimited" in result.text


# Trello.


@pytest.fixture
def card(use: UseTool, trello: TrelloApi) -> Card:
    """A card that a model has created."""
    made = use("trello___create_card", {"idList": trello.lists["To do"], "name": "Book the train", "desc": "To *Ulm*",
                                        "due": "2030-01-31T17:00:00Z", "pos": "top"}).json
    [card] = trello.cards
    assert (made["id"], made["name"], made["idList"]) == (card.id, "Book the train", trello.lists["To do"])
    assert made["shortUrl"].startswith("https://trello.com/c/")
    return card


def test_a_card_is_created_with_what_is_given(card: Card) -> None:
    assert (card.name, card.desc, card.due) == ("Book the train", "To *Ulm*", "2030-01-31T17:00:00Z")
    assert not card.due_complete and not card.closed and card.comments == []


def test_boards_lists_and_cards_are_listed_shortly(use: UseTool, trello: TrelloApi, card: Card) -> None:
    [board] = use("trello___list_boards", {"filter": "open", "fields": BOARD_FIELDS}).json
    assert board["name"] == "Travel" and set(board) == {"id", "name", "url"}
    lists = use("trello___list_board_lists", {"idBoard": board["id"], "fields": LIST_FIELDS}).json
    assert lists == [{"id": id_list, "name": name} for name, id_list in trello.lists.items()]
    [listed] = use("trello___list_cards", {"idList": lists[0]["id"], "fields": CARD_FIELDS}).json
    assert (listed["id"], listed["desc"]) == (card.id, "To *Ulm*") and set(listed) == set(CARD_FIELDS.split(","))
    assert use("trello___list_cards", {"idList": lists[1]["id"], "fields": CARD_FIELDS}).json == []


def test_a_card_is_moved_changed_and_archived_and_what_is_not_given_stays(
    use: UseTool, trello: TrelloApi, card: Card
) -> None:
    def update(**changes: Any) -> Any:
        return use("trello___update_card", {"idCard": card.id} | changes).json

    assert update(idList=trello.lists["Doing"])["idList"] == trello.lists["Doing"]
    assert (card.id_list, card.name, card.desc) == (trello.lists["Doing"], "Book the train", "To *Ulm*")
    assert update(name="Book two trains", dueComplete=True)["dueComplete"]
    assert (card.name, card.due_complete, card.id_list) == ("Book two trains", True, trello.lists["Doing"])
    assert update(closed=True)["closed"]
    assert use("trello___list_cards", {"idList": card.id_list, "fields": CARD_FIELDS}).json == []


def test_a_card_is_commented_on_by_its_id_and_by_what_stands_in_its_link(use: UseTool, card: Card) -> None:
    for id_card, text in ((card.id, "Done?"), (card.id[-8:], "Größe: 2 🚀")):
        comment = use("trello___comment_on_card", {"idCard": id_card, "text": text}).json
        assert comment["type"] == "commentCard"
    assert card.comments == ["Done?", "Größe: 2 🚀"]


@pytest.mark.parametrize(("credential", "text"), [
    ("a-random-value-that-nobody-has-replaced", "invalid key"),
    ('oauth_consumer_key="another", oauth_token="made-up-token"', "invalid key"),
    ('oauth_consumer_key="made-up-key", oauth_token="another"', "invalid token"),
])
def test_a_wrong_credential_for_trello_reaches_the_model_as_a_failure(
    use: UseTool, trello: TrelloApi, trello_credential: Credential, credential: str, text: str
) -> None:
    trello_credential.secret = credential
    result = use("trello___create_card", {"idList": trello.lists["To do"], "name": "x"})
    assert result.is_error and "401" in result.text and text in result.text
    assert credential not in result.text and trello.cards == []


def test_trello_wants_the_scheme_oauth_and_one_space(
    use: UseTool, trello: TrelloApi, trello_credential: Credential
) -> None:
    for prefix in ("Bearer", "OAuth "):
        trello_credential.prefix = prefix
        result = use("trello___list_boards", {"filter": "open", "fields": BOARD_FIELDS})
        assert result.is_error is (prefix == "Bearer"), prefix


def test_trello_takes_the_credential_as_query_parameters_too(trello: TrelloApi) -> None:
    """That is how people try it out. The Gateway could add only one of the two."""

    def status(query: str) -> int:
        try:
            with urllib.request.urlopen(f"{trello.url}/members/me/boards?{query}", timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    assert status(f"key={trello.key}&token={trello.token}") == 200
    assert [status(f"key={trello.key}"), status(f"token={trello.token}"), status("")] == [401] * 3


def test_what_trello_refuses_reaches_the_model_as_a_failure(use: UseTool, trello: TrelloApi, card: Card) -> None:
    unknown = "0" * 24

    def refused(name: str, arguments: Arguments) -> str:
        result = use(f"trello___{name}", arguments)
        assert result.is_error
        return result.text

    assert "400: invalid id" in refused("list_cards", {"idList": "To do", "fields": CARD_FIELDS})
    assert "400: invalid value for idList" in refused("create_card", {"idList": unknown, "name": "x"})
    assert "400: invalid value for text" in refused("comment_on_card", {"idCard": card.id, "text": ""})
    not_found = "404: The requested resource was not found."
    assert not_found in refused("list_cards", {"idList": unknown, "fields": CARD_FIELDS})
    assert not_found in refused("list_board_lists", {"idBoard": unknown, "fields": LIST_FIELDS})
    assert not_found in refused("update_card", {"idCard": unknown, "closed": True})
    assert not_found in refused("comment_on_card", {"idCard": unknown, "text": "x"})
    trello.is_read_only = True
    assert "401: unauthorized permission requested" in refused("update_card", {"idCard": card.id, "closed": True})
    assert len(trello.cards) == 1 and not card.closed and card.comments == []
    trello.too_many = 1
    assert "429" in (text := refused("list_boards", {"filter": "open", "fields": BOARD_FIELDS}))
    assert "API_TOKEN_LIMIT_EXCEEDED" in text


def test_a_card_that_is_created_twice_is_there_twice(use: UseTool, trello: TrelloApi) -> None:
    """Nothing in between remembers a call, so a turn that begins again after a death may do this."""
    for _ in range(2):
        use("trello___create_card", {"idList": trello.lists["To do"], "name": "Book the train"})
    assert [card.name for card in trello.cards] == ["Book the train"] * 2
