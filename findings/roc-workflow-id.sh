#!/bin/sh
# roc-validator 0.13.0: no crate that holds its workflow passes RECOMMENDED of the Workflow Run profiles.
#
# Check process-run-crate-0.5_5.1 wants the id of every SoftwareApplication, SoftwareSourceCode and
# ComputationalWorkflow to begin with "http". The profile asks that of a tool; but the main workflow of a Workflow
# RO-Crate is a file of the crate, whose id is its path, and carries the last two types by requirement. So the check
# fails whatever the crate says, for the very crates that the profile is about.
#
# Why it hurts: "passes RECOMMENDED" is what an archive or a badge asks for, and cannot be had. Whoever gives the
# workflow a web address to please the validator has a crate without its workflow. Hold a crate against all other
# checks, and read this one's issues: they must name the workflow's two types and nothing else.
#
# Context and vocabulary come from a cache that is filled here from the package rocrate 0.13.0 (RO-Crate 1.1).
#
# Seen 2026-11-28, Python 3.11, issues of that check for a crate with one workflow, one tool and one run:
#   http://schema.org/SoftwareSourceCode  https://bioschemas.org/ComputationalWorkflow
set -eu
command -v python3 >/dev/null && python3 -c 'import venv' || { echo "needs python3 with venv"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check roc-validator==0.13.0 rocrate==0.13.0 requests-cache==1.3.3 >pip.log 2>&1 || { cat pip.log; echo "needs the packages"; exit 77; }
env/bin/python - <<'EOF'
import importlib.resources, io, json, pathlib, sys
import requests, requests_cache
from urllib3 import HTTPResponse

context = importlib.resources.files("rocrate").joinpath("data/ro-crate.jsonld").read_bytes()


class FromPackage(requests.adapters.HTTPAdapter):
    def send(self, request, **kwargs):
        body = io.BytesIO(context)
        return self.build_response(request, HTTPResponse(body, {"Content-Type": "application/ld+json"}, 200, preload_content=False))


with requests_cache.CachedSession("cache", backend="sqlite", expire_after=-1) as session:
    session.mount("https://", FromPackage())
    session.get("https://w3id.org/ro/crate/1.1/context", headers={"Accept": "application/ld+json, application/json"})

ref = lambda id: {"@id": id}
profiles = [
    ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate"),
    ("https://w3id.org/ro/wfrun/workflow/0.5", "Workflow Run Crate"),
    ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate"),
]
graph = [
    {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": ref("./"),
     "conformsTo": [ref("https://w3id.org/ro/crate/1.1"), ref(profiles[2][0])]},
    {"@id": "./", "@type": "Dataset", "name": "a run", "description": "a run", "datePublished": "2026-11-28", "license": ref("https://spdx.org/licenses/MIT"),
     "conformsTo": [ref(id) for id, _ in profiles], "hasPart": [ref("flow.sh"), ref("out.txt")], "mainEntity": ref("flow.sh"), "mentions": ref("#run")},
    {"@id": "https://spdx.org/licenses/MIT", "@type": "CreativeWork", "name": "MIT"},
    {"@id": "flow.sh", "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"], "name": "flow", "programmingLanguage": ref("#sh"),
     "encodingFormat": "text/plain", "version": "1", "url": "https://example.org/flow"},
    {"@id": "#sh", "@type": "ComputerLanguage", "name": "sh", "url": "https://example.org/sh"},
    {"@id": "#run", "@type": "CreateAction", "name": "run", "instrument": ref("flow.sh"), "result": ref("out.txt"), "endTime": "2026-11-28T00:00:00+00:00"},
    {"@id": "out.txt", "@type": "File", "name": "out.txt", "encodingFormat": "text/plain"},
] + [{"@id": id, "@type": "CreativeWork", "name": name, "version": id.rsplit("/", 1)[1]} for id, name in profiles]
crate = pathlib.Path("crate")
crate.mkdir()
(crate / "flow.sh").write_text("echo 1 >out.txt\n")
(crate / "out.txt").write_text("1\n")
(crate / "ro-crate-metadata.json").write_text(json.dumps({"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}))

from rocrate_validator import models, services

found = {}
for level in "REQUIRED", "RECOMMENDED":
    settings = services.ValidationSettings.parse({
        "rocrate_uri": "crate", "profile_identifier": "workflow-run-crate-0.5",
        "requirement_severity": getattr(models.Severity, level), "cache_path": "cache", "offline": True})
    found[level] = [(i.check.identifier, str(i.violatingEntity)) for i in services.validate(settings).get_issues()]
about = sorted(entity for check, entity in found["RECOMMENDED"] if check == "process-run-crate-0.5_5.1")
print(f"REQUIRED: {len(found['REQUIRED'])} issues; check 5.1 of RECOMMENDED:", *about)
sys.exit(found["REQUIRED"] != [] or about != ["http://schema.org/SoftwareSourceCode", "https://bioschemas.org/ComputationalWorkflow"])
EOF
