"""Programmes that run against the real binary over a real socket.

They need Python 3.9 and its standard library; `contract` and `try_it_out` also what `requirements.txt` names.
Run one by hand with `PYTHONPATH=tests python3 -m live.crashes --help`; `./tests/run` runs the short forms.
The binary is `target/debug/standpipe`, or what STANDPIPE_BIN names.
"""
