"""The cast: sample customers of every shipped segment, where they live, and what becomes of them.

Everybody here is invented, and every address lies in a domain that cannot exist (RFC 2606). An `Ending` states
only what holds whatever day the demo is started on.
"""

from __future__ import annotations

from typing import Final

from firstmile.demo.customers import Customer, Ending
from firstmile.demo.story import (
    After,
    Day,
    InDays,
    OptsOut,
    Orders,
    Rates,
    Replies,
    Scene,
    Uses,
    Work,
)

LOGIN, REPORT, INVITED = "user.logged_in", "report.published", "user.invited"
TRAINED, LEFT = "training.completed", "subscription.cancelled"

# ---- self-serve ------------------------------------------------------------------------------------------

_CAMILA = Customer(
    id="ss-camila",
    segment="self_serve",
    name="Camila Duarte",
    company="Estúdio Duarte",
    email="camila@estudio-duarte.example",
    timezone="America/Sao_Paulo",
    country="BR",
    locale="pt-BR",
    about="finds her way at once",
    traits={"plan": "starter"},
    scenes=(
        Scene(After("welcome", 0.2), Uses(LOGIN)),
        Scene(Day(1.1), Uses(REPORT)),
        Scene(After("ease", 0.4), Rates("ease", 7, "The templates did the work for me.")),
        Scene(After("tip_schedule", 0.5), Uses(REPORT, times=4)),
        Scene(After("check_in", 0.5), Replies("check_in", "good")),
    ),
    # She publishes more than the smallest plan is made for, and agreed to be told of the next.
    offers=True,
    ending=Ending(
        steps={
            "ease": "done",
            "check_in": "done",
            "rescue": "skipped",
            "celebrate": "done",
            "community": "done",
            "offer_next_plan": "done",
        }
    ),
)
_OTIS = Customer(
    id="ss-otis",
    segment="self_serve",
    name="Otis Fairweather",
    company="Fairweather Bikes",
    email="otis@fairweather-bikes.example",
    timezone="America/Los_Angeles",
    country="US",
    locale="en-US",
    about="takes the tour, then buys",
    traits={"plan": "trial", "trial_ends": InDays(16)},
    scenes=(
        Scene(Day(0.5), Uses(LOGIN)),
        Scene(After("tour", 0.3), Uses(TRAINED, properties={"session": "getting-started"})),
        Scene(After("tour", 0.8), Uses(REPORT)),
        Scene(Day(4), Orders("traits", reason="the trial became a subscription", traits={"plan": "pro"})),
        Scene(After("ease", 1), Rates("ease", 6)),
    ),
    ending=Ending(steps={"tour": "done", "trial_ending": "skipped", "celebrate": "done"}),
)
_KENJI = Customer(
    id="ss-kenji",
    segment="self_serve",
    name="Kenji Moriyama",
    company="Moriyama Press",
    email="kenji@moriyama-press.example",
    timezone="Asia/Tokyo",
    country="JP",
    locale="ja",
    about="is late, and is rescued",
    traits={"plan": "starter"},
    scenes=(
        Scene(After("nudge_login_friendly", 0.3), Uses(LOGIN)),
        Scene(After("nudge_login_formal", 0.3), Uses(LOGIN)),
        Scene(After("rescue", 0.5), Uses(REPORT)),
        Scene(After("ease", 0.5, purpose="remind"), Rates("ease", 3, "I needed a long time to begin.")),
        Scene(After("check_in", 0.5), Replies("check_in", "help", "How do I share a report?")),
    ),
    ending=Ending(steps={"rescue": "done", "celebrate": "done"}),
)
_WANJIRU = Customer(
    id="ss-wanjiru",
    segment="self_serve",
    name="Wanjiru Kamau",
    company="",
    email="wanjiru@kamau-crafts.example",
    timezone="Africa/Nairobi",
    country="KE",
    locale="en-KE",
    about="never comes back, and opts out",
    traits={"plan": "trial", "trial_ends": InDays(20)},
    scenes=(
        Scene(After("nudge_login_friendly", 0.4), OptsOut("nudge_login_friendly")),
        Scene(After("nudge_login_formal", 0.4), OptsOut("nudge_login_formal")),
    ),
    # What is about money and access reaches her all the same.
    ending=Ending(
        onboarded=False, steps={"rescue": "skipped", "trial_ending": "done", "first_value": "missed"}
    ),
)
_HOLGER = Customer(
    id="ss-holger",
    segment="self_serve",
    name="Holger Brandt",
    company="Brandt Gartenbau",
    email="holger@brandt-gartenbau.example",
    timezone="Europe/Berlin",
    country="DE",
    locale="de",
    about="cancels in the first week",
    traits={"plan": "trial", "trial_ends": InDays(14)},
    scenes=(Scene(Day(0.3), Uses(LOGIN)), Scene(Day(4.5), Uses(LEFT))),
    ending=Ending(status="stopped", onboarded=False, steps={"workspace": "undone"}),
)
_PRIYANKA = Customer(
    id="ss-priyanka",
    segment="self_serve",
    name="Priyanka Nair",
    company="Nair Analytics",
    email="priyanka@nair-analytics.example",
    timezone="Asia/Kolkata",
    country="IN",
    locale="en-IN",
    about="her workspace fails, and is retried",
    traits={"plan": "pro", "trial_ends": InDays(12)},
    scenes=(
        Scene(After("welcome", 0.3), Uses(LOGIN)),
        Scene(After("welcome", 1.5), Uses(REPORT)),
        Scene(After("ease", 0.6), Rates("ease", 5)),
        Scene(After("check_in", 1), Replies("check_in", "good")),
    ),
    outage=1,
    ending=Ending(steps={"workspace": "done", "welcome": "done", "celebrate": "done"}),
)

# ---- team ------------------------------------------------------------------------------------------------

_AMARA = Customer(
    id="tm-amara",
    segment="team",
    name="Amara Okonjo",
    company="Okonjo Freight",
    email="amara@okonjo-freight.example",
    timezone="Africa/Lagos",
    country="NG",
    locale="en-NG",
    about="succeeds, and is not happy",
    traits={"plan": "team", "seats": 18},
    scenes=(
        Scene(Day(0.4), Uses(LOGIN)),
        Scene(Day(2), Uses(INVITED, times=2)),
        Scene(Day(3), Uses(REPORT)),
        Scene(Day(5), Uses(REPORT, times=2)),
        Scene(After("training", 2), Uses(TRAINED, properties={"session": "team-101"})),
        Scene(After("nps", 0.8), Rates("nps", 4, "Exports are slow, and nobody answered my question.")),
        Scene(After("check_in", 1), Replies("check_in", "good")),
        Scene(After("check_in", 1, "occur", 2), Replies("check_in", "good")),
    ),
    ending=Ending(
        steps={
            "nps": "done",
            "low_score_call": "done",
            "community": "skipped",
            "check_in": "done",
            "training": "done",
        }
    ),
)
_LUKAS = Customer(
    id="tm-lukas",
    segment="team",
    name="Lukas Brandl",
    company="Brandl Optik",
    email="lukas@brandl-optik.example",
    timezone="Europe/Vienna",
    country="AT",
    locale="de-AT",
    about="a champion who brings everybody in",
    traits={"plan": "team", "seats": 9},
    scenes=(
        Scene(After("welcome", 0.1), Uses(LOGIN)),
        Scene(After("invite_team", 0.5), Uses(INVITED, times=3)),
        Scene(Day(2.5), Uses(REPORT, times=3)),
        Scene(After("training", 4), Uses(TRAINED, properties={"session": "team-101"})),
        Scene(After("nps", 1.2), Rates("nps", 10, "My team asks for it by name.")),
        Scene(After("community", 1), Uses(INVITED, times=5)),
        Scene(After("check_in", 2, "occur", 2), Replies("check_in", "good")),
    ),
    offers=True,
    silence=1,
    ending=Ending(
        steps={"nps": "done", "low_score_call": "skipped", "celebrate": "done", "offer_next_plan": "done"}
    ),
)
_RUBY = Customer(
    id="tm-ruby",
    segment="team",
    name="Ruby Callahan",
    company="Callahan & Daughters",
    email="ruby@callahan-daughters.example",
    timezone="Australia/Sydney",
    country="AU",
    locale="en-AU",
    about="goes on holiday: paused, and resumed",
    traits={"plan": "team", "seats": 6},
    scenes=(
        Scene(Day(0.6), Uses(LOGIN)),
        Scene(Day(2.4), Orders("pause", reason="on holiday for a week")),
        Scene(Day(8.4), Orders("resume", reason="back from holiday", options={"overdue": "shift"})),
        Scene(Day(10), Uses(INVITED, times=2)),
        Scene(Day(11), Uses(REPORT, times=3)),
        Scene(After("training", 3), Uses(TRAINED, properties={"session": "team-101"})),
        Scene(After("nps", 1), Rates("nps", 9)),
        Scene(After("check_in", 1), Replies("check_in", "good")),
        Scene(After("check_in", 1, "occur", 2), Replies("check_in", "good")),
    ),
    ending=Ending(steps={"first_value": "done", "rescue": "skipped", "nps": "done", "check_in": "done"}),
)
_DIEGO = Customer(
    id="tm-diego",
    segment="team",
    name="Diego Fuentes",
    company="Fuentes Logística",
    email="diego@fuentes-logistica.example",
    timezone="America/Mexico_City",
    country="MX",
    locale="en",
    about="is stuck at the start: a call helps",
    traits={"plan": "trial", "seats": 25, "trial_ends": InDays(30)},
    scenes=(
        Scene(After("nudge_login", 0.5), Uses(LOGIN)),
        Scene(Day(19), Uses(REPORT, times=3)),
        Scene(After("nps", 1), Rates("nps", 7)),
        Scene(After("check_in", 1), Replies("check_in", "help", "Two colleagues cannot sign in.")),
        Scene(After("check_in", 1, "occur", 2), Replies("check_in", "good")),
    ),
    work={"rescue": Work(1.0)},
    ending=Ending(steps={"rescue": "done", "trial_ending": "done", "celebrate": "done"}),
)
_MEI = Customer(
    id="tm-mei",
    segment="team",
    name="Mei Tanabe",
    company="Tanabe Ceramics",
    email="mei@tanabe-ceramics.example",
    timezone="Asia/Tokyo",
    country="JP",
    locale="en",
    about="works alone, and answers nothing",
    traits={"plan": "team", "seats": 1},
    scenes=(
        Scene(Day(1), Uses(LOGIN)),
        Scene(Day(6), Uses(REPORT, times=3)),
    ),
    ending=Ending(steps={"invite_team": "skipped", "training": "missed", "nps": "missed"}),
)

# ---- enterprise ------------------------------------------------------------------------------------------

_ADMINS = Scene(After("admin_training", 4), Uses(TRAINED, properties={"session": "enterprise-admin"}))
_USERS = Scene(After("user_training", 3), Uses(TRAINED, properties={"session": "enterprise-users"}))

_KATRIN = Customer(
    id="en-katrin",
    segment="enterprise",
    name="Katrin Voss",
    company="Voss Maschinenbau",
    email="katrin@voss-maschinenbau.example",
    timezone="Europe/Berlin",
    country="DE",
    locale="en-DE",
    about="goes live as planned",
    traits={
        "plan": "enterprise",
        "seats": 420,
        "region": "eu-central",
        "sso": True,
        "data_source": "Contoso Warehouse",
    },
    scenes=(
        Scene(After("kickoff_invitation", 1.5), Uses("kickoff.held")),
        Scene(Day(15), Uses("data.imported", properties={"rows": 184_000})),
        _ADMINS,
        Scene(After("training_feedback", 1), Rates("training_feedback", 5, "Clear, and to the point.")),
        _USERS,
        Scene(Day(37), Uses(REPORT, times=5)),
        Scene(After("nps", 1), Rates("nps", 9)),
        Scene(After("check_in", 1), Replies("check_in", "good")),
        Scene(After("check_in", 1, "occur", 2), Replies("check_in", "good")),
    ),
    work={"success_plan": Work(1.0, {"go_live": InDays(36)})},
    ending=Ending(
        steps={
            "sso": "done",
            "data_import": "done",
            "ready": "done",
            "go_live_notice": "done",
            "nps": "done",
            "review_call": "done",
        }
    ),
)
_ARJUN = Customer(
    id="en-arjun",
    segment="enterprise",
    name="Arjun Mehta",
    company="Mehta Pharma",
    email="arjun@mehta-pharma.example",
    timezone="Asia/Kolkata",
    country="IN",
    locale="en-IN",
    about="his go-live moves by a week",
    traits={"plan": "enterprise", "seats": 150, "region": "ap-south", "sso": False},
    scenes=(
        Scene(After("kickoff_invitation", 2), Uses("kickoff.held")),
        _ADMINS,
        Scene(
            Day(20),
            Orders("traits", reason="the board meets a week later", traits={"go_live": InDays(36)}),
        ),
        _USERS,
        Scene(Day(37), Uses(REPORT, times=5)),
        Scene(After("nps", 1.5), Rates("nps", 6, "Single sign-on should not cost extra.")),
        Scene(After("check_in", 1), Replies("check_in", "help", "The import of last year's figures.")),
        Scene(After("check_in", 1, "occur", 2), Replies("check_in", "good")),
    ),
    work={"success_plan": Work(1.0, {"go_live": InDays(29)})},
    ending=Ending(
        steps={"sso": "skipped", "data_import": "skipped", "low_score_call": "done", "nps": "done"}
    ),
)
_GRACE = Customer(
    id="en-grace",
    segment="enterprise",
    name="Grace Whitcomb",
    company="Whitcomb Health",
    email="grace@whitcomb-health.example",
    timezone="America/Los_Angeles",
    country="US",
    locale="en-US",
    about="starts late, and is at risk",
    traits={"plan": "enterprise", "seats": 900, "region": "us-west", "sso": True},
    scenes=(
        # Only once the call about the overdue kick-off was made.
        Scene(Day(20), Uses("kickoff.held")),
        _ADMINS,
        Scene(After("training_feedback", 1), Rates("training_feedback", 4)),
        _USERS,
        Scene(Day(38), Uses(REPORT, times=5)),
        Scene(After("nps", 1), Rates("nps", 8)),
        Scene(After("check_in", 1), Replies("check_in", "good")),
        Scene(After("check_in", 1, "occur", 2), Replies("check_in", "good")),
    ),
    # Finance takes its time: what should be ready five business days before go-live is not.
    work={
        "success_plan": Work(1.0, {"go_live": InDays(37)}),
        "billing": Work(33.0),
        "at_risk": Work(0.5),
    },
    ending=Ending(
        steps={
            "kickoff_held": "done",
            "kickoff_chase": "done",
            "at_risk": "done",
            "ready": "done",
            "nps": "done",
        }
    ),
)
_CALLUM = Customer(
    id="en-callum",
    segment="enterprise",
    name="Callum Reid",
    company="Reid Offshore",
    email="callum@reid-offshore.example",
    timezone="Europe/London",
    country="GB",
    locale="en-GB",
    about="is taken over: cancelled and undone",
    traits={"plan": "enterprise", "seats": 80, "region": "eu-west", "sso": True},
    scenes=(
        Scene(After("kickoff_invitation", 2), Uses("kickoff.held")),
        Scene(Day(24), Orders("cancel", reason="bought by another company", options={"undo": True})),
    ),
    work={"success_plan": Work(1.0, {"go_live": InDays(50)})},
    ending=Ending(
        status="stopped", onboarded=False, steps={"workspace": "undone", "sandbox": "undone", "sso": "undone"}
    ),
)

CAST: Final = (
    _CAMILA, _OTIS, _KENJI, _WANJIRU, _HOLGER, _PRIYANKA,
    _AMARA, _LUKAS, _RUBY, _DIEGO, _MEI,
    _KATRIN, _ARJUN, _GRACE, _CALLUM,
)  # fmt: skip
