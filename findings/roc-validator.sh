#!/bin/sh
# roc-validator 0.13.0: a file that differs from the sha256 and contentSize stated for it passes.
#
# The validator looks whether each listed file is there and whether the description is well formed. It never
# reads a file: an output changed after the crate was written has "no issues", with every check of the profile.
#
# Why it hurts: a crate carries checksums, and "valid" is what a reviewer or an archive asks for. Whoever takes
# the one for the other accepts results that are not those described. Checksums must be read by another tool.
#
# Context and vocabulary come from a cache that is filled here from the package rocrate 0.14.0, which ships the
# context of RO-Crate 1.1: the validator asks for it whatever the crate says, and --offline asks the cache alone.
#
# Seen 2026-11-28, Python 3.11, status of `rocrate-validator validate`:
#   as described: 0
#   content changed: 0
#   file removed: 1
set -eu
command -v python3 >/dev/null && python3 -c 'import venv' || { echo "needs python3 with venv"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check roc-validator==0.13.0 rocrate==0.14.0 requests-cache==1.3.3 >pip.log 2>&1 || { cat pip.log; echo "needs the packages"; exit 77; }
env/bin/python - <<'EOF'
import hashlib, importlib.resources, io, json, pathlib
import requests, requests_cache
from urllib3 import HTTPResponse

context = importlib.resources.files("rocrate").joinpath("data/ro-crate.jsonld").read_bytes()

class FromPackage(requests.adapters.HTTPAdapter):
    def send(self, request, **kwargs):
        return self.build_response(request, HTTPResponse(io.BytesIO(context), status=200, preload_content=False,
                                                         headers={"Content-Type": "application/ld+json"}))

session = requests_cache.CachedSession("cache", backend="sqlite", expire_after=-1, allowable_methods=("GET",))
session.mount("https://", FromPackage())
address = "https://w3id.org/ro/crate/1.1/context"
for headers in ({}, {"Accept": "application/ld+json"}, {"Accept": "application/ld+json, application/json"}):
    session.get(address, headers=headers)

crate = pathlib.Path("crate")
crate.mkdir()
samples = b"level,latency_ns\n0,1226883\n"
(crate / "samples.csv").write_bytes(samples)
(crate / "ro-crate-metadata.json").write_text(json.dumps({"@context": [address, {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}], "@graph": [
    {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"}, "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"}},
    {"@id": "./", "@type": "Dataset", "name": "samples", "description": "timed calls", "datePublished": "2026-11-28",
     "license": {"@id": "https://spdx.org/licenses/Apache-2.0"}, "hasPart": [{"@id": "samples.csv"}]},
    {"@id": "https://spdx.org/licenses/Apache-2.0", "@type": "CreativeWork", "name": "Apache-2.0", "description": "the licence"},
    {"@id": "samples.csv", "@type": "File", "name": "samples", "encodingFormat": "text/csv",
     "contentSize": str(len(samples)), "sha256": hashlib.sha256(samples).hexdigest()},
]}))
EOF
validate() {
	status=0
	env/bin/rocrate-validator -y validate --offline --cache-path "$dir/cache" --no-paging -p ro-crate-1.1 -l required crate >out 2>&1 || status=$?
	echo $status
}
whole=$(validate)
[ "$whole" = 0 ] || cat out
echo "level,latency_ns" >crate/samples.csv
changed=$(validate)
rm crate/samples.csv
removed=$(validate)
echo "as described: $whole"
echo "content changed: $changed"
echo "file removed: $removed"
[ "$whole $changed $removed" = "0 0 1" ] || { echo "CHANGED"; exit 1; }
