"""Customers of the demo answer on real pages: they find the link, fill in what the form asks, and send it."""

from __future__ import annotations

from urllib.parse import parse_qs

import httpx
import pytest

from firstmile.demo.pages import PageFailed, answer, forms, links, unsubscribe

PAGE = """
<form action="/search"><input name="q"></form>
<form method="post" action="/s/token?x=1">
  <input type="hidden" name="nonce" value="n&amp;1">
  <label><input type="radio" name="score" value="3"> 3</label>
  <label><input type="radio" name="score" value="4" checked> 4</label>
  <input type="checkbox" name="anonymous">
  <textarea name="comment"></textarea>
  <button name="send" value="yes">Send</button>
</form>
<input name="outside">
"""


class Site:
    """A site of one page, which remembers what it was sent."""

    def __init__(self, page: str = PAGE, status: int = 200) -> None:
        self.page, self.status = page, status
        self.sent: list[tuple[str, dict[str, list[str]]]] = []
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, html=self.page)
        self.sent.append((str(request.url), parse_qs(request.content.decode(), keep_blank_values=True)))
        return httpx.Response(self.status)


def test_a_form_is_read_as_it_stands() -> None:
    search, question = forms(PAGE)

    assert (search.method, search.names) == ("get", {"q"})
    assert question.action == "/s/token?x=1"
    assert question.values == {"nonce": "n&1", "score": "4", "comment": ""}
    assert question.names == {"nonce", "score", "anonymous", "comment", "send"}


async def test_an_answer_keeps_what_the_form_had_and_leaves_out_what_it_does_not_ask() -> None:
    site = Site()

    await answer(site.client, "http://there.example/s/token", {"score": "9", "comment": "Good", "mood": "up"})

    assert site.sent == [
        ("http://there.example/s/token?x=1", {"nonce": ["n&1"], "score": ["9"], "comment": ["Good"]})
    ]


async def test_a_form_without_an_action_is_sent_to_its_own_page() -> None:
    site = Site('<form method="post"><input name="answer"></form>')

    await answer(site.client, "http://there.example/c/token?answer=good", {"answer": "good"})

    assert site.sent == [("http://there.example/c/token?answer=good", {"answer": ["good"]})]


@pytest.mark.parametrize(
    ("site", "message"),
    [(Site("<p>Thank you</p>"), "no form that asks for 'score'"), (Site(status=422), "answered with 422")],
)
async def test_a_page_that_cannot_be_answered_is_a_failure(site: Site, message: str) -> None:
    with pytest.raises(PageFailed, match=message):
        await answer(site.client, "http://there.example/s/token", {"score": "9"})


async def test_one_click_unsubscribes_at_the_address_of_the_header() -> None:
    site = Site()

    await unsubscribe(site.client, "<mailto:a@b.example>, <http://there.example/u/token>")

    assert site.sent == [("http://there.example/u/token", {"List-Unsubscribe": ["One-Click"]})]
    with pytest.raises(PageFailed):
        await unsubscribe(site.client, "")


def test_links_of_a_message_are_found_by_how_they_begin() -> None:
    html = """<a href="http://x.example/s/1?score=1&amp;a=2">1</a> <a href='http://x.example/u/2'>u</a>"""

    assert links(html, "http://x.example/s/") == ["http://x.example/s/1?score=1&a=2"]
    assert links(html, "http://x.example/c/") == []
