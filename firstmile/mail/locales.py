"""Which language a message is written in, and what language its dates and numbers follow.

A template's own folder is written in the language that `brand.json` names; sub-folders called after a locale
(`de`, `de_AT`) hold it in others. A message is never of two languages: what a customer's locale lacks falls
back within its language (`de_AT`, then `de`), else the whole message is the one in the template's own folder.
"""

from __future__ import annotations

from functools import lru_cache

from babel import Locale, UnknownLocaleError

DEFAULT_LANGUAGE = "en"


@lru_cache(maxsize=512)
def known(text: str) -> Locale | None:
    """Babel's locale for `de`, `de-AT` or `de_AT`; a place that it does not know is left out (`de-XX` is
    `de`). None for a language it does not know."""
    words = text.strip().replace("-", "_").partition(".")[0]
    for candidate in (words, words.partition("_")[0]):
        try:
            return Locale.parse(candidate) if candidate else None
        except (UnknownLocaleError, ValueError):
            continue
    return None


@lru_cache(maxsize=512)
def folders(text: str | None) -> tuple[str, ...]:
    """The names of folders in which a customer of a locale finds their language, the nearest first."""
    locale = known(text or "")
    if locale is None:
        return ()
    language, script, territory = locale.language, locale.script, locale.territory
    spelt = (
        (language, script, territory),
        (language, territory),
        (language, script),
        (language,),
    )
    names = ("_".join(part for part in parts if part) for parts in spelt)
    return tuple(dict.fromkeys(names))


def tag(folder: str) -> str:
    """The name of a folder as a language tag (BCP 47): what stands in `lang`."""
    return folder.replace("_", "-")


def same_language(one: str | None, other: str | None) -> bool:
    """Whether two locales or tags are of one language, wherever it is spoken."""
    first, second = known(one or ""), known(other or "")
    return first is not None and second is not None and first.language == second.language


@lru_cache(maxsize=512)
def formatting_locale(customer: str | None, language: str | None) -> Locale:
    """How dates and numbers read in a message: the customer's own way if the message is in their language
    (`de-CH` in German words), else the way of the language it is written in."""
    written = known(language or "") or Locale.parse(DEFAULT_LANGUAGE)
    theirs = known(customer or "")
    return theirs if theirs is not None and theirs.language == written.language else written
