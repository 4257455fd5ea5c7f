"""The pages behind the links in messages: survey and check-in; preferences and trainings are next door.

A GET records nothing, whoever opens it: mail programs and scanners open every link. An answer counts when the
page is sent; the last one stands. What a machine filled in that no person sees is kept as suspicious.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response

from firstmile.errors import LinkRefused, StoreAway
from firstmile.links import Links
from firstmile.links import Purpose as LinkPurpose
from firstmile.service import Question, Service
from firstmile.web import forms, preferences, texts, trainings
from firstmile.web.desk import READ, Desk
from firstmile.web.rendering import Pages


@dataclass(frozen=True, slots=True)
class _Sent:
    """What a form carried."""

    score: int | None
    answer: Literal["good", "help"] | None
    comment: str | None
    page: str
    suspicious: bool


def router(service: Service, links: Links, pages: Pages) -> APIRouter:
    """The routes `/s/…`, `/c/…`, `/u/…` and `/t/…`."""
    found = APIRouter(include_in_schema=False)
    desk = _QuestionDesk(service, links, pages)
    for path, purpose in (("s", "survey"), ("c", "checkin")):
        found.add_api_route(f"/{path}/{{token}}", desk.ask(purpose), methods=READ)  # type: ignore[arg-type]  # a literal of the line above
        found.add_api_route(f"/{path}/{{token}}", desk.take(purpose), methods=["POST"])  # type: ignore[arg-type]  # likewise
    found.include_router(preferences.router(service, links, pages))
    found.include_router(trainings.router(service, links, pages))
    return found


class _QuestionDesk(Desk):
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
                await self.service.answers.answer(
                    question,
                    score=sent.score,
                    answer=sent.answer,
                    comment=sent.comment,
                    nonce=sent.page,
                    suspicious=sent.suspicious,
                )
            except StoreAway as error:
                return self.away(language, error)
            text = words[f"thanks.{sent.answer}" if question.kind == "checkin" else "thanks.survey"]
            return self.pages.message(language, "thanks", good=True, text=text, change=request.url.path)

        return page

    async def _question(self, request: Request, token: str, purpose: LinkPurpose) -> Question | Response:
        target = self.target(request, token, purpose)
        if isinstance(target, Response):
            return target
        language = forms.language(request, None)
        try:
            return await self.service.question(target)
        except LinkRefused:
            return self.pages.message(language, "closed", 410)
        except StoreAway as error:
            return self.away(language, error)

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
            return self.pages.render("checkin.html.j2", language, status, **values)
        low, high = question.scale
        heading = texts.LANGUAGES[language][f"{question.kind}.question"]
        # The journey's own title is in its author's language; ours are in the customer's.
        title = question.title or ""
        if question.kind != "nps" and language == texts.DEFAULT and title.endswith("?"):
            heading = title
        heading = heading.replace("{brand}", str(self.pages.brand["name"]))
        values |= {"kind": question.kind, "low": low, "high": high, "score": score, "heading": heading}
        return self.pages.render("survey.html.j2", language, status, comment_label="comment", **values)


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
