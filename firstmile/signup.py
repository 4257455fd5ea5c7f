"""A sign-up: what somebody may say about a new customer, and everything that is wrong with what they said.

Two sieves: the shape (the model, which is also what OpenAPI shows), and what names refer to: the segment's
published journey, its traits and steps, zones, countries, locales, addresses. Both are always gone through,
so that whoever wrote the sign-up hears everything at once. null is the same as absent.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any

from babel import Locale, UnknownLocaleError
from email_validator import EmailNotValidError, validate_email
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from firstmile import bodies
from firstmile.errors import CommandMalformed, Flaw, SignUpRefused
from firstmile.journey.commands import trait_problems
from firstmile.journey.durations import HOUR
from firstmile.journey.inputs import Subject
from firstmile.journey.problems import unknown
from firstmile.journey.route import Route
from firstmile.journey.slices import PlaceError, check_place
from firstmile.store import profiles

MAX_BYTES = 64_000
MAX_TRAITS = 200
MAX_TRAIT_TEXT = 2_000
FASTEST = HOUR / 100_000
"""The highest speed: an hour of the journey takes a tenth of a second (JOURNEYS §4, rule 8)."""
PERSONAL = re.compile(
    r"(e_?)?mail(_?address)?|(tele)?phone(_?number)?|mobile(_?number)?|(first|last|full|sur|family|given)_?name"
    r"|name|(street|postal|home|ip)?_?address|birth_?(day|date)|date_of_birth|iban|passport(_?number)?",
    re.IGNORECASE,
)
"""Names of traits that say they hold personal data: that belongs into the profile, where it can be erased."""
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_ID = r"^[A-Za-z0-9][A-Za-z0-9._:~-]*$"

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Contact(_Part):
    """A further person at the customer."""

    role: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")]
    email: Annotated[str, Field(max_length=254)]
    name: Line | None = None


class Consent(_Part):
    """What the customer agreed to be sent. Transactional messages need no consent."""

    lifecycle: bool = True
    marketing: bool = False


class SignUp(_Part):
    """A new customer."""

    id: Annotated[
        str,
        Field(
            min_length=1,
            max_length=200,
            pattern=_ID,
            description="The customer's id in your systems: opaque, no '@', never an address.",
            examples=["c-2001"],
        ),
    ]
    segment: Annotated[str, Field(max_length=64, description="Which journey to go on.", examples=["team"])]
    email: Annotated[str | None, Field(max_length=254, examples=["jonas@weber.example"])] = None
    name: Annotated[Line | None, Field(examples=["Jonas Weber"])] = None
    company: Annotated[Line | None, Field(examples=["Weber & Partner"])] = None
    contacts: Annotated[list[Contact], Field(max_length=20)] = []
    timezone: Annotated[str | None, Field(max_length=64, examples=["Europe/Berlin"])] = None
    country: Annotated[
        str | None, Field(max_length=8, description="ISO 3166-1 alpha-2.", examples=["DE"])
    ] = None
    subdivision: Annotated[
        str | None, Field(max_length=16, description="ISO 3166-2, without the country.", examples=["BY"])
    ] = None
    locale: Annotated[str | None, Field(max_length=35, description="BCP 47.", examples=["de-AT"])] = None
    consent: Consent = Consent()
    traits: Annotated[
        dict[str, Any],
        Field(max_length=MAX_TRAITS, description="Facts that the journey reads; no personal data."),
    ] = {}
    skip: Annotated[list[str], Field(max_length=500, description="Ids of steps already done.")] = []
    speed: Annotated[
        float, Field(gt=0, le=FASTEST, description="How many times faster than the clock the journey runs.")
    ] = 1.0

    def profile(self) -> profiles.Profile:
        """Who the customer is: personal data, for the store only."""
        return profiles.Profile(
            subject=self.id,
            name=self.name,
            email=None if self.email is None else _normalised(self.email),
            company=self.company,
            contacts=tuple(
                profiles.Contact(one.role, one.name, _normalised(one.email)) for one in self.contacts
            ),
            locale=self.locale,
            timezone=self.timezone,
            country=self.country,
            subdivision=self.subdivision,
            consent=profiles.Consent(self.consent.lifecycle, self.consent.marketing),
        )

    def subject(self, route: Route, enrolment: int = 1) -> Subject:
        """Whom the journey is about: no personal data, for the workflow."""
        return subject_as_kept(self.profile(), {"traits": self.traits, "skip": self.skip}, route, enrolment)


def read(body: object, routes: Mapping[str, Route]) -> SignUp:
    """A sign-up, held against the published journeys (by segment). Raises `SignUpRefused` with every flaw."""
    body = unwrapped(body)
    if not isinstance(body, dict):
        raise SignUpRefused([Flaw("", 'a sign-up is a JSON object, as in {"id": "c-1", "segment": "team"}')])
    body = {name: value for name, value in body.items() if value is not None}
    found = list(bodies.flaws(body))
    sign_up: SignUp | None = None
    try:
        sign_up = SignUp.model_validate(body)
    except ValidationError as error:
        unkept = {flaw.field for flaw in found}
        shapes = [_flaw(details) for details in error.errors(include_url=False)]
        found += [flaw for flaw in shapes if flaw.field not in unkept]
    told = {re.split(r"[.\[]", flaw.field)[0] for flaw in found}
    # What has its shape is looked at further, whatever is wrong elsewhere.
    given = {name: value for name, value in body.items() if name not in told}
    found += _meaning(given, routes)
    found += _contacts(body.get("contacts"))
    route = routes.get(given.get("segment", ""))
    if route is not None and "traits" not in told:
        found += _declared(given.get("traits", {}), route)
    if found or sign_up is None:
        raise SignUpRefused(dict.fromkeys(found))
    return sign_up


def unwrapped(body: object) -> object:
    """What a CloudEvent (structured mode) carries; anything else as it is. Raises `SignUpRefused`."""
    if not isinstance(body, dict) or "specversion" not in body:
        return body
    missing = [name for name in ("id", "source", "type") if not isinstance(body.get(name), str)]
    wrong = [Flaw(name, "a CloudEvent has one, and it is text") for name in missing]
    if body["specversion"] != "1.0":
        wrong.append(Flaw("specversion", "CloudEvents 1.0 are understood: write '1.0'"))
    if "data" not in body:
        wrong.append(Flaw("data", "it is missing: the CloudEvent carries nothing (data_base64 is not read)"))
    if wrong:
        raise SignUpRefused(wrong)
    return body["data"]


def address_in(body: object) -> str:
    """The address of `{"email": …}`, as the store keeps it. Raises `CommandMalformed`."""
    email = body.get("email") if isinstance(body, dict) else None
    if not isinstance(email, str) or len(email) > 254:
        raise CommandMalformed([Flaw("email", "it is missing: the customer's new address")])
    if flaws := list(_address(email, "email")):
        raise CommandMalformed(flaws)
    return _normalised(email)


def again(profile: profiles.Profile, segment: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a sign-up for somebody who is known: who they are as it is kept, the rest as given."""
    consent = {"lifecycle": profile.consent.lifecycle, "marketing": profile.consent.marketing}
    contacts = [{"role": one.role, "email": one.email, "name": one.name} for one in profile.contacts]
    known = {
        "id": profile.subject,
        "segment": segment,
        "email": profile.email,
        "name": profile.name,
        "company": profile.company,
        "contacts": [{name: value for name, value in one.items() if value is not None} for one in contacts],
        "timezone": profile.timezone,
        "country": profile.country,
        "subdivision": profile.subdivision,
        "locale": profile.locale,
        "consent": consent,
    }
    said = {name: value for name, value in given.items() if value is not None}
    return {name: value for name, value in {**known, **said}.items() if value is not None}


def subject_as_kept(
    profile: profiles.Profile, given: Mapping[str, Any], route: Route, enrolment: int = 1
) -> Subject:
    """Whom a journey is about, from what the store keeps of a sign-up."""
    return Subject(
        id=profile.subject,
        timezone=profile.timezone or route.journey.defaults.timezone or "UTC",
        country=profile.country,
        subdivision=profile.subdivision,
        locale=profile.locale,
        traits={name: value for name, value in given["traits"].items() if value is not None},
        enrolment=enrolment,
        skip=list(given["skip"]),
    )


def subject_of(body: object) -> str | None:
    """The id in a body that may or may not be a sign-up."""
    found = body.get("id") if isinstance(body, dict) else None
    return found if isinstance(found, str) and len(found) <= 200 and re.fullmatch(_ID, found) else None


# ---- what the shape does not say -------------------------------------------------------------------------


def _meaning(given: Mapping[str, Any], routes: Mapping[str, Route]) -> Iterator[Flaw]:
    route = routes.get(given.get("segment", ""))
    if "segment" in given and route is None:
        none = "no journey is published yet: `firstmile publish` publishes those of a folder"
        advice = unknown("segment", given["segment"], routes) if routes else none
        yield Flaw("segment", advice)
    if "email" in given:
        yield from _address(given["email"], "email")
    yield from _place(given)
    if "locale" in given and not _is_locale(given["locale"]):
        yield Flaw("locale", f"unknown locale '{given['locale']}': write for instance en, de or de-AT")
    yield from _traits(given.get("traits", {}))
    if route is not None:
        yield from _skip(given.get("skip", ()), route)


def _address(text: str, field: str) -> Iterator[Flaw]:
    try:
        _normalised(text)
    except EmailNotValidError as error:
        said = str(error).rstrip(".")
        yield Flaw(field, f"it is not an address: {said[:1].lower()}{said[1:]}")


def _normalised(address: str) -> str:
    # Nobody is asked on the network; .test and .example are fine, since nothing can arrive there.
    checked = validate_email(
        address.strip(), check_deliverability=False, allow_smtputf8=False, test_environment=True
    )
    return checked.ascii_email or checked.normalized


def _contacts(contacts: object) -> Iterator[Flaw]:
    """Each contact by itself, whatever is wrong with the others."""
    roles = set()
    for number, contact in enumerate(contacts if isinstance(contacts, list) else ()):
        role, email = (contact.get(name) if isinstance(contact, dict) else None for name in ("role", "email"))
        if isinstance(email, str) and len(email) <= 254:
            yield from _address(email, f"contacts[{number}].email")
        if isinstance(role, str) and role in roles:
            yield Flaw(f"contacts[{number}].role", f"'{role}' is there twice: each role has one person")
        roles.add(role if isinstance(role, str) else None)


def _place(given: Mapping[str, Any]) -> Iterator[Flaw]:
    zone, country, subdivision = (given.get(name) for name in ("timezone", "country", "subdivision"))
    told = set()
    for place in ((zone, None, None), (None, country, None), (None, country, subdivision)):
        try:
            check_place(*place)
        except PlaceError as error:
            if error.field not in told:
                yield Flaw(error.field, str(error))
            told.add(error.field)


@lru_cache(maxsize=1024)
def _is_locale(text: str) -> bool:
    try:
        Locale.parse(text.replace("_", "-"), sep="-")
    except (UnknownLocaleError, ValueError):
        return False
    return True


def _traits(traits: Mapping[str, Any]) -> Iterator[Flaw]:
    for name, value in traits.items():
        field = f"traits.{name}"
        if PERSONAL.fullmatch(name):
            yield Flaw(field, "it is personal data by its name: give it outside of traits, or not at all")
        elif any(_ADDRESS.search(text) for text in _texts(value)):
            yield Flaw(field, "it holds an address: traits are facts without personal data")
        elif any(len(text) > MAX_TRAIT_TEXT for text in _texts(value)):
            yield Flaw(field, f"a text has at most {MAX_TRAIT_TEXT} characters")
        elif isinstance(value, dict | list) and len(str(value)) > MAX_TRAIT_TEXT:
            yield Flaw(field, f"it has at most {MAX_TRAIT_TEXT} characters")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield str(name)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _declared(traits: Mapping[str, Any], route: Route) -> Iterator[Flaw]:
    for message in trait_problems(route, dict(traits)):
        named = re.match(r"trait '([^']*)'", message)
        yield Flaw(f"traits.{named.group(1)}" if named else "traits", message)


def _skip(steps: Collection[str], route: Route) -> Iterator[Flaw]:
    for number, step in enumerate(steps):
        if step not in route.index:
            yield Flaw(f"skip[{number}]", unknown("step", step, route.index))


# ---- the shape, in words ---------------------------------------------------------------------------------

_EXPECTED = {
    "string_type": "a text was expected",
    "bool_type": "true or false was expected",
    "float_type": "a number was expected",
    "int_type": "a whole number was expected",
    "list_type": "a list was expected",
    "dict_type": "a JSON object was expected",
    "model_type": "a JSON object was expected",
    "string_too_short": "it must not be empty",
}


def _flaw(details: ErrorDetails) -> Flaw:
    place, kind, context = details["loc"], details["type"], details.get("ctx", {})
    field = _path(place)
    last = str(place[-1]) if place else ""
    if kind == "missing":
        return Flaw(field, _MISSING.get(field, "it is missing"))
    if kind == "extra_forbidden":
        model = _PARTS.get(str(place[0]), SignUp) if len(place) > 1 else SignUp
        return Flaw(field, unknown("field", last, model.model_fields))
    if kind == "string_pattern_mismatch":
        return Flaw(field, _PATTERNS.get(last, "it has a line break or another control character in it"))
    if kind in ("string_too_long", "too_long"):
        of = "characters" if kind == "string_too_long" else "entries"
        return Flaw(field, f"it has at most {context['max_length']} {of}")
    if field == "speed" and kind in ("greater_than", "less_than_equal"):
        fast = kind == "less_than_equal"
        return Flaw(field, _TOO_FAST if fast else "it must be more than 0: 1 is as fast as the clock")
    given = _kind(details["input"])
    return Flaw(field, f"{_EXPECTED.get(kind, details['msg'])}, not {given}")


_PARTS: dict[str, type[BaseModel]] = {"contacts": Contact, "consent": Consent}
_MISSING = {
    "id": 'it is missing: every customer has an id, for instance "c-1"',
    "segment": "it is missing: it names the journey to go on",
}
_PATTERNS = {
    "id": "an id is opaque: letters, digits, '.', '_', ':', '~' and '-', beginning with a letter or a digit, "
    "and never an address",
    "role": "a role is letters, digits, '_' and '-'",
}
_TOO_FAST = f"it must be at most {FASTEST:g}: an hour of the journey would be shorter than 0.1 seconds"


def _path(place: tuple[int | str, ...]) -> str:
    path = ""
    for part in place:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _kind(value: object) -> str:
    """A value by its kind: what stands in a refused field may be personal."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"


__all__ = ["Consent", "Contact", "SignUp", "read", "subject_of", "unwrapped"]
