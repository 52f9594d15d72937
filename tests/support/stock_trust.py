"""Stock fedmsg's own signing and validating, in one process that answers many questions."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import stock

_SERVER = """
import json, logging, sys
import fedmsg.crypto, fedmsg.crypto.utils, fedmsg.encoding
logging.disable(logging.CRITICAL)
for line in sys.stdin:
    asked = json.loads(line)
    try:
        if asked["do"] == "sign":
            signed = fedmsg.crypto.sign(json.loads(asked["body"]), **asked["config"])
            answer = fedmsg.encoding.dumps(signed)
        else:
            fedmsg.crypto.utils._cached_certificates.clear()
            answer = fedmsg.crypto.validate(json.loads(asked["body"]), **asked["config"])
    except Exception as error:
        answer = f"raises {type(error).__name__}: {error}"
    print(json.dumps(answer), flush=True)
"""


class StockTrust:
    """The process; it ends when it is closed."""

    def __init__(self) -> None:
        command = [str(stock.command("python")), "-W", "ignore", "-c", _SERVER]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def sign(self, body: str, ssldir: str, certname: str) -> str:
        """Sign a message; get the body that stock would send."""
        return str(self._ask("sign", body, {"ssldir": ssldir, "certname": certname}))

    def validate(
        self, body: str, ca: str, crl: str | None, policy: dict[str, Any] | None = None, *, nitpicky: bool = False
    ) -> bool | str:
        """Validate a message.

        Returns:
            Stock's verdict; what it raises as text.
        """
        config = {
            "ca_cert_location": ca,
            "crl_location": crl,
            "routing_policy": policy or {},
            "routing_nitpicky": nitpicky,
            "crypto_validate_backends": ["x509"],
        }
        answer = self._ask("validate", body, config)
        assert isinstance(answer, (bool, str))
        return answer

    def _ask(self, do: str, body: str, config: dict[str, Any]) -> object:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"do": do, "body": body, "config": config}), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
