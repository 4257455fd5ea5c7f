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
    "preferences.why.primary": "Messages from {brand} to {address}. You get them because {company} has an "
    "account with {brand} and you are its main contact.",
    "preferences.why.contact": "Messages from {brand} to {address}. You get them because {company} has an "
    "account with {brand} and you are one of its contacts ({role}).",
    "preferences.why.former": "Messages from {brand} to {address}. You got them because you were a contact of "
    "{company}. You no longer are; what you choose here holds all the same.",
    "preferences.this_address": "this address",
    "preferences.your_company": "your company",
    "preferences.now.going": "You get: {topics}.",
    "preferences.now.stopped": "You get none of these messages.",
    "preferences.now.held": "We have stopped all of these messages to this address, for they were reported or "
    "declined. To have them again, please write to us.",
    "preferences.now.account": "None of these messages are sent to your company. Its main contact can change "
    "that.",
    "preferences.saved": "Saved.",
    "preferences.write": "Write to us",
    "preferences.topics": "Which of these do you want?",
    "preferences.save": "Save my choice",
    "preferences.stop": "Stop all of these",
    "preferences.start": "Start again",
    "preferences.always": "Whatever you choose, you always get what your account makes necessary: notices about "
    "your access, its security and your contract.",
    "preferences.changed": "Last changed on {date}.",
    "topic.tips": "Tips",
    "topic.tips.more": "What to do next, and how to get more out of it.",
    "topic.training": "Training",
    "topic.training.more": "Invitations to sessions, and reminders of those you chose.",
    "topic.feedback": "Questions",
    "topic.feedback.more": "A short survey now and then, and whether all is well.",
    "topic.offers": "Offers",
    "topic.offers.more": "Plans and products that may suit you. Only if you tick this.",
    "gone": "We keep nothing about you any more",
    "gone.more": "So nothing will be sent to you, either.",
    "broken": "This link does not work",
    "broken.more": "It may have been cut off or changed on its way. Please open the link in the message "
    "again, or the one in a newer message.",
    "closed": "This question is closed",
    "closed.more": "Thank you for wanting to answer it.",
    "unavailable": "We cannot take your answer right now",
    "unavailable.more": "Please try again in a few minutes: the link stays the same.",
    "unavailable.choice": "We cannot take your choice right now",
    "unavailable.choice.more": "Please try again in a few minutes: the link stays the same.",
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
    "preferences.why.primary": "Nachrichten von {brand} an {address}. Sie bekommen sie, weil {company} ein Konto "
    "bei {brand} hat und Sie dort als Hauptkontakt eingetragen sind.",
    "preferences.why.contact": "Nachrichten von {brand} an {address}. Sie bekommen sie, weil {company} ein Konto "
    "bei {brand} hat und Sie dort als Kontakt eingetragen sind ({role}).",
    "preferences.why.former": "Nachrichten von {brand} an {address}. Sie haben sie als Kontakt von {company} "
    "bekommen. Das sind Sie nicht mehr; was Sie hier wählen, gilt trotzdem.",
    "preferences.this_address": "diese Adresse",
    "preferences.your_company": "Ihr Unternehmen",
    "preferences.now.going": "Sie bekommen: {topics}.",
    "preferences.now.stopped": "Sie bekommen keine dieser Nachrichten.",
    "preferences.now.held": "Wir senden keine dieser Nachrichten mehr an diese Adresse, weil sie gemeldet oder "
    "abgelehnt wurden. Wenn Sie sie wieder möchten, schreiben Sie uns bitte.",
    "preferences.now.account": "An Ihr Unternehmen wird keine dieser Nachrichten gesendet. Dessen Hauptkontakt "
    "kann das ändern.",
    "preferences.saved": "Gespeichert.",
    "preferences.write": "Schreiben Sie uns",
    "preferences.topics": "Was davon möchten Sie?",
    "preferences.save": "Auswahl speichern",
    "preferences.stop": "Alle abbestellen",
    "preferences.start": "Wieder senden",
    "preferences.always": "Was Ihr Konto notwendig macht, bekommen Sie immer: Hinweise zu Ihrem Zugang, zu "
    "dessen Sicherheit und zu Ihrem Vertrag.",
    "preferences.changed": "Zuletzt geändert am {date}.",
    "topic.tips": "Tipps",
    "topic.tips.more": "Was als Nächstes ansteht, und wie Sie mehr davon haben.",
    "topic.training": "Schulungen",
    "topic.training.more": "Einladungen zu Terminen und Erinnerungen an die, die Sie gewählt haben.",
    "topic.feedback": "Fragen",
    "topic.feedback.more": "Ab und zu eine kurze Umfrage, und ob alles gut läuft.",
    "topic.offers": "Angebote",
    "topic.offers.more": "Pläne und Produkte, die zu Ihnen passen. Nur, wenn Sie es ankreuzen.",
    "gone": "Über Sie ist bei uns nichts mehr gespeichert",
    "gone.more": "Es wird Ihnen also auch nichts mehr gesendet.",
    "broken": "Dieser Link funktioniert nicht",
    "broken.more": "Vielleicht wurde er unterwegs abgeschnitten oder verändert. Bitte öffnen Sie den Link in "
    "der Nachricht noch einmal, oder den in einer neueren.",
    "closed": "Diese Frage ist geschlossen",
    "closed.more": "Danke, dass Sie antworten wollten.",
    "unavailable": "Wir können Ihre Antwort gerade nicht annehmen",
    "unavailable.more": "Bitte versuchen Sie es in ein paar Minuten noch einmal: Der Link bleibt derselbe.",
    "unavailable.choice": "Wir können Ihre Auswahl gerade nicht speichern",
    "unavailable.choice.more": "Bitte versuchen Sie es in ein paar Minuten noch einmal: Der Link bleibt "
    "derselbe.",
    "website": "Bitte frei lassen",
}

Words = Mapping[str, str]
LANGUAGES: Final[Mapping[str, Words]] = {"en": ENGLISH, "de": GERMAN}
DEFAULT: Final = "en"


def language(locale: str | None, accepted: str | None = None) -> str:
    """The language of a page: the customer's, else the first the browser asks for, else English."""
    asked = [locale] if locale else [part.partition(";")[0] for part in (accepted or "").split(",")]
    for one in asked:
        found = one.replace("_", "-").partition("-")[0].strip().lower()
        if found in LANGUAGES:
            return found
    return DEFAULT
