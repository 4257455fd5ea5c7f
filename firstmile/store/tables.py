"""Every table of the store, with its indexes; what they mean is said in the module named after each.

Keys are natural wherever the thing has one, so that writing it twice is seen as such. Moments of the wall
clock are `Moment`, instants of the engine `JourneyTime`. A change here needs a migration (a test compares).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

from firstmile.store.columns import FreeText, JourneyTime, Moment
from firstmile.store.dialect import partial_index

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
NAME: Final = String(200)
"""Identifiers: subjects, segments, steps, templates, people."""
KEY: Final = String(64)
"""Hashes: effect keys, tokens, address keys."""
WORD: Final = String(40)
"""States, reasons and classes from a fixed list."""
SEARCHED: Final = String(80).with_variant(String(80, collation="C"), "postgresql")
"""Words that are looked for by how they begin: in the order of their characters, whatever the database's."""

# ---- who -------------------------------------------------------------------------------------------------

profiles: Final = Table(
    "profiles",
    metadata,
    Column("subject", NAME, primary_key=True),
    Column("name", FreeText),
    Column("email", FreeText),
    Column("address_key", KEY, index=True),
    Column("company", FreeText),
    Column("contacts", JSON, nullable=False),
    Column("locale", String(40)),
    Column("timezone", String(80)),
    Column("country", String(8)),
    Column("subdivision", String(16)),
    Column("consent_lifecycle", Boolean, nullable=False),
    Column("consent_marketing", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

# The words of a profile that somebody may look for; they go with it.
search_words: Final = Table(
    "search_words",
    metadata,
    Column("subject", NAME, ForeignKey("profiles.subject", ondelete="CASCADE"), primary_key=True),
    Column("word", SEARCHED, primary_key=True),
    Index(None, "word", "subject"),
    sqlite_with_rowid=False,
)

enrolments: Final = Table(
    "enrolments",
    metadata,
    Column("subject", NAME, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("segment", NAME, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", WORD, nullable=False),
    Column("request_hash", KEY, nullable=False),
    Column("response", JSON, nullable=False),
    Column("enrolled_at", Moment, nullable=False),
    Column("speed", Double, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("tried_at", Moment, nullable=False),
    # What the workflow was started with and nothing else of the store says: traits, and steps already done.
    Column("given", JSON(none_as_null=True)),
)
partial_index("ix_enrolments_starting", enrolments.c.tried_at, where=enrolments.c.state == "starting")
# Those whose journey time is not the time on the wall: there are few, outside demonstrations.
partial_index("ix_enrolments_fast", enrolments.c.subject, enrolments.c.number, where=enrolments.c.speed != 1)

people: Final = Table(
    "people",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("name", FreeText, nullable=False),
    Column("email", FreeText),
    Column("team", NAME, nullable=False, index=True),
    Column("active", Boolean, nullable=False),
)

assignments: Final = Table(
    "assignments",
    metadata,
    Column("subject", NAME, primary_key=True),
    Column("enrolment", Integer, primary_key=True, autoincrement=False),
    Column("role", NAME, primary_key=True),
    Column("person", NAME, ForeignKey("people.id"), nullable=False),
    Column("assigned_at", Moment, nullable=False),
    Column("released_at", Moment),
    Index(None, "person", "subject", "enrolment"),
)
partial_index(
    "ix_assignments_current",
    assignments.c.person,
    assignments.c.subject,
    assignments.c.enrolment,
    where=assignments.c.released_at.is_(None),
)

# ---- what should happen ----------------------------------------------------------------------------------

published: Final = Table(
    "published",
    metadata,
    Column("segment", NAME, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("hash", KEY, nullable=False),
    Column("journey", Text, nullable=False),
    Column("published_at", Moment, nullable=False),
)

# ---- what happened ---------------------------------------------------------------------------------------

journal: Final = Table(
    "journal",
    metadata,
    Column("subject", NAME, primary_key=True),
    Column("enrolment", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", JourneyTime, nullable=False),
    Column("change", WORD, nullable=False),
    Column("step", NAME),
    Column("kind", WORD),
    Column("reason", FreeText),
    Column("due", JourneyTime),
    Column("stage", FreeText),
    Column("seconds", Double),
    Column("late", Boolean, nullable=False),
    Column("occurrence", Integer),
    Column("actor", FreeText),
)
partial_index(
    "ix_journal_failed",
    journal.c.step,
    journal.c.subject,
    journal.c.enrolment,
    where=journal.c.change == "failed",
)

views: Final = Table(
    "views",
    metadata,
    Column("subject", NAME, primary_key=True),
    Column("enrolment", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("segment", NAME, nullable=False),
    Column("version", Integer, nullable=False),
    Column("enrolled_at", JourneyTime, nullable=False),
    Column("status", WORD, nullable=False),
    Column("stage", FreeText),
    # As they were before the last write: what `customers` is to be counted down by.
    Column("was_status", WORD),
    Column("was_stage", FreeText),
    Column("onboarded_at", JourneyTime),
    Column("next_at", JourneyTime),
    Column("steps", JSON, nullable=False),
    Column("owners", JSON, nullable=False),
    Column("paused_until", JourneyTime),
    Column("ends", JourneyTime),
    Column("updated_at", Moment, nullable=False),
    Index("ix_views_page", "enrolled_at", "subject", "enrolment"),
    Index("ix_views_segment", "segment", "enrolled_at", "subject", "enrolment"),
    Index("ix_views_status", "status", "enrolled_at", "subject", "enrolment"),
    Index("ix_views_segment_status", "segment", "status", "enrolled_at", "subject", "enrolment"),
    Index("ix_views_stage", "stage", "enrolled_at", "subject", "enrolment"),
    Index("ix_views_version", "version", "enrolled_at", "subject", "enrolment"),
)
partial_index(
    "ix_views_next",
    *(views.c.status, views.c.next_at, views.c.subject, views.c.enrolment),
    where=views.c.next_at.is_not(None),
)

effects: Final = Table(
    "effects",
    metadata,
    Column("key", KEY, primary_key=True),
    Column("outcome", WORD, nullable=False),
    Column("at", JourneyTime, nullable=False),
    Column("reason", FreeText),
    Column("result", JSON),
    Column("system", NAME),
    Column("recorded_at", Moment, nullable=False),
)

tallies: Final = Table(
    "tallies",
    metadata,
    Column("metric", String(80), primary_key=True),
    Column("labels", String(500), primary_key=True),
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("value", Double, nullable=False),
)

# ---- messages --------------------------------------------------------------------------------------------

messages: Final = Table(
    "messages",
    metadata,
    Column("key", KEY, primary_key=True),
    Column("subject", NAME, nullable=False),
    Column("enrolment", Integer, nullable=False),
    Column("segment", NAME, nullable=False),
    Column("step", NAME, nullable=False),
    Column("purpose", WORD, nullable=False),
    Column("template", NAME, nullable=False),
    Column("message_class", WORD, nullable=False),
    Column("recipient", FreeText),
    Column("state", WORD, nullable=False),
    Column("fate", WORD),
    Column("fate_at", Moment),
    Column("verdict", WORD),
    Column("token", KEY),
    Column("lease_until", Moment),
    Column("provider_id", FreeText),
    Column("reason", FreeText),
    Column("decisions", JSON, nullable=False),
    Column("sends", Integer, nullable=False),
    Column("given_up_at", Moment),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    # The effect that a message belongs to: a step that writes to several people has a row for each of them.
    Column("effect", KEY, index=True),
    Column("place", Integer),
    Column("topic", WORD),
    Column("accepted_at", Moment),
    Index(None, "subject", "enrolment"),
)

# Apart from `messages`: written once, never changed, and removed when it has served.
bodies: Final = Table(
    "bodies",
    metadata,
    Column("key", KEY, ForeignKey("messages.key", ondelete="CASCADE"), primary_key=True),
    Column("body", JSON, nullable=False),
    Column("frozen_at", Moment, nullable=False, index=True),
)

# What providers told of messages, each event once; those that nobody can place are kept as well.
delivery_events: Final = Table(
    "delivery_events",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("message", KEY, index=True),
    Column("event", WORD, nullable=False),
    Column("at", Moment, nullable=False),
    Column("received_at", Moment, nullable=False, index=True),
    Column("detail", JSON, nullable=False),
)

# Topics that an address does not want; everything at once is a suppression.
opt_outs: Final = Table(
    "opt_outs",
    metadata,
    Column("address_key", KEY, primary_key=True),
    Column("topic", WORD, primary_key=True),
    Column("address", FreeText),
    Column("since", Moment, nullable=False),
)

# What was chosen about an address, and by whom: written, never changed.
choices: Final = Table(
    "choices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("address_key", KEY, nullable=False, index=True),
    Column("subject", NAME),
    Column("said", WORD, nullable=False),
    Column("chosen_by", FreeText, nullable=False),
    Column("note", FreeText),
    Column("at", Moment, nullable=False),
)

# Which date of a training a customer is invited to; the sequence rises with each change (RFC 5546).
bookings: Final = Table(
    "bookings",
    metadata,
    Column("subject", NAME, primary_key=True),
    Column("enrolment", Integer, primary_key=True, autoincrement=False),
    Column("step", NAME, primary_key=True),
    Column("session", NAME, nullable=False),
    Column("starts", Moment),
    Column("sequence", Integer, nullable=False),
    Column("state", WORD, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

suppressions: Final = Table(
    "suppressions",
    metadata,
    Column("address_key", KEY, primary_key=True),
    Column("reason", WORD, primary_key=True),
    Column("address", FreeText),
    Column("note", FreeText),
    Column("since", Moment, nullable=False),
)

holds: Final = Table(
    "holds",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("scope", WORD, nullable=False),
    Column("value", NAME),
    Column("reason", FreeText, nullable=False),
    Column("actor", FreeText, nullable=False),
    Column("since", Moment, nullable=False),
    Column("until", Moment),
    Column("released_at", Moment),
    Column("released_by", FreeText),
    Column("ramp_until", Moment),
)
partial_index("ix_holds_ramp", holds.c.ramp_until, where=holds.c.ramp_until.is_not(None))
partial_index("ix_holds_active", holds.c.scope, holds.c.value, where=holds.c.released_at.is_(None))

# ---- people's part ---------------------------------------------------------------------------------------

responses: Final = Table(
    "responses",
    metadata,
    Column("subject", NAME, primary_key=True),
    Column("enrolment", Integer, primary_key=True, autoincrement=False),
    Column("step", NAME, primary_key=True),
    Column("occurrence", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", NAME, nullable=False, unique=True),
    Column("segment", NAME, nullable=False),
    Column("kind", WORD, nullable=False),
    Column("score", Integer),
    Column("answer", WORD),
    Column("comment", FreeText),
    Column("at", Moment, nullable=False),
    Column("suspicious", Boolean, nullable=False),
)

tasks: Final = Table(
    "tasks",
    metadata,
    Column("key", KEY, primary_key=True),
    Column("subject", NAME, nullable=False),
    Column("enrolment", Integer, nullable=False),
    Column("step", NAME, nullable=False),
    Column("title", FreeText, nullable=False),
    Column("owner", NAME),
    Column("team", NAME),
    Column("due", JourneyTime),
    Column("checklist", JSON, nullable=False),
    Column("state", WORD, nullable=False),
    Column("reminded", Integer, nullable=False),
    Column("escalated_to", NAME),
    Column("reason", FreeText),
    Column("created_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("ended_by", FreeText),
    Index(None, "subject", "enrolment", "step"),
)
partial_index("ix_tasks_owner", tasks.c.owner, tasks.c.due, where=tasks.c.state == "open")
partial_index("ix_tasks_team", tasks.c.team, tasks.c.due, where=tasks.c.state == "open")
partial_index("ix_tasks_due", tasks.c.due, tasks.c.subject, tasks.c.enrolment, where=tasks.c.state == "open")

parked: Final = Table(
    "parked",
    metadata,
    Column("subject", NAME, primary_key=True),
    Column("id", NAME, primary_key=True),
    Column("event", NAME, nullable=False),
    Column("at", JourneyTime),
    Column("properties", JSON, nullable=False),
    Column("parked_at", Moment, nullable=False, index=True),
)

# ---- who may do what, and who did ------------------------------------------------------------------------

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", KEY, primary_key=True),
    Column("name", FreeText, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("secret_hash", KEY, nullable=False),
    # After a rotation the former secret still opens for a while.
    Column("former_hash", KEY),
    Column("former_until", Moment),
    Column("created_at", Moment, nullable=False),
    Column("created_by", FreeText, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("last_used_at", Moment),
)

# Only ever added to. What was asked for and what came of it are two rows of one `request`.
audit: Final = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("at", Moment, nullable=False, index=True),
    Column("actor", FreeText, nullable=False),
    Column("key", KEY),
    Column("action", WORD, nullable=False),
    Column("outcome", WORD, nullable=False),
    Column("subject", NAME),
    Column("enrolment", Integer),
    Column("target", FreeText),
    Column("reason", FreeText),
    Column("detail", FreeText),
    Column("before", JSON),
    Column("after", JSON),
    Column("request", KEY, nullable=False, index=True),
    Index(None, "subject", "number"),
)

# ---- many customers at once ------------------------------------------------------------------------------

bulk_jobs: Final = Table(
    "bulk_jobs",
    metadata,
    Column("id", KEY, primary_key=True),
    Column("command", WORD, nullable=False),
    Column("arguments", JSON, nullable=False),
    # How the list was made; null where it was given.
    Column("filter", JSON),
    Column("actor", FreeText, nullable=False),
    Column("key", KEY),
    Column("reason", FreeText, nullable=False),
    # Of what was asked: another body under the same idempotency key is seen as such.
    Column("request_hash", KEY, nullable=False),
    Column("rate", Double, nullable=False),
    Column("state", WORD, nullable=False),
    Column("customers", Integer, nullable=False),
    # Counted with the rows they count: a page of jobs never counts a hundred thousand of them.
    Column("done", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("updated_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Index(None, "created_at", "id"),
)

# The frozen list of a job, in the order in which it is worked through.
bulk_items: Final = Table(
    "bulk_items",
    metadata,
    Column("job", KEY, ForeignKey("bulk_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("subject", NAME, nullable=False),
    Column("enrolment", Integer),
    Column("state", WORD, nullable=False),
    Column("reason", FreeText),
    Column("at", Moment),
    Index(None, "job", "state", "number"),
)

# ---- what one process does at a time ---------------------------------------------------------------------

turns: Final = Table(
    "turns",
    metadata,
    Column("name", WORD, primary_key=True),
    Column("holder", KEY),
    Column("until", Moment, nullable=False),
    # Where the next turn goes on.
    Column("reached", JSON, nullable=False),
)
