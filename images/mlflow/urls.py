"""Puts into each URL that STACK_URLS names what only the place it runs in knows: ${NAME}, percent-encoded.

Prints commands for a shell, which this never shows to anybody else.
"""

import os
import re
import shlex
from urllib.parse import quote

for name in filter(None, os.environ.get("STACK_URLS", "").split(",")):
    # Percent-encoded as a part of a URL has to be (RFC 3986, section 2.1).
    url = re.sub(r"\$\{(\w+)\}", lambda found: quote(os.environ[found[1]], safe=""), os.environ[name])
    print(f"export {name}={shlex.quote(url)}")
