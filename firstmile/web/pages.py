"""The pages behind the links in messages: survey, check-in, preferences.

A GET records nothing, whoever opens it: mail programs and scanners open every link. An answer counts when the
page is sent; the last one stands. What a machine filled in that no person sees is kept as suspicious.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response

from firstmile.errors import LinkRefused, StoreAway
from firstmile.links import Links, Target
from firstmile.links import Purpose as LinkPurpose
from firstmile.service import Preferences, Question, Service
from firstmile.web import forms, texts
from firstmile.web.rendering import Pages

_READ = ["GET", "HEAD"]
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Sent:
    """What a form carried."""

    score: int | None
    answer: Literal["good", "help"] | None
    comment: str | None
    page: str
    suspicious: bool


def router(service: Service, links: Links, pages: Pages) -> APIRouter:
    """The routes `/s/…`, `/c/…` and `/u/…`."""
    found = APIRouter(include_in_schema=False)
    desk = _Desk(service, links, pages)
    for path, purpose in (("s", "survey"), ("c", "checkin")):
        found.add_api_route(f"/{path}/{{token}}", desk.ask(purpose), methods=_READ)  # type: ignore[arg-type]  # a literal of the line above
        found.add_api_route(f"/{path}/{{token}}", desk.take(purpose), methods=["POST"])  # type: ignore[arg-type]  # likewise
    found.add_api_route("/u/{token}", desk.preferences, methods=_READ)
    found.add_api_route("/u/{token}", desk.choose, methods=["POST"])
    return found


class _Desk:
    def __init__(self, service: Service, links: Links, pages: Pages) -> None:
        self._service, self._links, self._pages = service, links, pages

    # Surveys and check-ins

    def ask(self, purpose: LinkPurpose) -> Any:
        """The page that asks."""

        async def page(request: Request, token: str) -> Response:
            question = await self._question(request, token, purpose)
            if isinstance(question, Response):
                return question
            before = question.answered
            score = _in_scale(question, request.query_params.get("score"))
            answer = _answer(request.query_params.get("answer"))
            return self._form(
                request,
                question,
                score=score if score is not None else (before.score if before else None),
                answer=answer or (_answer(before.answer) if before else None),
                comment=before.comment if before else None,
            )

        return page

    def take(self, purpose: LinkPurpose) -> Any:
        """The page that takes the answer."""

        async def page(request: Request, token: str) -> Response:
            question = await self._question(request, token, purpose)
            if isinstance(question, Response):
                return question
            language = forms.language(request, question.locale)
            sent = await _sent(request, question)
            words = texts.LANGUAGES[language]
            asked = "answer" if question.kind == "checkin" else "score"
            if getattr(sent, asked) is None:
                wrong = words[f"missing.{asked}"]
                return self._form(request, question, 422, wrong=wrong, comment=sent.comment)
            try:
                await self._service.answers.answer(
                    question,
                    score=sent.score,
                    answer=sent.answer,
                    comment=sent.comment,
                    nonce=sent.page,
                    suspicious=sent.suspicious,
                )
            except StoreAway as error:
                return self._away(language, error)
            text = words[f"thanks.{sent.answer}" if question.kind == "checkin" else "thanks.survey"]
            return self._pages.message(language, "thanks", good=True, text=text, change=request.url.path)

        return page

    async def _question(self, request: Request, token: str, purpose: LinkPurpose) -> Question | Response:
        target = self._target(request, token, purpose)
        if isinstance(target, Response):
            return target
        language = forms.language(request, None)
        try:
            return await self._service.question(target)
        except LinkRefused:
            return self._pages.message(language, "closed", 410)
        except StoreAway as error:
            return self._away(language, error)

    def _form(
        self,
        request: Request,
        question: Question,
        status: int = 200,
        *,
        score: int | None = None,
        answer: str | None = None,
        comment: str | None = None,
        wrong: str | None = None,
    ) -> Response:
        language = forms.language(request, question.locale)
        values: dict[str, Any] = {
            "action": request.url.path,
            "answered": question.answered is not None,
            "comment": comment,
            "wrong": wrong,
            "page": secrets.token_urlsafe(12),
        }
        if question.scale is None:
            values |= {"answer": answer, "comment_label": "comment.help"}
            return self._pages.render("checkin.html.j2", language, status, **values)
        low, high = question.scale
        heading = texts.LANGUAGES[language][f"{question.kind}.question"]
        # The journey's own title is in its author's language; ours are in the customer's.
        title = question.title or ""
        if question.kind != "nps" and language == texts.DEFAULT and title.endswith("?"):
            heading = title
        heading = heading.replace("{brand}", str(self._pages.brand["name"]))
        values |= {"kind": question.kind, "low": low, "high": high, "score": score, "heading": heading}
        return self._pages.render("survey.html.j2", language, status, comment_label="comment", **values)

    # Preferences

    async def preferences(self, request: Request, token: str) -> Response:
        """The page that says what a customer is sent, and lets them stop it."""
        chosen = await self._chosen(request, token)
        return chosen if isinstance(chosen, Response) else self._choices(request, chosen)

    async def choose(self, request: Request, token: str) -> Response:
        """Stop or go on. A mail program's one click (RFC 8058) stops, and reads no page."""
        chosen = await self._chosen(request, token)
        if isinstance(chosen, Response):
            return chosen
        form = await forms.fields(request)
        one_click = form.get("List-Unsubscribe") == "One-Click"
        choice = "stop" if one_click else form.get("choice")
        if choice not in ("stop", "resume"):
            return self._choices(request, chosen)
        language = forms.language(request, chosen.locale)
        try:
            await self._service.answers.choose(chosen, stop=choice == "stop")
        except LinkRefused:
            return self._pages.message(language, "broken", 404)
        except StoreAway as error:
            return self._away(language, error)
        now = Preferences(chosen.target, chosen.locale, stopped=choice == "stop")
        return self._choices(request, now, done=choice)

    async def _chosen(self, request: Request, token: str) -> Preferences | Response:
        target = self._target(request, token, "preferences")
        if isinstance(target, Response):
            return target
        language = forms.language(request, None)
        try:
            return await self._service.preferences(target)
        except LinkRefused:
            return self._pages.message(language, "broken", 404)
        except StoreAway as error:
            return self._away(language, error)

    def _choices(self, request: Request, chosen: Preferences, done: str | None = None) -> Response:
        language = forms.language(request, chosen.locale)
        return self._pages.render(
            "preferences.html.j2", language, action=request.url.path, stopped=chosen.stopped, done=done
        )

    # What all have in common

    def _target(self, request: Request, token: str, purpose: LinkPurpose) -> Target | Response:
        try:
            return self._links.read(token, purpose)
        except LinkRefused:
            return self._pages.message(forms.language(request, None), "broken", 404)

    def _away(self, language: str, error: StoreAway) -> Response:
        _logger.error("a customer's page could not be answered: %s", error)
        return self._pages.message(language, "unavailable", 503)


async def _sent(request: Request, question: Question) -> _Sent:
    form = await forms.fields(request)
    return _Sent(
        score=_in_scale(question, form.get("score")),
        answer=_answer(form.get("answer")) if question.kind == "checkin" else None,
        comment=form.get("comment"),
        page=form.get("page", "")[:64],
        # A field that no person sees.
        suspicious=bool(form.get("website")),
    )


def _in_scale(question: Question, text: str | None) -> int | None:
    if question.scale is None or text is None or not (text.isascii() and text.isdigit() and len(text) < 4):
        return None
    low, high = question.scale
    return int(text) if low <= int(text) <= high else None


def _answer(text: str | None) -> Literal["good", "help"] | None:
    if text == "good":
        return "good"
    return "help" if text == "help" else None
