"""Hard use of a real server: thousands of requests, some spoilt, some of whose clients leave; and its end under load.

    python -m benchmarks.serving.hard_use

Prints what happened, writes it to `hard_use.json` and `hard_use.md`, and fails if anything is not as promised: whole
answers, each sound the same as when it is made alone in another process, no error but 503, memory that does not grow,
and at the end, after SIGTERM, an answer to all that was taken.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import io
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import ROOT
from benchmarks.serving import hard_use_page
from benchmarks.serving.clients import Answer, Connection, Server, request, serving
from soundgan import SoundGAN
from soundgan.audio import FORMATS, Format
from soundgan.files import write_text
from soundgan.spectral.phase_retrieval import QUALITIES, Quality

SERVE = ("-c", "from soundgan.cli.app import main; main()", "serve")
SURELY = 0.25  # s after which a request that was sent has been read
LINGERING = 10.0  # s that a process of the server may outlive it
SAMPLING = 0.2  # s between two looks at the memory
GROWTH = 0.05  # of the memory after the warm-up, that may be added in the end: free lists and the like
WARM, LAST = 0.25, 0.9  # of the requests: memory is compared between that one and after this one


class Wish(NamedTuple):
    """What a request asks for, and what it is sent for: all sounds of a menu are known beforehand."""

    model: str
    n: int
    seed: int
    label: str | None
    truncation: float
    quality: Quality
    format: Format
    answer: str | None

    def body(self) -> dict[str, Any]:
        asked = {key: value for key, value in self._asdict().items() if key != "model" and value is not None}
        return {key: value for key, value in asked.items() if (key, value) != ("quality", "balanced")}

    def recipes(self) -> list[str]:
        """What each of its sounds depends on, as one text."""
        parts = self.model, self.label, self.truncation, self.quality, self.format
        return [json.dumps([*parts, self.seed + i]) for i in range(self.n)]


def menu(models: Mapping[str, Sequence[str]], rng: random.Random, size: int) -> list[Wish]:
    """Wishes of all kinds. `models` has the labels of each; the first one is asked for most."""
    wishes = []
    for _ in range(size):
        model = rng.choices(list(models), [12] + [1] * (len(models) - 1))[0]
        n = rng.choice((1, 1, 1, 1, 1, 2, 3, 5))
        wishes.append(
            Wish(
                model=model,
                n=n,
                seed=rng.randrange(2**32 - 8),
                label=rng.choice((None, *models[model])),
                truncation=rng.choice((1.0, 1.0, 0.5, 0.0, 1.7)),
                quality=rng.choices(list(QUALITIES), (1, 8, 1))[0],
                format=rng.choice(list(FORMATS.values())),
                answer=rng.choice((None, "json", "zip")) if n > 1 else rng.choice((None, None, "file", "json")),
            )
        )
    return wishes


def reference(paths: dict[str, str], wishes: Sequence[Wish]) -> dict[str, str]:
    """The digest of every sound of a menu, each made alone: in a process that does nothing else."""
    told = json.dumps([paths, wishes])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving.hard_use", "--reference"],
        cwd=ROOT,
        input=told,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def make_reference() -> None:
    """What the process of `reference` does."""
    paths, wishes = json.load(sys.stdin)
    train_state = {name: SoundGAN.load(path) for name, path in paths.items()}
    digests = {}
    for wish in (Wish(*wish) for wish in wishes):
        for i, key in enumerate(wish.recipes()):
            (sound,) = train_state[wish.model].generate(
                1, seed=wish.seed + i, label=wish.label, truncation=wish.truncation, quality=wish.quality
            )
            digests[key] = digest(sound.encode(wish.format))
    json.dump(digests, sys.stdout)


def digest(file: bytes) -> str:
    return hashlib.sha256(file).hexdigest()


def files(answer: Answer) -> list[bytes]:
    """The sound files of an answer."""
    kind = answer.headers["content-type"]
    if kind == "application/json":
        return [base64.b64decode(sound["audio"]) for sound in json.loads(answer.body)["sounds"]]
    if kind == "application/zip":
        with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
            return [archive.read(name) for name in archive.namelist()]
    return [answer.body]


def spoilt(model: str) -> list[tuple[str, bytes, set[int]]]:
    """Requests that are refused: what is wrong with them, and the statuses that say so."""
    path, good = f"/v1/models/{model}/sounds", request(f"/v1/models/{model}/sounds", {"seed": 1})
    return [
        ("not JSON", request(path, b'{"seed": '), {400}),
        ("not UTF-8", request(path, b"\xff\xfe\x00"), {400}),
        ("a list", request(path, [1, 2]), {422}),
        ("wrong types", request(path, {"n": "two", "truncation": []}), {422}),
        ("too many", request(path, {"n": 10**9}), {422}),
        ("another field", request(path, {"seeds": 1}), {422}),
        ("unknown label", request(path, {"label": "no such label"}), {422}),
        ("unknown model", request("/v1/models/none/sounds", {}), {404}),
        ("no such page", request("/v2", {}), {404}),
        ("another method", request(path, b"", method="DELETE"), {405}),
        ("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
        ("a bad length", good.replace(b"content-length: 11", b"content-length: eleven"), {400}),
        ("100 MB", request(path, b"").replace(b"content-length: 0", b"content-length: 100000000"), {413}),
        ("128 KB", request(path, b" " * 2**17), {413}),
    ]


@dataclass
class Storm:
    """What came of many requests."""

    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory: list[tuple[int, float]] = field(default_factory=list)
    """Requests done, MiB."""
    seconds: float = 0.0
    sounds: int = 0

    def growth(self) -> tuple[float, float]:
        """Memory after the warm-up and at the end, in MiB, medians of a stretch each."""
        total = self.memory[-1][0]
        warm = [amount for at, amount in self.memory if WARM * total <= at <= (2 * WARM) * total]
        last = [amount for at, amount in self.memory if at >= LAST * total]
        return statistics.median(warm or [0.0]), statistics.median(last)


async def storm(
    server: Server, wishes: Sequence[Wish], digests: dict[str, str], *, count: int, clients: int, share: float = 0.01
) -> Storm:
    """`count` requests, of which one `share` leaves early and another one is spoilt."""
    found, todo, rng = Storm(), iter(range(count)), random.Random(1)
    bad = spoilt(wishes[0].model)
    started = time.perf_counter()

    async def client() -> None:
        with closing(Connection(server.port)) as connection:
            for _ in todo:
                kind = rng.random()
                try:
                    if kind < share:
                        await leave(connection, rng.choice(wishes), found, rng)
                    elif kind < 2 * share:
                        await refused(connection, *rng.choice(bad), found)
                    else:
                        await answered(connection, rng.choice(wishes), digests, found)
                except (OSError, EOFError) as error:
                    found.wrong.append(f"a connection broke: {error!r}")
                    connection.close()

    async def watch() -> None:
        while True:
            found.memory.append((sum(found.done.values()), server.memory()))
            await asyncio.sleep(SAMPLING)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(client() for _ in range(clients)))
    watching.cancel()
    found.memory.append((sum(found.done.values()), server.memory()))
    found.seconds = time.perf_counter() - started
    return found


async def answered(connection: Connection, wish: Wish, digests: dict[str, str], found: Storm) -> None:
    """Ask until there is room, and look at the answer."""
    while True:
        answer = await connection.ask(request(f"/v1/models/{wish.model}/sounds", wish.body()))
        if answer.status != 503:
            break
        found.done["busy, asked again"] += 1
        if "retry-after" not in answer.headers:
            found.wrong.append("503 without Retry-After")
        await asyncio.sleep(0.2)
    if answer.status != 200:
        found.wrong.append(f"{answer.status} for {wish}: {answer.body[:300]!r}")
        return
    keys = wish.recipes()
    got = [digest(file) for file in files(answer)]
    if got != [digests[key] for key in keys]:
        found.wrong.append(f"another sound than alone: {wish}")
    found.done[f"{wish.format} as {answer.headers['content-type'].partition('/')[2]}"] += 1
    found.sounds += wish.n


async def refused(connection: Connection, what: str, content: bytes, statuses: set[int], found: Storm) -> None:
    answer = await connection.ask(content)
    if answer.status not in statuses:
        found.wrong.append(f"{what}: {answer.status} {answer.body[:300]!r}")
    found.done[f"refused: {what}"] += 1


async def leave(connection: Connection, wish: Wish, found: Storm, rng: random.Random) -> None:
    """Go away: within the request, after it, while it is made, or within the answer."""
    content = request(f"/v1/models/{wish.model}/sounds", wish.body())
    when = rng.choice(("within the request", "after it", "while it waits", "within the answer"))
    await connection.send(content[: len(content) // 2] if when == "within the request" else content)
    if when == "while it waits":
        await asyncio.sleep(0.05)
    if when == "within the answer":
        await connection.read_some(100)
    connection.close()
    found.done[f"left {when}"] += 1


@dataclass
class End:
    """What came of the requests of a server that was told to stop under load."""

    answered: int = 0
    refused: int = 0
    unread: int = 0
    """Not answered with a single byte: sent shortly before the signal, or after it."""
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    """From the signal to the end of the process."""
    code: int | None = None


async def stop(server: Server, wishes: Sequence[Wish], digests: dict[str, str], *, clients: int, after: float) -> End:
    """Ask with many clients, send SIGTERM meanwhile, and count what becomes of every request."""
    end, rng = End(), random.Random(2)
    signalled: float | None = None

    async def client() -> None:
        with closing(Connection(server.port)) as connection:
            while await asked(connection):
                pass

    async def asked(connection: Connection) -> bool:
        """Whether the server may be asked again."""
        wish = rng.choice(wishes)
        try:
            await connection.send(request(f"/v1/models/{wish.model}/sounds", wish.body()))
        except OSError:
            end.refused += 1
            return False
        sent = time.perf_counter()
        try:
            answer = await connection.answer()
        except (OSError, EOFError) as error:
            surely_taken = signalled is None or sent < signalled - SURELY
            if getattr(error, "partial", b"") or surely_taken:
                end.wrong.append(f"half an answer, or none to a request that was taken: {error!r}")
            end.unread += 1
            return False
        if answer.status == 200:
            if [digest(file) for file in files(answer)] != [digests[one] for one in wish.recipes()]:
                end.wrong.append(f"another sound than alone: {wish}")
        elif answer.status != 503:
            end.wrong.append(f"{answer.status}: {answer.body[:300]!r}")
        end.answered += signalled is not None
        return True

    async def kill() -> None:
        nonlocal signalled
        await asyncio.sleep(after)
        signalled = time.perf_counter()
        server.process.send_signal(signal.SIGTERM)
        end.code = await asyncio.to_thread(server.process.wait, 60)
        end.seconds = time.perf_counter() - signalled

    children = server.processes()[1:]
    await asyncio.gather(kill(), *(client() for _ in range(clients)))
    until = time.monotonic() + LINGERING
    while (left := [one for one in children if Path(f"/proc/{one}").exists()]) and time.monotonic() < until:
        await asyncio.sleep(0.1)
    end.wrong += [f"process {one} is still there" for one in left]
    return end


def check(found: Storm, end: End) -> list[str]:
    """Everything that was not as promised."""
    warm, last = found.growth()
    grown = [f"memory grew from {warm:.0f} to {last:.0f} MiB"] if last > warm * (1 + GROWTH) else []
    code = [] if end.code in (0, -signal.SIGTERM) else [f"exit status {end.code}"]
    return found.wrong + grown + end.wrong + code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, default=Path("docs/benchmarks"), help="folder of the page (%(default)s)")
    add("--requests", type=int, default=10_000)
    add("--clients", type=int, default=64)
    add("--menu", type=int, default=400, help="different requests (%(default)s)")
    add("--reference", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reference:
        make_reference()
        return
    models = {name: SoundGAN.load(name).labels for name in ("digits", "drums")}
    wishes = menu(models, random.Random(0), options.menu)
    digests = reference({name: name for name in models}, wishes)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving([*SERVE, *models], "/readyz", folder=Path(folder)) as server,
    ):
        found = asyncio.run(storm(server, wishes, digests, count=options.requests, clients=options.clients))
        end = asyncio.run(stop(server, wishes, digests, clients=options.clients, after=3.0))
    wrong = check(found, end)
    warm, last = found.growth()
    figures = {
        "requests": options.requests, "clients": options.clients, "seconds": found.seconds, "sounds": found.sounds,
        "done": dict(sorted(found.done.items())), "warm": warm, "last": last,
        "memory": found.memory[:: max(1, len(found.memory) // 40)], "load": os.getloadavg()[0],
        "cores": len(os.sched_getaffinity(0)), "wrong": wrong,
        "end": {key: value for key, value in vars(end).items() if key != "wrong"},
    }  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    write_text(options.out / "hard_use.json", json.dumps(figures, indent=1) + "\n")
    hard_use_page.render(figures, options.out)
    print((options.out / "hard_use.md").read_text(encoding="utf-8"))
    sys.exit("\n".join(wrong[:20]) or None)


if __name__ == "__main__":
    main()
