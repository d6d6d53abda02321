"""The contract: schemathesis reads /openapi.json from the running server and holds every answer to it."""

import argparse
import os
import pathlib
import random
import shutil
import subprocess
import sys
import xml.etree.ElementTree

from . import examples, server
from .checks import Checks, say
from .server import Server

# The largest generated bodies are small; 40 examples per operation and phase take about a minute in a debug build.
EXAMPLES = 40


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    options = parser.parse_args()
    checks, data, report = Checks(), server.fresh("contract"), server.CACHE / "contract.xml"
    report.unlink(missing_ok=True)
    tool = pathlib.Path(sys.executable).with_name("schemathesis")
    # A watch would go on for ever, and generated names would soon be one keyspace too many; the rest is as by default.
    settings = {"limits.watch_duration": "1s", "limits.keyspaces": "100000"}
    with Server(data, settings=settings, arguments=examples.configuration()) as target:
        address = f"http://127.0.0.1:{target.port}"
        operations = target.client().request("GET", "/openapi.json")
        checks.equal(operations.status, 200, "GET /openapi.json")
        say(f"schemathesis, seed {options.seed}, {options.examples} examples")
        done = subprocess.run(
            [tool, "--config-file", pathlib.Path(__file__).with_name("schemathesis.toml"), "run", f"{address}/openapi.json", "--checks", "all", "--max-examples", str(options.examples),
             "--seed", str(options.seed), "--continue-on-failure", "--request-timeout", "30", "--output-sanitize", "false",
             "--report", "junit", "--report-junit-path", report],
            cwd=server.CACHE, env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120"}, stdin=subprocess.DEVNULL, check=False,
        )
        checks.equal(done.returncode, 0, "schemathesis' exit status")
        if report.exists():
            for case in xml.etree.ElementTree.parse(report).iter("testcase"):
                broken = [child.tag for child in case if child.tag in ("failure", "error")]
                skipped = case.find("skipped") is not None
                if not skipped or broken:
                    checks.check(not broken, f"contract of {case.get('name')}")
        checks.equal(target.client().put("after", b"fine").status, 201, "a PUT after the run")
        checks.ends_well(target)
    shutil.rmtree(data, ignore_errors=True)
    checks.finish()


if __name__ == "__main__":
    main()
