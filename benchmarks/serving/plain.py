"""The baseline of the server: a plain web API with the original's pipeline.

    python -m benchmarks.serving.plain --model digits --pipeline original --port 5051

The endpoint is a plain function, which FastAPI runs in its thread pool; each request is a forward pass in PyTorch and
phase retrieval by librosa. Weights are random, with the cost of trained ones.
"""

# pyright: reportMissingImports=false
# librosa comes with the bench extra only.

from __future__ import annotations

import io
from typing import Annotated, Any

import librosa
import numpy as np
import soundfile
import torch
import uvicorn
from fastapi import Body, FastAPI, Response
from numpy.typing import NDArray

from benchmarks.common import command_line
from benchmarks.serving.page import PIPELINES
from soundgan.model_folder import read_config, resolve_model
from soundgan.settings import Settings
from soundgan.spectral.representation import Representation
from soundgan.training.networks.build import build_generator

ITERATIONS = 32
WIDTH = 128  # ngf of the original's DCGAN
Floats = NDArray[np.float32]


def synthesize(levels: Floats, representation: Representation, *, nnls: bool) -> Floats:
    """Wave of levels in dB, by librosa."""
    framing: dict[str, Any] = {"n_fft": representation.n_fft, "hop_length": representation.hop_length}
    if nnls:
        power = librosa.db_to_power(levels)
        invert = librosa.feature.inverse.mel_to_audio  # type: ignore[attr-defined]
        return invert(power, sr=representation.sample_rate, n_iter=ITERATIONS, **framing)
    # Stretch the bands to the bins of the STFT, the input of a plain endpoint without mel bands.
    rows = np.linspace(0, levels.shape[0] - 1, representation.n_fft // 2 + 1).round().astype(int)
    return librosa.griffinlim(librosa.db_to_amplitude(levels[rows]), n_iter=ITERATIONS, **framing)


def create_app(model: str, pipeline: str) -> FastAPI:
    config = read_config(resolve_model(model))
    representation = config.representation
    network = "residual" if pipeline == "ours" else "dcgan"
    settings = Settings.model_validate(config.settings).with_values(network=network, ngf=WIDTH, nc=1).model
    torch.manual_seed(0)
    generator = build_generator(settings, representation, len(config.labels)).eval()
    app = FastAPI()

    @torch.inference_mode()
    def levels(seed: int) -> Floats:
        """Levels in dB, (bands, frames)."""
        rng = torch.Generator().manual_seed(seed)
        inputs = [torch.randn(1, settings.nz, generator=rng), torch.zeros(1, dtype=torch.int64)]
        if generator.uses_noise:
            inputs.append(torch.randn(1, 1, *representation.shape, generator=rng) * 0.1)
        spectrogram = generator(*inputs)[0, 0].numpy()
        return (spectrogram + 1) / 2 * (representation.ceiling_db - representation.floor_db) + representation.floor_db

    @app.get("/readyz")
    def readyz() -> str:
        sounds()  # compile and plan outside of all timings
        return "ready"

    @app.post("/sounds")
    def sounds(seed: Annotated[int, Body(embed=True)] = 0) -> Response:
        wave = synthesize(levels(seed), representation, nnls=pipeline == "original")
        file = io.BytesIO()
        soundfile.write(file, wave / max(1.0, float(np.abs(wave).max())), representation.sample_rate, format="WAV")
        return Response(file.getvalue(), media_type="audio/wav")

    return app


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--model", default="digits")
    parser.add_argument("--pipeline", choices=PIPELINES, default="original")
    parser.add_argument("--port", type=int, default=5051)
    options = parser.parse_args()
    uvicorn.run(create_app(options.model, options.pipeline), port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
