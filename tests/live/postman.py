"""/postman.json under newman: the whole collection in its order on a fresh server, every request answered as documented."""

import argparse
import json
import shutil
import subprocess

from . import examples, server
from .checks import Checks, say
from .server import Server

NEWMAN = server.CACHE / "newman" / "node_modules" / ".bin" / "newman"


def requests_of(items):
    """Every request of a collection, folders within folders too."""
    for item in items:
        if "item" in item:
            yield from requests_of(item["item"])
        else:
            yield item


def run(checks, target, folder):
    """One run of newman, and what it reports of each request."""
    collection, report = folder / "postman.json", folder / "report.json"
    collection.write_bytes(target.client().request("GET", "/postman.json").body)
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [NEWMAN, "run", collection, "--env-var", f"baseUrl=http://127.0.0.1:{target.port}", "--timeout-request", "30000",
         "--disable-unicode", "--color", "off", "--reporters", "cli,json", "--reporter-json-export", report],
        cwd=folder, stdin=subprocess.DEVNULL, check=False,
    )
    checks.equal(done.returncode, 0, "newman's exit status")
    wanted = [item["name"] for item in requests_of(json.loads(collection.read_text("utf-8"))["item"])]
    executed = json.loads(report.read_text("utf-8"))["run"]["executions"]
    sent = [each["item"]["name"] for each in executed]
    checks.check(sent == wanted and sent, f"newman sent every request of the collection, {len(wanted)}")
    for each in executed:
        status = each.get("response", {}).get("code", "no answer")
        asserted = each.get("assertions", [])
        broken = [one["error"]["message"] for one in asserted if "error" in one]
        name = f"{each['request']['method']} {each['item']['name']}: {status}"
        checks.check(asserted and not broken, name + "".join(f"; {message}" for message in broken))


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    checks, data, folder = Checks(), server.fresh("postman"), server.CACHE / "newman"
    with Server(data, arguments=examples.configuration()) as target:
        say("newman, the collection in its order")
        run(checks, target, folder)
        checks.ends_well(target)
    shutil.rmtree(data, ignore_errors=True)
    checks.finish()


if __name__ == "__main__":
    main()
