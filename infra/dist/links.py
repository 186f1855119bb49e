"""Has the pages of the tarball lead where things lie: what is shipped of infra/ lies at its top, and what is
not shipped is on the web. Takes the folder and what of infra/ is shipped."""

import pathlib
import re
import sys

WEB = "https://github.com/evp-project/evp/blob/main"
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")

top, shipped = pathlib.Path(sys.argv[1]).resolve(), "|".join(sys.argv[2:])


def led(page, link):
    """The link itself, or where it leads on the web."""
    target = (page.parent / link).resolve()
    return link if target.exists() else f"{WEB}/{target.relative_to(top)}"


for page in top.rglob("*.md"):
    text = re.sub(rf"\binfra/({shipped})\b", r"\1", page.read_text())
    page.write_text(LINK.sub(lambda link: led(page, link[1]), text))
