"""Each world comes to rest after the last of its tests (expect.py, `comes_to_rest`)."""

from __future__ import annotations

import pytest
from beside import Beside
from expect import CertainlyWrong


def test_nothing_is_left_to_do_and_nothing_was_said_twice(request: pytest.FixtureRequest, all_tests: Beside) -> None:
    all_tests.begin(request.session.items)
    all_tests.finish_all()
    for name, end in all_tests.worlds.ends().items():
        try:
            end.result()
        except BaseException as error:
            raise CertainlyWrong(f"the world {name!r} did not start, come to rest or end") from error
