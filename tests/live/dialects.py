"""The tests of the sinks' SQL that need a database, against real ones: `cargo test` ignores them, because it starts none."""

import argparse
import os
import subprocess

from .checks import Checks
from .databases import MariaDB, PostgreSQL
from .server import ROOT


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    checks = Checks()
    with PostgreSQL() as postgres, MariaDB() as mariadb:
        postgres.execute("ALTER ROLE standpipe CREATEROLE", admin=True)
        environment = {**os.environ, "STANDPIPE_TEST_POSTGRES": postgres.url, "STANDPIPE_TEST_MARIADB": mariadb.url}
        ran = subprocess.run(
            ["cargo", "test", "--locked", "--quiet", "--lib", "sink::sql", "--", "--ignored"],
            env=environment, cwd=ROOT, check=False, capture_output=True, text=True,
        )
        if ran.returncode != 0:
            print(ran.stdout[-20000:], ran.stderr[-5000:], flush=True)
        checks.equal(ran.returncode, 0, "exit status of the tests of SQL in PostgreSQL and MariaDB")
        count = sum(int(line.split()[3]) for line in ran.stdout.splitlines() if line.startswith("test result: ok."))
        checks.check(count >= 40, f"{count} of them ran")
    checks.finish()


if __name__ == "__main__":
    main()
