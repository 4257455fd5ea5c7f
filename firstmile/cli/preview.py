"""`firstmile preview`: messages seen before they are sent, as files, as pictures, on one page, or in an inbox."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstmile.cli.errands import fail, print_json, settings_or_exit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from firstmile.mail.previews import Preview
    from firstmile.mail.templates import Templates

app = typer.Typer()

INDEX = "index.html"


@app.command()
def preview(
    template: Annotated[
        str | None, typer.Argument(metavar="[TEMPLATE]", help="The name of a template.", show_default=False)
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every template in every language, and a page with all of them.")
    ] = False,
    locale: Annotated[
        str | None, typer.Option(metavar="LOCALE", help="For a customer of this locale, as in de or de_AT.")
    ] = None,
    customer: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For this customer, as JSON; default: the template's sample."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go.", file_okay=False)] = Path(
        "preview"
    ),
    templates: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", exists=True, file_okay=False, help="The templates, if not the usual ones."
        ),
    ] = None,
    browser: Annotated[
        Path | None,
        typer.Option(metavar="PATH", exists=True, dir_okay=False, help="The Chromium that takes pictures."),
    ] = None,
    pictures: Annotated[
        bool, typer.Option(help="Take pictures at phone and desktop width, light and dark.")
    ] = True,
    send_to: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Send it there, marked as a test, instead of writing files."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: what was written.")] = False,
) -> None:
    """See messages as customers will: HTML, text, and pictures of a phone and a desktop, light and dark.

    Nothing is sent without --send-to, and then to that address only.
    """
    if (template is None) == (not everything):
        raise typer.BadParameter("name a template, or give --all")
    if everything and (send_to or locale):
        raise typer.BadParameter("--send-to and --locale go with one template, not with --all")
    loaded = _loaded(templates)
    found = _previews(loaded, template, locale, customer)
    if send_to is not None:
        _send(loaded, found[0], send_to, as_json)
        return
    found, note = _pictured(found, browser, pictures)
    written: list[Mapping[str, Any]] = [_written(one, out) for one in found]
    index = None
    if everything:
        from firstmile.mail.gallery import gallery

        index = out / INDEX
        index.write_text(gallery(found, str(loaded.brand.get("name") or "")), encoding="utf-8")
    _report(written, index, note, as_json)


def _loaded(folder: Path | None) -> Templates:
    from firstmile import paths
    from firstmile.mail.errors import TemplateError
    from firstmile.mail.templates import Templates

    try:
        return Templates((folder or paths.templates()).absolute())
    except (TemplateError, FileNotFoundError) as error:
        fail(error)


def _previews(
    templates: Templates, name: str | None, locale: str | None, customer: Path | None
) -> Sequence[Preview]:
    from firstmile.mail import previews
    from firstmile.mail.errors import TemplateError

    try:
        recipient = previews.read_recipient(customer) if customer is not None else None
        if name is not None:
            return [previews.preview(templates, name, locale=locale, recipient=recipient)]
        if templates.problems:
            raise templates.problems[0]
        return list(previews.previews(templates, recipient))
    except previews.CustomerRefused as error:
        fail(error, 2)
    except TemplateError as error:
        # Only a name or a locale that does not exist has no place in a file.
        if error.file is None and name not in templates.names:
            fail(f"{error} (in {templates.folder}; --templates names another folder)", 2)
        fail(error, 2 if error.file is None else 1)


def _pictured(
    found: Sequence[Preview], browser: Path | None, wanted: bool
) -> tuple[Sequence[Preview], str | None]:
    """The previews with their pictures, or why there are none."""
    from firstmile.mail.screenshots import NoBrowser, camera

    if not wanted:
        return found, None
    try:
        with ExitStack() as stack:
            lens = stack.enter_context(camera(browser))
            return [one.pictured(lens) for one in found], None
    except NoBrowser as error:
        return found, f"no pictures: {error}"


def _written(preview: Preview, out: Path) -> Mapping[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for name, content in preview.files():
        (out / name).write_bytes(content)
        files.append(str(out / name))
    return {
        "template": preview.template,
        "language": preview.rendered.language,
        "subject": preview.rendered.subject,
        "preheader": preview.preheader,
        "files": files,
    }


def _report(
    written: Sequence[Mapping[str, Any]], index: Path | None, note: str | None, as_json: bool
) -> None:
    if as_json:
        print_json({"previews": written, "gallery": str(index) if index else None, "note": note})
        return
    for one in written:
        typer.echo(f"{one['template']} ({one['language']}): {one['subject']}")
        if index is None:
            for file in one["files"]:
                typer.echo(f"  {file}")
    if index is not None:
        typer.echo(f"all on one page: {index}")
    if note is not None:
        typer.echo(note, err=True)


def _send(templates: Templates, preview: Preview, address: str, as_json: bool) -> None:
    """Send a preview through the transport of the settings. Nothing is written down, and nobody else is
    reached: the rules for recipients hold here, too."""
    from firstmile.errors import SettingsError
    from firstmile.mail.errors import TransportError
    from firstmile.mail.message import Address
    from firstmile.mail.previews import as_test
    from firstmile.mail.recipients import address_of
    from firstmile.mail.transports import check_transport, provider_named, safety_from, transport_from

    recipient = address_of(address)
    if recipient is None:
        fail("--send-to: not an address of the form name@host", 2)
    settings = settings_or_exit(sends=True)
    sender = Address(settings.mail_sender, settings.mail_sender_name)
    answers = templates.brand.get("reply_to")
    message = as_test(preview, sender, recipient, Address(str(answers), sender.name) if answers else None)
    try:
        transport = transport_from(settings)
    except SettingsError as error:
        fail(error, 2)
    allowed = safety_from(settings).applied(message, speed=1, reaches_people=transport.reaches_people)
    if isinstance(allowed, str):
        fail(f"not sent: {allowed} (FIRSTMILE_MAIL_ALLOW)")
    try:
        transport.send(allowed)
    except TransportError as error:
        if error.status in (401, 403):
            # What a worker would be told when it starts: a wrong key, or one that may not send.
            try:
                check_transport(settings)
            except SettingsError as refused:
                fail(refused, 2)
        fail(f"not sent: {error} ({provider_named(settings)})")
    redirected = allowed.to != message.to
    if as_json:
        print_json({"sent": True, "subject": allowed.subject, "redirected": redirected})
        return
    where = "to where FIRSTMILE_MAIL_REDIRECT_TO sends everything" if redirected else f"to {address}"
    typer.echo(f"sent {where}: {allowed.subject}")
