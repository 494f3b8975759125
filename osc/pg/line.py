"""How safe the line to the server is: who stands between could read and change what is sent, unless it is verified.

Apart from the target, because it is a judgement: what libpq takes by default is a plain line to whoever answers (B62).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osc.pg.target import Target

VERIFIED = "verify-full"
"""The one ``sslmode`` that looks whether the server is the one that was meant (libpq, section "SSL Support")."""


def unverified(target: Target) -> str | None:
    """Return what the line asks of a server on another machine, ``sslmode=prefer`` say, or ``None`` where it is enough.

    A unix socket and the loopback need nothing, a tunnel's end for one. GSSAPI, where it is required, knows both sides.
    """
    params = target.effective()
    asked = params.get("sslmode") or "prefer"
    # With the system's root certificates libpq takes nothing less than verify-full, whatever it is told.
    if asked == VERIFIED or params.get("gssencmode") == "require" or params.get("sslrootcert") == "system":
        return None
    hosts = (params.get("hostaddr") or params.get("host") or "").split(",")
    return None if all(_here(host) for host in hosts) else f"sslmode={asked}"


def _here(host: str) -> bool:
    if not host or host[0] in "/@" or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
