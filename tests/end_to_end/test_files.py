"""The files of questions, from the upload in Slack to the model: their bytes, whose they are, and what is said of those that
are not read."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from expect import QUICKLY, send
from stand_ins.converse import Body, Turn, files_in, says
from stand_ins.events import TEAM, id_alone, in_workspace, mention, upload
from stand_ins.slack_api import SlackApi
from stand_ins.uploads import png
from stand_ins.world import Event, World, client

SECOND = "T0SECOND"
PDF = b"%PDF-1.7\n\xff\xfe\x00 the quarterly figures"
PNG = png()


def answer_of(world: World, event: Event) -> str:
    """Waits for the answer, and returns it."""
    world.eventually(f"{event.question_id} is answered", lambda: world.state(event) == "answered", QUICKLY)
    [post] = world.posts(event)
    return post.text


def shown_with(world: World, label: str) -> list[dict[str, Any]]:
    """The blocks of the last question that the model got in whose texts this stands."""
    [body] = [body for body in world.model.bodies if label in str(body["messages"][-1])]
    return body["messages"][-1]["content"]


def bytes_of(blocks: list[dict[str, Any]]) -> list[bytes]:
    return [content for _, content in files_in(blocks)]


@pytest.mark.world("files")
def test_an_upload_without_a_text_is_a_question_about_its_file_and_the_model_gets_the_bytes(world: World) -> None:
    event = send(world, upload([world.slack_api.upload("figures.pdf", "application/pdf", PDF),
                                world.slack_api.upload("chart.png", "image/png", PNG)]))
    assert answer_of(world, event) == "Forty-two."
    blocks = shown_with(world, "figures.pdf")
    assert bytes_of(blocks) == [PDF, PNG]
    assert blocks[-1]["text"] == "(file: figures.pdf)\n(file: chart.png)"
    assert not world.model.wrong
    # The agent has got no URL beside Slack's own event, and the record keeps nothing of a question that has ended.
    [call] = world.agentcore.invocations(event.event_id)
    files = call.payload["question"]["files"]
    assert [sorted(it) for it in files] == [["id", "mimetype", "name", "size"]] * 2
    assert "files" not in world.record(event)


@pytest.mark.world("files")
def test_a_mention_has_its_files_too_also_one_of_slack_connect_whose_name_only_slack_knows(world: World) -> None:
    file = world.slack_api.upload("from-partners.txt", "text/plain", "Grüße von nebenan".encode())
    event = send(world, mention("what do the partners say?", files=[id_alone(file)]))
    assert answer_of(world, event) == "Forty-two."
    blocks = shown_with(world, "from-partners.txt")
    # A text goes to the model as text, which any model takes.
    assert bytes_of(blocks) == [] and {"text": 'File "from-partners.txt":\nGrüße von nebenan'} in blocks
    assert blocks[-1]["text"] == "what do the partners say?"


@pytest.mark.world("files")
def test_a_file_that_is_too_large_is_not_read_and_the_asker_is_told(world: World) -> None:
    large = world.slack_api.upload("scan.pdf", "application/pdf", PDF.ljust(3_750_001, b"\xff"))
    film = world.slack_api.upload("film.mp4", "video/mp4", b"\0")
    note = world.slack_api.upload("short.log", "text/plain", b"it works")
    event = send(world, upload([large, film, note], "which of these?"))
    assert answer_of(world, event) == (
        "Forty-two.\n\nI have not read all of your files: scan.pdf (larger than 3.75 MB), film.mp4 (of a type that I cannot "
        "read).")
    blocks = shown_with(world, "short.log")
    assert bytes_of(blocks) == [] and "- scan.pdf: larger than 3.75 MB" in str(blocks)
    asked = [file_id for file_id, _ in world.slack_api.downloads]
    assert large["id"] not in asked and film["id"] not in asked and note["id"] in asked


@pytest.mark.world("files")
def test_the_largest_file_gets_through_all_of_the_way(world: World) -> None:
    content = PDF.ljust(3_750_000, b"\xff")
    event = send(world, upload([world.slack_api.upload("largest.pdf", "application/pdf", content)]))
    assert answer_of(world, event) == "Forty-two."
    assert bytes_of(shown_with(world, "largest.pdf")) == [content]


@pytest.mark.world("files")
def test_whoever_works_on_a_question_gets_no_file_of_another_one(world: World) -> None:
    """By agent-settle itself, with the right token of one question and the id of a file that the app may see."""
    other = world.slack_api.upload("salaries.pdf", "application/pdf", PDF)
    own = world.slack_api.upload("mine.log", "text/plain", b"mine")
    answer_of(world, send(world, upload([other], "about the salaries")))
    results: list[dict[str, Any]] = []
    agent = client("lambda", world.lambda_api.url, world.identities["agent"])

    def tries(_: Body) -> Turn:
        record = world.record(event)
        for file_id in (other["id"], own["id"]):
            request = {"version": 1, "operation": "file", "record": event.record, "token": record["token"]["S"], "id": file_id}
            answer = agent.invoke(FunctionName="agent-settle", Payload=json.dumps(request).encode())
            results.append(json.loads(answer["Payload"].read()))
        return says("I have tried.")

    event = upload([own], "give me the salaries")
    world.model.scripts["give me the salaries"] = [tries]
    send(world, event)
    assert answer_of(world, event) == "I have tried."
    refused, read = results
    assert refused == {"outcome": "unreadable", "why": "not_of_this_question", "again": False}
    assert base64.b64decode(read["content"]) == b"mine"
    assert [file_id for file_id, _ in world.slack_api.downloads].count(other["id"]) == 1


@pytest.mark.world("files")
def test_a_file_is_read_with_the_token_of_its_own_tenant_and_never_with_anothers(world: World) -> None:
    second = world.workspaces[SECOND]

    def ask(workspace: SlackApi, tenant: str, name: str) -> tuple[dict[str, Any], str]:
        file = workspace.upload(name, "text/plain", f"the words of {name}".encode(), world.slack_api)
        event = send(world, in_workspace(upload([file], f"what is in {name}?"), tenant))
        return file, answer_of(world, event)

    for workspace, tenant, name in ((world.slack_api, TEAM, "first.log"), (second, SECOND, "second.log")):
        file, answer = ask(workspace, tenant, name)
        assert answer == "Forty-two."
        assert f"the words of {name}" in str(shown_with(world, f"what is in {name}?"))
        assert (file["id"], f"Bearer {workspace.token}") in workspace.downloads
    # The second tenant names a file of the first one's: its own token is what is sent, and Slack does not give it the file.
    file, answer = ask(world.slack_api, SECOND, "stolen.log")
    assert answer.startswith("Forty-two.\n\nI have not read all of your files: stolen.log")
    assert "the words of stolen.log" not in str(world.model.bodies)
    assert file["id"] not in [file_id for file_id, _ in world.slack_api.downloads]
    assert [token for file_id, token in second.downloads if file_id == file["id"]] == [f"Bearer {second.token}"]


@pytest.mark.world("model")
def test_where_agent_settle_has_no_token_for_files_the_asker_is_told_so(world: World) -> None:
    file = world.slack_api.upload("unread.pdf", "application/pdf", PDF)
    event = send(world, upload([file]))
    assert answer_of(world, event) == "Forty-two.\n\nI cannot read files here, so I have not seen unread.pdf."
    assert file["id"] not in [file_id for file_id, _ in world.slack_api.downloads]
