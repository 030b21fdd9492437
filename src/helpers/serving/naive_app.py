"""A beginner's service, for comparison only: one endpoint that calls the model for each request, and one with `model.predict`.

python -m helpers.serving.naive_app model.keras 8001
"""

import io
import sys
from pathlib import Path


def main(model_file: str, port: str) -> None:
    """Serve a `.keras` file."""
    import numpy as np
    import uvicorn
    from fastapi import FastAPI, Request
    from PIL import Image

    from helpers.model import loading
    from helpers.series import processes

    processes.end_with()
    model = loading.load(Path(model_file))
    app = FastAPI()

    @app.get("/health/ready")
    def ready() -> None: ...

    async def images(request: Request) -> np.ndarray:
        pixels = np.asarray(Image.open(io.BytesIO(await request.body())), np.float32)
        return pixels.reshape(1, *model.input.shape[1:])

    @app.post("/call")
    async def call(request: Request) -> list[float]:
        return model(await images(request), training=False).numpy()[0].tolist()

    @app.post("/predict")
    async def predict(request: Request) -> list[float]:
        return model.predict(await images(request), verbose=0)[0].tolist()

    uvicorn.run(app, port=int(port), log_level="error")


if __name__ == "__main__":
    main(*sys.argv[1:])
