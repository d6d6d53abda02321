"""kill -9 under load, again and again on one directory, with an audit of what was acknowledged.

Each worker owns its keys and does one operation after the other, so that its operations are a sequence in revision order.
What a recovery shows of a worker's keys has to be the state after some prefix of that sequence, and the prefix has to
reach at least the newest operation that was promised: answered with the synced promise, or seen by a reader.
A flush is part of every worker's sequence, and must have happened for all of them or for none.
A round ends with a kill during plain load, a snapshot, a start, or a stop; the next round goes on in the same directory,
so that a recovery is always written behind, crashed and recovered again.
"""

import argparse
import hashlib
import random
import shutil
import signal
import threading
import time

from . import server
from .checks import Checks, say
from .server import Server

WORKERS = 16
READERS = 2
KEYS = 40
MEDIA_TYPES = ["text/plain; charset=utf-8", "application/octet-stream", "image/png", "application/json"]
KINDS = ["load", "snapshot", "start", "stop"]
# Small files, so that a second of load rotates segments and compacts.
SETTINGS = {"log.segment_bytes": "4MiB", "compaction.min_bytes": "4MiB"}


class Gate:
    """Many workers at once, or one flush alone."""

    def __init__(self):
        self.condition = threading.Condition()
        self.inside = 0
        self.alone = False

    def enter(self):
        with self.condition:
            self.condition.wait_for(lambda: not self.alone)
            self.inside += 1

    def leave(self):
        with self.condition:
            self.inside -= 1
            self.condition.notify_all()

    def enter_alone(self):
        with self.condition:
            self.condition.wait_for(lambda: not self.alone)
            self.alone = True
            self.condition.wait_for(lambda: self.inside == 0)

    def leave_alone(self):
        with self.condition:
            self.alone = False
            self.condition.notify_all()


class Worker:
    """One sequence of operations over keys of its own, and what was promised of it."""

    def __init__(self, number, seed):
        self.number = number
        self.random = random.Random(f"{seed}/{number}")
        self.base = {}  # key -> (digest, media type): the state at the last audit
        self.operations = []  # (key or None for a flush, (digest, media type) or None) since then
        self.promised = 0  # how many of the operations must have survived
        self.count = 0
        self.lock = threading.Lock()

    def state_after(self, count):
        state = dict(self.base)
        for key, value in self.operations[:count]:
            if key is None:
                state.clear()
            elif value is None:
                state.pop(key, None)
            else:
                state[key] = value
        return state

    def promise(self, count):
        with self.lock:
            self.promised = max(self.promised, count)

    def value(self, length):
        """Bytes that say whose operation they are, so that a reader knows what it has been shown."""
        head = f"{self.number} {self.count} {len(self.operations)}\n".encode()
        return head + self.random.randbytes(length)

    def length(self):
        kind = self.random.random()
        if kind < 0.80:
            return self.random.randrange(0, 2048)
        if kind < 0.97:
            return self.random.randrange(2048, 128 * 1024)
        return self.random.randrange(128 * 1024, 3 * 1024 * 1024)

    def step(self, client):
        """One operation: noted before it is sent, promised once it is answered."""
        key = f"crash/{self.number}/{self.random.randrange(KEYS)}"
        self.count += 1
        if self.random.random() < 0.15:
            self.operations.append((key, None))
            answer = client.delete(key)
            expect(answer, (204,))
            self.promise(len(self.operations))
            return
        value, kind = self.value(self.length()), self.random.choice(MEDIA_TYPES)
        weak = self.random.random() < 0.1
        self.operations.append((key, (digest(value), kind)))
        answer = client.put(key, value, kind, "?durability=written" if weak else "")
        expect(answer, (202,) if weak else (201, 204))
        if not weak:
            self.promise(len(self.operations))

    def audit(self, state):
        """The number of operations that `state` shows, the promised ones among them; None if there is none such."""
        for count in range(len(self.operations), self.promised - 1, -1):
            if self.state_after(count) == state:
                return count
        return None

    def settle(self, state):
        self.base, self.operations, self.promised = state, [], 0


def digest(value):
    return hashlib.sha256(value).hexdigest()


def expect(answer, statuses):
    if answer.status not in statuses:
        raise RuntimeError(f"answered {answer.status}, not one of {statuses}: {answer.body[:300]!r}")


class Round:
    """The threads of one round. `errors` holds what must not happen; refusals may once `stopping` is set."""

    def __init__(self, target, workers, seed):
        self.target, self.workers = target, workers
        self.random = random.Random(f"{seed}/round")
        self.gate = Gate()
        self.ended = threading.Event()
        self.stopping = False
        self.errors = []
        self.acknowledged = 0
        self.threads = [threading.Thread(target=self.guard, args=(self.work, worker)) for worker in workers]
        self.threads += [threading.Thread(target=self.guard, args=(self.read, number)) for number in range(READERS)]
        self.threads.append(threading.Thread(target=self.guard, args=(self.flush_once, None)))

    def guard(self, work, argument):
        try:
            work(argument)
        except ConnectionError as error:
            # Only the end that the round itself makes may cut a connection.
            if not self.ended.wait(5):
                self.errors.append(f"cut off before the kill: {error}")
        except Exception as error:
            if not self.stopping:
                self.errors.append(repr(error))

    def work(self, worker):
        client = self.target.client()
        while not self.ended.is_set():
            self.gate.enter()
            try:
                worker.step(client)
                self.acknowledged += 1
            finally:
                self.gate.leave()

    def read(self, number):
        """What a GET shows must survive: a reader raises what is promised."""
        client, choice = self.target.client(), random.Random(f"{number}")
        while not self.ended.is_set():
            worker = choice.choice(self.workers)
            begun = len(worker.operations)
            answer = client.get(f"crash/{worker.number}/{choice.randrange(KEYS)}")
            expect(answer, (200, 404))
            if answer.status == 200:
                owner, _, position = answer.body.split(b"\n", 1)[0].split()
                shown = (digest(answer.body), answer.header("Content-Type"))
                position = int(position)
                # Values of earlier rounds carry a position of their own round: only this round's are compared.
                if position < len(worker.operations) and worker.operations[position][1] == shown:
                    worker.promise(position + 1)
                elif int(owner) != worker.number:
                    raise RuntimeError(f"a key of worker {worker.number} held a value of {owner} (after {begun})")

    def flush_once(self, _):
        if self.random.random() > 0.4:
            return
        if self.ended.wait(self.random.uniform(0.05, 0.5)):
            return
        client = self.target.client()
        self.gate.enter_alone()
        try:
            for worker in self.workers:
                worker.operations.append((None, None))
            answer = client.request("DELETE", "/flush")
            expect(answer, (200,))
            for worker in self.workers:
                worker.promise(len(worker.operations))
        finally:
            self.gate.leave_alone()

    def begin(self):
        for thread in self.threads:
            thread.start()

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(60)
            if thread.is_alive():
                self.errors.append("a thread did not end within 60 s")


def end_by(kind, target, rounds, chance):
    """Ends the round's server as its kind says. The delays are the fault being tried, not a wait for something."""
    if kind == "snapshot":
        def snapshot():
            try:
                target.client().request("POST", "/admin/snapshot")
            except OSError:
                pass  # the kill is meant to cut this
        asked = threading.Thread(target=snapshot)
        asked.start()
        time.sleep(chance.uniform(0, 0.15))
        target.kill()
        asked.join()
    elif kind == "stop":
        rounds.stopping = True
        rounds.ended.set()
        target.process.send_signal(signal.SIGTERM)
        time.sleep(chance.uniform(0, 0.1))
        target.kill()
    else:
        target.kill()


def crash_starts(data, settings, chance):
    """Kills a start at a random moment, a few times: recovery is crashed and runs again."""
    for _ in range(chance.randrange(1, 4)):
        starting = Server(data, settings, wait=False)
        time.sleep(chance.uniform(0, 0.25))
        starting.kill()


def read_all(target, worker):
    client, state = target.client(), {}
    for number in range(KEYS):
        key = f"crash/{worker.number}/{number}"
        answer = client.get(key)
        expect(answer, (200, 404))
        if answer.status == 200:
            state[key] = (digest(answer.body), answer.header("Content-Type"))
    client.close()
    return state


def audit(checks, target, workers, what):
    """Compares what is there with what was promised, and takes it as the base of the next round."""
    lost, flushed, operations, unacknowledged = [], set(), 0, 0
    for worker in workers:
        state = read_all(target, worker)
        count = worker.audit(state)
        operations += len(worker.operations)
        if count is None:
            lost.append(worker.number)
            if len(lost) <= 3:
                explain(worker, state)
        else:
            unacknowledged += count - worker.promised
            last_is_flush = bool(worker.operations) and worker.operations[-1][0] is None
            before = worker.state_after(len(worker.operations) - 1) if last_is_flush else {}
            if last_is_flush and before:
                flushed.add(count == len(worker.operations))
        worker.settle(state)
    verdict = f"lost or wrong for workers {lost}" if lost else f"every promised one is there, and {unacknowledged} more"
    checks.check(not lost, f"{what}: {operations} operations, {verdict}")
    if flushed:
        checks.check(len(flushed) == 1, f"{what}: an unanswered flush took all keys or none")


def explain(worker, state):
    """The first few differences, each with the operations on that key, newest last."""
    wanted = worker.state_after(worker.promised)
    differing = [key for key in sorted(set(wanted) | set(state)) if wanted.get(key) != state.get(key)]
    say(f"worker {worker.number}: {worker.promised} of {len(worker.operations)} promised, {len(differing)} keys differ from that")
    for key in differing[:2]:
        history = [(number, short(value)) for number, (of, value) in enumerate(worker.operations) if of in (key, None)]
        say(f"  {key} is {short(state.get(key))}, not {short(wanted.get(key))}; before {short(worker.base.get(key))}, then {history[-6:]}")


def short(value):
    return value and (value[0][:8], value[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None, help="of the load; the moments of the kills remain real time")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    say(f"seed {seed}")
    checks, data = Checks(), server.fresh("crashes")
    workers = [Worker(number, seed) for number in range(WORKERS)]
    chance = random.Random(f"{seed}/chance")
    kills = acknowledged = 0
    while kills < options.kills:
        kind = KINDS[kills % len(KINDS)]
        with Server(data, SETTINGS) as target:
            audit(checks, target, workers, f"kill {kills}" if kills else "the first start")
            rounds = Round(target, workers, f"{seed}/{kills}")
            rounds.begin()
            time.sleep(chance.uniform(0.1, 1.2))
            end_by(kind, target, rounds, chance)
            rounds.end()
            acknowledged += rounds.acknowledged
        kills += 1
        checks.check(not rounds.errors, f"kill {kills} ({kind}) after {rounds.acknowledged} answers" + "".join(f"; {error}" for error in rounds.errors[:3]))
        if kind == "start":
            crash_starts(data, SETTINGS, chance)
    with Server(data, SETTINGS) as target:
        audit(checks, target, workers, f"kill {kills}")
        checks.ends_well(target)
    checked = server.run("check", "--data", data)
    checks.equal(checked.returncode, 0, "exit status of `check` on the directory")
    say(f"{kills} kills, {acknowledged} acknowledged operations")
    shutil.rmtree(data, ignore_errors=True)
    checks.finish()


if __name__ == "__main__":
    main()
