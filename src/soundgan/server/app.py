"""The app: models in, a FastAPI out. Nothing of it lives outside of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from soundgan.cpu import cores
from soundgan.errors import ModelError
from soundgan.model import SoundGAN
from soundgan.model_folder import resolve_model
from soundgan.server import openapi, page, problems
from soundgan.server import routes_health as health
from soundgan.server import routes_infer as classic
from soundgan.server import routes_v1 as sounds
from soundgan.server.batching import BatchQueue
from soundgan.server.middleware import EXPOSED, RequestMiddleware
from soundgan.server.rate_limit import RateLimiter
from soundgan.server.settings import MOST_PROCESSES, ServerSettings
from soundgan.server.state import State
from soundgan.server.workers import Worker, WorkerPool
from soundgan.version import __version__

ENDING = 2.0  # s in which what is being made at the end is to be there, though hardly anybody waits for it any more


def create_app(models: Sequence[str | Path], settings: ServerSettings | None = None) -> FastAPI:
    """A web API that plays some models.

    Args:
        models: model folders or bundled names, at least one; the first one serves `POST /infer`.
        settings: limits and places.

    Raises:
        ModelError: there is no such model, it is damaged, or two have the same name.
    """
    house = State(settings or ServerSettings())
    limits = house.settings
    if limits.most_per_minute is not None:
        house.rate = RateLimiter(limits.most_per_minute)
    folders = [resolve_model(one) for one in models]
    if not folders:
        raise ModelError("no model to serve: name a model folder or a bundled model")
    processes = limits.processes or min(cores(), MOST_PROCESSES)
    # Where others make the sounds, these only tell of the models, and need no threads for it.
    train_state = [SoundGAN.load(folder, threads=1 if processes > 1 else None) for folder in folders]
    names = [player.config.name for player in train_state]
    if len(set(names)) < len(names):
        raise ModelError(f"two models have the same name ({', '.join(names)}); rename one in its config.json")

    cards = [folder / "README.md" for folder in folders]
    house.cards = {
        name: card.read_text(encoding="utf-8") if card.is_file() else ""
        for name, card in zip(names, cards, strict=True)
    }

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as ending:
            makers = [ending.enter_context(closing(Worker(folders))) for _ in range(processes if processes > 1 else 0)]
            shared = WorkerPool([maker.make for maker in makers]) if makers else None
            house.batchers = {player.config.name: _batcher(player, shared, house) for player in train_state}
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(queue.run()) for queue in house.batchers.values()]
                try:
                    yield
                    for queue in house.batchers.values():
                        queue.close()
                    await asyncio.wait(running, timeout=ENDING)
                finally:
                    if not all(task.done() for task in running):
                        for maker in makers:
                            maker.kill()
                    for task in running:
                        task.cancel()

    app = FastAPI(
        title="SoundGAN",
        version=__version__,
        description="New sounds from trained models. The same seed gives the same sound.",
        lifespan=life,
        docs_url=None,  # their pages come from the network
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.soundgan = house
    problems.install(app)
    for router in (classic.router, sounds.router, health.router):
        app.include_router(router)
    page.install(app)
    openapi.install(app, limits)
    if limits.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=limits.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=EXPOSED,
        )
    app.add_middleware(
        RequestMiddleware, settings=limits, metrics=house.metrics
    )  # the last one is the first that a request meets
    return app


def _batcher(player: SoundGAN, makers: WorkerPool | None, house: State) -> BatchQueue:
    name = player.config.name

    def made(count: int) -> None:
        house.worked = asyncio.get_running_loop().time()
        house.metrics.sounds.labels(name).inc(count)
        house.metrics.batch.labels(name).observe(count)

    limits = house.settings
    return BatchQueue(
        player,
        max_queue=limits.max_queue,
        max_batch=limits.max_batch,
        makers=makers,
        made=made,
    )
