"""The rival of `serving.py`: a web API as one would first write it, in the original's way.

    python -m benchmarks.serving.plain --model digits --way original --port 5051

PyTorch paints eagerly, librosa finds the phases, once a request, in an endpoint that is a plain function and so runs in
FastAPI's thread pool. Weights are random: they cost as much as trained ones.
"""

# pyright: reportMissingImports=false
# librosa comes with the bench extra only.

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from typing import Any

import librosa
import numpy as np
import soundfile
import torch
import uvicorn
from fastapi import FastAPI, Response
from numpy.typing import NDArray
from pydantic import BaseModel

from benchmarks.serving.page import WAYS
from soundgan.model_folder import read_config, resolve_model
from soundgan.settings import Settings
from soundgan.spectral.representation import Representation
from soundgan.training.networks.build import build_generator

ITERATIONS = 32
WIDTH = 128  # ngf of the original's DCGAN
Floats = NDArray[np.float32]


class Asked(BaseModel):
    """A request."""

    seed: int = 0


def generator_inputs(
    network: str, settings: Settings, representation: Representation, labels: int
) -> Callable[[int], Floats]:
    """From a seed to levels in dB, (bands, frames), by a Generator with random weights."""
    torch.manual_seed(0)
    chosen = settings.with_values(network=network, ngf=WIDTH, nc=1)
    generator = build_generator(chosen.model, representation, labels).eval()
    span = representation.ceiling_db - representation.floor_db

    @torch.inference_mode()
    def generated(seed: int) -> Floats:
        rng = torch.Generator().manual_seed(seed)
        inputs = [torch.randn(1, settings.model.nz, generator=rng), torch.zeros(1, dtype=torch.int64)]
        if generator.uses_noise:
            inputs.append(torch.randn(1, 1, *representation.shape, generator=rng) * 0.1)
        spectrogram = generator(*inputs)[0, 0].numpy()
        return (spectrogram + 1) * (span / 2) + representation.floor_db

    return generated


def sounded(levels: Floats, representation: Representation, *, nnls: bool) -> Floats:
    """From levels to a wave, by librosa."""
    framing: dict[str, Any] = {"n_fft": representation.n_fft, "hop_length": representation.hop_length}
    if nnls:
        power = librosa.db_to_power(levels)
        invert = librosa.feature.inverse.mel_to_audio  # type: ignore[attr-defined]
        return invert(power, sr=representation.sample_rate, n_iter=ITERATIONS, **framing)
    # As many bins as there are, of as many bands as there are: what a plain endpoint without mel bands would have.
    places = np.linspace(0, levels.shape[0] - 1, representation.n_fft // 2 + 1).round().astype(int)
    return librosa.griffinlim(librosa.db_to_amplitude(levels[places]), n_iter=ITERATIONS, **framing)


def create_app(model: str, way: str) -> FastAPI:
    config = read_config(resolve_model(model))
    settings, representation = Settings.model_validate(config.settings), config.representation
    generated = generator_inputs("residual" if way == "ours" else "dcgan", settings, representation, len(config.labels))
    app = FastAPI()

    @app.get("/readyz")
    def readyz() -> str:
        sounds(Asked())  # numba compiles, and PyTorch plans, outside of all timings
        return "ready"

    @app.post("/sounds")
    def sounds(asked: Asked) -> Response:
        wave = sounded(generated(asked.seed), representation, nnls=way == "original")
        file = io.BytesIO()
        soundfile.write(file, wave / max(1.0, float(np.abs(wave).max())), representation.sample_rate, format="WAV")
        return Response(file.getvalue(), media_type="audio/wav")

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="digits")
    parser.add_argument("--way", choices=WAYS, default="original")
    parser.add_argument("--port", type=int, default=5051)
    options = parser.parse_args()
    uvicorn.run(create_app(options.model, options.way), port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
