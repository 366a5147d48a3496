"""Hold crates against a profile of RO-Crate, without a network.

usage: validate.py CACHE [URL=FILE...] -- [PROFILE:LEVEL:CRATE...]

Fills the cache of roc-validator with JSON-LD contexts, which it takes from the web
otherwise, and writes a line for each issue: the crate, the check, what it is about,
and the message.
"""

import io
import pathlib
import sys

import requests
import requests_cache
from requests.adapters import HTTPAdapter
from rocrate_validator import models, services
from urllib3 import HTTPResponse


class Files(HTTPAdapter):
    """Answers with files in place of the web."""

    def __init__(self, files):
        super().__init__()
        self.files = files

    def send(self, request, **_):
        body = io.BytesIO(pathlib.Path(self.files[request.url]).read_bytes())
        headers = {"Content-Type": "application/ld+json"}
        return self.build_response(request, HTTPResponse(body, headers, 200, preload_content=False))


cache, *rest = sys.argv[1:]
at = rest.index("--")
files = dict(pair.split("=", 1) for pair in rest[:at])
with requests_cache.CachedSession(cache, expire_after=-1) as session:
    session.mount("https://", Files(files))
    for url in files:
        session.get(url, headers={"Accept": "application/ld+json, application/json"})
for what in rest[at + 1 :]:
    profile, level, crate = what.split(":", 2)
    settings = services.ValidationSettings.parse(
        {
            "rocrate_uri": crate,
            "profile_identifier": profile,
            "requirement_severity": getattr(models.Severity, level),
            "cache_path": cache,
            "offline": True,
        }
    )
    result = services.validate(settings)
    for issue in result.get_issues():
        print(crate, issue.check.identifier, issue.violatingEntity, issue.message, sep="\t")
    print(crate, "checked", profile, level, sep="\t")
