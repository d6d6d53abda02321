"""The configuration under which every operation of the document works with its example: a source `motd`, and a keyspace `views`
with a sink, whose target is a SQLite file."""

import contextlib
import json
import shutil
import sqlite3

from . import server


def configuration():
    """Writes it anew, with a fresh database, and returns the arguments for the server."""
    folder = server.CACHE / "examples"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    database = folder / "views.sqlite"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE page_views (page TEXT PRIMARY KEY, views INTEGER)")
    sql = {"url": f"sqlite://{database}", "table": "page_views", "key_column": "page", "value_column": "views"}
    file = folder / "config.yml"
    views = {"sink": {"sql": sql, "mode": "increment", "every": "1s"}}
    motd = {"static": {"value": "Hello, world!"}}
    # YAML reads JSON.
    file.write_text(json.dumps({"keyspaces": {"views": views}, "sources": {"motd": motd}}), "utf-8")
    return ["-c", str(file)]
