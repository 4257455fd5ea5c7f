"""The search attributes of a customer's workflow: the one registry.

They carry no personal data and change rarely, because each upsert costs the server a write. The status is set
only while it is `paused` or `stuck`; when something is due is the store's to know (DESIGN §2).
"""

from __future__ import annotations

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

SEGMENT = SearchAttributeKey.for_keyword("FirstmileSegment")
VERSION = SearchAttributeKey.for_int("FirstmileVersion")
STAGE = SearchAttributeKey.for_keyword("FirstmileStage")
STATUS = SearchAttributeKey.for_keyword("FirstmileStatus")

ALL = (SEGMENT, VERSION, STAGE, STATUS)
"""Every attribute that a Temporal namespace must know before a customer is started."""

SHOWN_STATUSES = frozenset({"paused", "stuck"})


def at_start(segment: str, version: int, stage: str | None) -> TypedSearchAttributes:
    """The attributes that a workflow is started with."""
    pairs: list[SearchAttributePair[str] | SearchAttributePair[int]] = [
        SearchAttributePair(SEGMENT, segment),
        SearchAttributePair(VERSION, version),
    ]
    if stage is not None:
        pairs.append(SearchAttributePair(STAGE, stage))
    return TypedSearchAttributes(pairs)
