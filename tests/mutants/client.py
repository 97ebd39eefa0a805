"""Wrong clients of the API server: each believes one thing that servers and networks do not do."""

from tests.mutants.catalogue import Mutant

API = "tests/client/test_api.py"
CREDENTIALS = "tests/client/test_credentials.py"
ERRORS = "tests/client/test_errors.py"
HTTP = "tests/client/test_http.py"
REFLECTOR = "tests/client/test_reflector.py"

_CLIENT = "rcm_api/client"

MUTANTS = (
    Mutant(
        "goes on from history that is gone",
        f"{_CLIENT}/reflector.py",
        '            except errors.Gone as error:\n                self._version = ""\n',
        "            except errors.Gone as error:\n",
        (REFLECTOR,),
    ),
    Mutant(
        "believes that a silent watch lives",
        f"{_CLIENT}/reflector.py",
        "        if silence_s > self._settings.limits.silence_s:\n",
        "        if silence_s > 1e9:\n",
        (REFLECTOR,),
    ),
    Mutant(
        "does not look whether the server was restored",
        f"{_CLIENT}/reflector.py",
        "                if self._doubt and self._version:\n",
        "                if False:\n",
        (REFLECTOR,),
    ),
    Mutant(
        "lists anew whenever a watch ends",
        f"{_CLIENT}/reflector.py",
        "        self._doubt = lasted < limits.duration_s - EARLY_S\n",
        '        self._version = ""\n',
        (REFLECTOR,),
    ),
    Mutant(
        "takes a list for the end of all trouble",
        f"{_CLIENT}/reflector.py",
        "        self.health.synced = True\n        self.health.heard_at = self._now()\n",
        "        self.health.synced = True\n        self._heard()\n",
        (REFLECTOR,),
    ),
    Mutant(
        "does not wait as long as the server asks",
        f"{_CLIENT}/backoff.py",
        "        return jitter + (wish_s or 0.0)\n",
        "        return jitter\n",
        (REFLECTOR,),
    ),
    Mutant(
        "never renews a token",
        f"{_CLIENT}/http.py",
        "        answer = self._answer(request, self._logins.current(), stream=False)\n"
        "        if answer.status == _UNAUTHORIZED:\n",
        "        answer = self._answer(request, self._logins.current(), stream=False)\n"
        "        if False:\n",
        (HTTP,),
    ),
    Mutant(
        "asks again after a lost answer",
        f"{_CLIENT}/http.py",
        "                retries=False,\n",
        "                retries=urllib3.Retry(3, allowed_methods=None, redirect=False),\n",
        (HTTP,),
    ),
    Mutant(
        "follows redirects",
        f"{_CLIENT}/http.py",
        "                redirect=False,\n                retries=False,\n",
        "                redirect=True,\n                retries=urllib3.Retry(1),\n",
        (HTTP,),
    ),
    Mutant(
        "tells tokens in messages",
        f"{_CLIENT}/errors.py",
        '    head = _BEARER.sub(r"\\1…", text[: 16 * LIMIT])\n    head = _JWT.sub("…", head)\n',
        "    head = text[: 16 * LIMIT]\n",
        (ERRORS,),
    ),
    Mutant(
        "loses the end of a line that comes in two parts",
        f"{_CLIENT}/http.py",
        '            *lines, rest = (rest + chunk).split(b"\\n")\n',
        '            *lines, rest = chunk.split(b"\\n")\n',
        (HTTP,),
    ),
    Mutant(
        "reads a Pod's token once",
        f"{_CLIENT}/credentials.py",
        "        if self._login is None or self._now() - self._read_at > REREAD_S:\n",
        "        if self._login is None:\n",
        (CREDENTIALS,),
    ),
    Mutant(
        "takes the first page for the list",
        f"{_CLIENT}/api.py",
        "            if not following:\n                return\n",
        "            return\n",
        (API,),
    ),
)
