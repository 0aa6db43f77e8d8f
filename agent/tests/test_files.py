"""The files of a question: what a model is shown of them, and what the answer says of the others."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from payloads import asked, new_record
from stand_ins.converse import Converse
from stand_ins.uploads import png

from slack_agent import CannotRead, File, FileContent, Question, canvas, images
from slack_agent.files import MAX_TEXT_CHARACTERS, MAX_TOTAL_BYTES, document_format, shown
from slack_agent.payload import InvalidPayload, parse
from slack_agent.thinking import thinking
from slack_agent.thinking.words import FILES

MODEL = "eu.some-vendor.some-model-v1:0"
PDF = b"%PDF-1.7\n\xff\xfe and more"
DOCX = b"PK\x03\x04 and more"


def question(text: str, contents: dict[str, bytes | str], left_out: int = 0,
             mimetypes: dict[str, str] | None = None) -> Question:
    """A question with these files, by their names; a text in the place of a content says why it cannot be read."""
    payload = asked(new_record(), "0" * 32, text)
    files = [{"id": f"F{number}", "name": name, "mimetype": (mimetypes or {}).get(name),
              "size": len(content) if isinstance(content, bytes) else None}
             for number, (name, content) in enumerate(contents.items())]
    payload["question"] |= {"files": files, "files_left_out": left_out}

    def read(file: File) -> FileContent:
        content = contents[str(file.name)]
        if isinstance(content, str):
            raise CannotRead(content)
        return FileContent(content, file.name, file.mimetype)

    return replace(parse(payload).asked("a session", 1), read_file=read)


@pytest.fixture
def converse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Converse]:
    with Converse() as converse:
        for name, value in converse.env.items():
            monkeypatch.setenv(name, value)
        yield converse


THINKERS = ["bedrock", "strands"]


def think_of(name: str) -> Callable[[Question], Any]:
    return thinking({"THINKING": f"{name}:{MODEL}", "AWS_REGION": "eu-west-1"})  # type: ignore[return-value]


def content_of(converse: Converse) -> list[dict[str, Any]]:
    [message] = converse.bodies[-1]["messages"]
    return message["content"]


@pytest.mark.parametrize("name", THINKERS)
def test_a_model_gets_the_bytes_of_images_and_documents_before_the_question(converse: Converse, name: str) -> None:
    image = png()
    files = {"a chart.png": image, "plan <2>.pdf": PDF, "app.log": b"started\nfailed\n"}
    assert think_of(name)(question("what failed?", files)) == "Forty-two."
    assert converse.wrong == []
    blocks = content_of(converse)
    assert blocks[1:] == [
        {"text": 'File "a chart.png":'},
        {"image": {"format": "png", "source": {"bytes": base64.b64encode(image).decode()}}},
        {"text": 'File "plan 2.pdf": (document 1)'},
        {"document": {"format": "pdf", "name": "document 1", "source": {"bytes": base64.b64encode(PDF).decode()}}},
        {"text": 'File "app.log":\nstarted\nfailed\n'},
        {"text": "what failed?"}]
    assert converse.bodies[-1]["system"][0]["text"].endswith(FILES)


@pytest.mark.parametrize("name", THINKERS)
def test_what_a_model_does_not_see_is_said_to_it_and_to_the_person(converse: Converse, name: str) -> None:
    files = {"a.png": png(), "huge.pdf": "too_large", "film.mp4": b"\0\0", "x.bin": b"\0\1", "nothing.txt": b"",
             "gone.txt": "files_404", "later.txt": "no_answer"}
    answer = think_of(name)(question("look", files, left_out=3))
    assert answer == (
        "Forty-two.\n\nI have not read all of your files: huge.pdf (larger than 3.75 MB), film.mp4 (of a type that I cannot "
        "read), x.bin (of a type that I cannot read), nothing.txt (empty), gone.txt (no longer there), later.txt (it could not be "
        "fetched just now), 3 more (only ten files of a question are read).")
    told = content_of(converse)[-2]["text"]
    assert "do not guess" in told and "- huge.pdf: larger than 3.75 MB\n" in told


@pytest.mark.parametrize("name", THINKERS)
@pytest.mark.parametrize("why", ["files_are_off", "slack_login_page", "slack_missing_scope", "no_bot_token"])
def test_where_files_cannot_be_read_the_person_is_told_so_plainly(converse: Converse, name: str, why: str) -> None:
    answer = think_of(name)(question("(file: a.pdf)", {"a.pdf": why, "b.png": why}))
    assert answer == "Forty-two.\n\nI cannot read files here, so I have not seen a.pdf, b.png."


@pytest.mark.parametrize("name", THINKERS)
def test_a_model_that_takes_no_files_is_asked_again_with_the_texts_alone(converse: Converse, name: str) -> None:
    converse.takes_files = False
    answer = think_of(name)(question("what?", {"a.pdf": PDF, "b.png": png(), "c.log": b"text", "d.txt": b"words"}))
    assert answer == ("Forty-two.\n\nI have not read all of your files: a.pdf (not taken by the model), b.png (not taken by the "
                      "model).")
    # First without documents, then without images.
    assert len(converse.bodies) == 3
    texts = [it["text"] for it in content_of(converse)]
    assert 'File "c.log":\ntext' in texts and 'File "d.txt":\nwords' in texts and texts[-1] == "what?"


@pytest.mark.parametrize("name", THINKERS)
def test_a_text_that_is_too_long_for_a_model_does_not_cost_the_answer(converse: Converse, name: str) -> None:
    converse.takes_characters = 300
    answer = think_of(name)(question("what?", {"a.txt": b"word " * 50}))
    assert answer == "Forty-two.\n\nI have not read all of your files: a.txt (more than I can read at once)."


@pytest.mark.parametrize("name", THINKERS)
def test_where_some_files_were_read_one_that_slack_refuses_is_one_file(converse: Converse, name: str) -> None:
    answer = think_of(name)(question("look", {"a.png": png(), "b.pdf": "slack_login_page"}))
    assert answer == "Forty-two.\n\nI have not read all of your files: b.pdf (not given to me by Slack)."


def test_another_error_of_the_model_is_none_of_the_files(converse: Converse) -> None:
    converse.error = (403, "AccessDeniedException", "no")
    with pytest.raises(Exception, match="AccessDenied"):
        think_of("bedrock")(question("what?", {"a.pdf": PDF}))
    assert len(converse.bodies) == 1


def test_no_answer_stays_none_whatever_was_not_read() -> None:
    assert shown(question("x", {"a": "too_large"})).with_note("") == ""


def test_an_upload_without_words_is_about_its_files(converse: Converse) -> None:
    think_of("bedrock")(question("", {"a.png": png()}))
    assert content_of(converse)[-1] == {"text": "(This message has no words. It is about its files.)"}
    think_of("bedrock")(question("", {}))
    assert content_of(converse) == [{"text": "Hello"}]


def test_the_echo_names_the_files() -> None:
    think = thinking({})
    asked_with = question("look", {"a.pdf": PDF, "b.txt": "files_are_off"}, mimetypes={"a.pdf": "application/pdf"})
    answer = asyncio.run(think(asked_with))  # type: ignore[arg-type]
    assert answer == f"You said: look\nYour files: a.pdf (application/pdf, {len(PDF)} bytes), b.txt"


def test_documents_are_at_most_five_and_text_goes_on_as_text() -> None:
    files: dict[str, bytes | str] = {f"{n}.pdf": PDF for n in range(5)}
    seen = shown(question("x", files | {"6.docx": DOCX, "7.md": b"# words"}))
    kinds = [block.get("document", {}).get("format") for it in seen.seen for block in it.blocks if "text" not in block]
    assert kinds == ["pdf"] * 5
    assert [(it.label, it.why) for it in seen.missed] == [("6.docx", "too_many_documents")]
    assert seen.seen[-1].blocks == ({"text": 'File "7.md":\n# words'},)


def test_a_long_text_is_cut_and_says_so() -> None:
    seen = shown(question("x", {"a.log": b"a" * MAX_TEXT_CHARACTERS + b"b", "b.log": b"c"}))
    assert len(seen.seen[0].blocks[0]["text"]) < MAX_TEXT_CHARACTERS + 50
    assert [(it.label, it.why) for it in seen.missed] == [("b.log", "too_much"), ("a.log", "cut")]
    assert seen.with_note("42").endswith("a.log (only its beginning).")


def test_all_files_together_are_bounded_and_what_is_too_much_is_not_downloaded() -> None:
    size = 3_700_000
    files = {f"{n}.pdf": PDF.ljust(size, b"\xff") for n in range(4)}
    asked_with = question("x", files)  # type: ignore[arg-type]
    read: list[File] = []

    def reads(file: File) -> FileContent:
        read.append(file)
        return asked_with.read_file(file)

    seen = shown(replace(asked_with, read_file=reads))
    assert len(seen.seen) == MAX_TOTAL_BYTES // size == len(read)
    assert [(it.label, it.why) for it in seen.missed] == [("3.pdf", "too_much")]


def test_a_film_is_not_downloaded_and_nothing_is_when_nobody_wants_the_answer() -> None:
    def fails(file: File) -> FileContent:
        raise AssertionError(file)
    film = replace(question("x", {"a.mp4": b"x"}, mimetypes={"a.mp4": "video/mp4"}), read_file=fails)
    assert [it.why for it in shown(film).missed] == ["type"]
    cancelled = replace(question("x", {"a.pdf": PDF}), read_file=fails)
    cancelled.cancelled.set()
    assert shown(cancelled).seen == ()


def test_the_type_of_a_file_is_what_it_is_and_not_what_it_says() -> None:
    for name, mimetype, data, kind in [
        ("a.pdf", None, PDF, "pdf"), ("a", "application/pdf", PDF, "pdf"), ("a.txt", "text/plain", PDF, "pdf"),
        ("a.pdf", "application/pdf", b"<html>", None), ("a.docx", None, DOCX, "docx"), ("a.docx", None, b"\xd0\xcf", None),
        ("a.DOC", None, b"\xd0\xcf\x11\xe0 more", "doc"), ("a.xlsx", None, DOCX, "xlsx"),
        ("a.zip", "application/zip", DOCX, None),
        ("a.htm", None, b"<p>", "html"), ("a.markdown", None, b"x", "md"), ("a.csv", None, b"a,b", "csv"),
        ("a.csv", None, b"\xff\x00", None), ("a.log", "text/plain", b"x", None), ("a.py", "text/plain", b"x", None),
        ("notes", "text/plain", b"x", "txt"), ("", None, b"x", None),
    ]:
        assert document_format(File("F1", name, mimetype), data) == kind, (name, mimetype, data)


CANVAS = """<div class="quip-canvas-content"><h1 id='temp:C:1'>Plan &amp; more</h1>
<p id='temp:C:2' class="line">Ship on <strong>Friday</strong>, says <a>@U123</a>.<br>Then rest <control><img alt="wave"></img></control></p>
<p class="line">See <a href="https://example.com/x">the list</a> or <a href="https://example.com/y">https://example.com/y</a></p>
<div data-section-style='5'><ul><li value='1'><span>one</span></li><ul><li><span>deeper</span><br></li></ul><li>two</li></ul></div>
<div data-section-style='6'><ol><li value='1'>first</li><li value='2'>second</li></ol></div>
<div data-section-style='7'><ul><li class='checked' value='1'>
<span>done</span>
</li><li class='' value='1'><span>to do</span></li></ul></div>
<pre class="prettyprint">if x:
  y()

z()</pre>
<table><tr><td><p class="line">Item</p></td><td><p class="line">Owner</p></td></tr>
<tr><td><p class="line">Review</p></td><td></td></tr></table><script>no()</script></div>"""
CANVAS_TEXT = """# Plan & more
Ship on Friday, says @U123.
Then rest :wave:
See the list (https://example.com/x) or https://example.com/y
- one
  - deeper
- two
1. first
2. second
- [x] done
- [ ] to do
if x:
  y()

z()
Item | Owner
Review |"""


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_a_canvas_is_shown_as_text_and_not_as_html() -> None:
    files: dict[str, bytes | str] = {"Plan": CANVAS.encode(), "empty": b'<div class="quip-canvas-content"></div>', "page.html": b"<p>x</p>"}
    seen = shown(question("x", files, mimetypes={"Plan": canvas.MIMETYPE, "empty": canvas.MIMETYPE, "page.html": "text/html"}))
    plan, page = (it.blocks[0]["text"] for it in seen.seen)
    assert lines(plan) == ['File "Plan":', *lines(CANVAS_TEXT)]
    assert page.endswith("<p>x</p>"), "what is HTML itself is shown as it is"
    assert [(it.label, it.why) for it in seen.missed] == [("empty", "empty")]


@pytest.mark.parametrize("html", ["</td></tr></ul></a></h1></li>", "<tr><td>x", "<pre>a\nb", "<a><a>x</a></a></a>", "<p", "&#xD800; &bad;", "<"])
def test_no_html_is_an_error(html: str) -> None:
    assert isinstance(canvas.text_of(html), str)


def test_images_are_known_by_their_first_bytes_and_so_is_their_size() -> None:
    jpeg = b"\xff\xd8\xff\xe0" + struct.pack(">H", 4) + b"ab" + b"\xff\xc0" + struct.pack(">HBHH", 8, 8, 30, 9000)
    webp = b"RIFF\0\0\0\0WEBPVP8X" + b"\0" * 8 + (8999).to_bytes(3, "little") + (29).to_bytes(3, "little")
    for data, kind, size in [
        (png(7, 9), "png", (7, 9)), (b"GIF89a" + struct.pack("<HH", 7, 9), "gif", (7, 9)), (jpeg, "jpeg", (9000, 30)),
        (webp, "webp", (9000, 30)), (b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0/" + struct.pack("<I", 6 | 8 << 14), "webp", (7, 9)),
        (b"\xff\xd8\xff", "jpeg", (0, 0)), (b"\x89PNG\r\n\x1a\n", "png", (0, 0)),
    ]:
        assert images.format_of(data) == kind
        assert images.dimensions(data, kind) == size, (kind, size)
    assert images.format_of(b"RIFF\0\0\0\0WAVE") is None
    seen = shown(question("x", {"wide.jpg": jpeg}))
    assert [it.why for it in seen.missed] == ["too_many_pixels"]


def test_the_name_of_a_file_of_another_workspace_comes_with_it_and_names_carry_no_markup() -> None:
    payload = asked(new_record(), "0" * 32, "(file: without a name)")
    payload["question"]["files"] = [{"id": "F1", "name": None, "mimetype": None, "size": None}]
    connect = replace(parse(payload).asked("s", 1), read_file=lambda file: FileContent(PDF, "<!channel> *x*\n.pdf", None))
    assert shown(connect).seen[0].label == "!channel x.pdf"
    assert File("F1", "<>").label == File("F1", "-").label == "a file without a name"
    assert "secret" not in repr(File("F1", "secret.pdf")) + repr(FileContent(b"secret", "secret"))


@pytest.mark.parametrize("wrong", [
    {"files": {}}, {"files": [7]}, {"files": [{}]}, {"files": [{"id": "F1", "size": "7"}]}, {"files": [{"id": "F1", "name": 7}]},
    {"files_left_out": "2"}])
def test_files_of_another_shape_are_refused(wrong: dict[str, Any]) -> None:
    payload = asked(new_record(), "0" * 32)
    payload["question"] |= wrong
    with pytest.raises(InvalidPayload, match="question.files"):
        parse(payload)
