"""What the collector looks at: only what is new, and cycles in that are still found."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from provider.process.memory import COLLECT_AFTER, collect_as_usual, keep_collections_short


class Thing:
    """May be part of a cycle."""

    itself: "Thing"


@pytest.fixture(autouse=True)
def short() -> Iterator[None]:
    before = gc.get_threshold()
    keep_collections_short()
    yield
    collect_as_usual()
    gc.set_threshold(*before)


def is_looked_at(thing: object) -> bool:
    return any(found is thing for found in gc.get_objects())


def test_what_survived_a_collection_is_not_looked_at_again() -> None:
    thing = [Thing()]
    assert is_looked_at(thing)
    gc.collect(0)
    assert not is_looked_at(thing)


def test_what_was_set_aside_is_freed_with_its_last_reference() -> None:
    thing = Thing()
    gone = weakref.ref(thing)
    gc.collect()
    del thing
    assert gone() is None


def test_a_cycle_that_is_new_is_collected() -> None:
    gc.collect()
    thing = Thing()
    thing.itself = thing
    gone = weakref.ref(thing)
    del thing
    gc.collect()
    assert gone() is None


def test_it_can_be_said_twice() -> None:
    keep_collections_short()
    assert gc.get_threshold()[0] == COLLECT_AFTER
    before = len(gc.callbacks)
    collect_as_usual()
    assert len(gc.callbacks) == before - 1
