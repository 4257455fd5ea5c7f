"""What customers' pages say, by language. English where a customer's language is not here.

A language has every text or the tests fail; `{brand}` and the like are filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ENGLISH: Final[dict[str, str]] = {
    "nps.question": "How likely are you to recommend {brand} to a colleague?",
    "nps.low": "Not at all likely",
    "nps.high": "Extremely likely",
    "csat.question": "How satisfied were you?",
    "csat.low": "Not at all satisfied",
    "csat.high": "Very satisfied",
    "ces.question": "“{brand} made it easy for me.” Do you agree?",
    "ces.low": "I do not agree at all",
    "ces.high": "I fully agree",
    "scale": "From {low} to {high}",
    "comment": "Would you like to say why?",
    "comment.optional": "optional",
    "comment.help": "What is on your mind?",
    "send": "Send answer",
    "checkin.question": "How are things going?",
    "checkin.intro": "Are you getting what you need from {brand}?",
    "checkin.good": "All good",
    "checkin.good.more": "Everything works as it should.",
    "checkin.help": "I need help",
    "checkin.help.more": "Somebody will get in touch with you.",
    "missing.score": "Please choose a number.",
    "missing.answer": "Please choose one of the two.",
    "answered": "You have answered before. Send again to change it: your last answer counts.",
    "not_yet": "Your answer counts once you have sent it.",
    "thanks": "Thank you",
    "thanks.survey": "Your answer has arrived.",
    "thanks.good": "Good to hear. We will leave you to it.",
    "thanks.help": "Your message has arrived. Somebody will get in touch with you.",
    "thanks.change": "Change my answer",
    "preferences": "What we send you",
    "preferences.going": "You get messages that help you get started, and a question now and then.",
    "preferences.stopped": "You get only what your account makes necessary.",
    "preferences.stop": "Stop these messages",
    "preferences.stop.more": "What your account makes necessary, a notice about your access for instance, "
    "will still reach you.",
    "preferences.resume": "Send me these messages again",
    "preferences.done.stop": "Done. You will get no more of these messages.",
    "preferences.done.resume": "Done. You will get these messages again.",
    "broken": "This link does not work",
    "broken.more": "It may have been cut off or changed on its way. Please open the link in the message "
    "again, or the one in a newer message.",
    "closed": "This question is closed",
    "closed.more": "Thank you for wanting to answer it.",
    "unavailable": "We cannot take your answer right now",
    "unavailable.more": "Please try again in a few minutes: the link stays the same.",
    "website": "Please leave this empty",
}

GERMAN: Final[dict[str, str]] = {
    "nps.question": "Wie wahrscheinlich ist es, dass Sie {brand} weiterempfehlen?",
    "nps.low": "Sehr unwahrscheinlich",
    "nps.high": "Sehr wahrscheinlich",
    "csat.question": "Wie zufrieden waren Sie?",
    "csat.low": "Gar nicht zufrieden",
    "csat.high": "Sehr zufrieden",
    "ces.question": "„{brand} hat es mir leicht gemacht.“ Stimmen Sie zu?",
    "ces.low": "Stimme gar nicht zu",
    "ces.high": "Stimme voll zu",
    "scale": "Von {low} bis {high}",
    "comment": "Möchten Sie sagen, warum?",
    "comment.optional": "freiwillig",
    "comment.help": "Was beschäftigt Sie?",
    "send": "Antwort senden",
    "checkin.question": "Wie läuft es?",
    "checkin.intro": "Bekommen Sie von {brand}, was Sie brauchen?",
    "checkin.good": "Alles gut",
    "checkin.good.more": "Es läuft, wie es soll.",
    "checkin.help": "Ich brauche Hilfe",
    "checkin.help.more": "Es meldet sich jemand bei Ihnen.",
    "missing.score": "Bitte wählen Sie eine Zahl.",
    "missing.answer": "Bitte wählen Sie eine der beiden Antworten.",
    "answered": "Sie haben schon geantwortet. Zum Ändern senden Sie noch einmal: Ihre letzte Antwort zählt.",
    "not_yet": "Ihre Antwort zählt, sobald Sie sie gesendet haben.",
    "thanks": "Vielen Dank",
    "thanks.survey": "Ihre Antwort ist angekommen.",
    "thanks.good": "Das freut uns. Wir stören nicht weiter.",
    "thanks.help": "Ihre Nachricht ist angekommen. Es meldet sich jemand bei Ihnen.",
    "thanks.change": "Antwort ändern",
    "preferences": "Was wir Ihnen senden",
    "preferences.going": "Sie bekommen Nachrichten, die den Einstieg erleichtern, und ab und zu eine Frage.",
    "preferences.stopped": "Sie bekommen nur, was Ihr Konto notwendig macht.",
    "preferences.stop": "Diese Nachrichten abbestellen",
    "preferences.stop.more": "Was Ihr Konto notwendig macht, etwa ein Hinweis zu Ihrem Zugang, erreicht Sie "
    "weiterhin.",
    "preferences.resume": "Diese Nachrichten wieder senden",
    "preferences.done.stop": "Erledigt. Sie bekommen keine dieser Nachrichten mehr.",
    "preferences.done.resume": "Erledigt. Sie bekommen diese Nachrichten wieder.",
    "broken": "Dieser Link funktioniert nicht",
    "broken.more": "Vielleicht wurde er unterwegs abgeschnitten oder verändert. Bitte öffnen Sie den Link in "
    "der Nachricht noch einmal, oder den in einer neueren.",
    "closed": "Diese Frage ist geschlossen",
    "closed.more": "Danke, dass Sie antworten wollten.",
    "unavailable": "Wir können Ihre Antwort gerade nicht annehmen",
    "unavailable.more": "Bitte versuchen Sie es in ein paar Minuten noch einmal: Der Link bleibt derselbe.",
    "website": "Bitte frei lassen",
}

LANGUAGES: Final[Mapping[str, Mapping[str, str]]] = {"en": ENGLISH, "de": GERMAN}
DEFAULT: Final = "en"


def language(locale: str | None, accepted: str | None = None) -> str:
    """The language of a page: the customer's, else the first the browser asks for, else English."""
    asked = [locale] if locale else [part.partition(";")[0] for part in (accepted or "").split(",")]
    for one in asked:
        found = one.replace("_", "-").partition("-")[0].strip().lower()
        if found in LANGUAGES:
            return found
    return DEFAULT
