"""When all tests are over: nothing is left on any queue, and nothing was said more often than the tests saw."""

from __future__ import annotations

import collections

import pytest


def test_nothing_is_left_to_do_and_nothing_was_said_twice(request: pytest.FixtureRequest, all_tests) -> None:
    all_tests.begin(request.session.items)
    all_tests.finish_all()
    for name, world in all_tests.worlds.running().items():
        world.rest(200)
        said = collections.Counter((post.channel, post.thread_ts, post.text) for post in world.slack_api.posts
                                   if post.metadata)
        doubled = {what: times for what, times in said.items() if times > 1}
        assert not doubled, f"in the world {name}: {doubled}"
