"""How a service is often begun: an endpoint that calls `model.predict` for each request. For comparison only.

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
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/v1/predict")
    async def predict(request: Request) -> dict[str, list[float]]:
        pixels = np.asarray(Image.open(io.BytesIO(await request.body())))
        images = pixels.reshape(1, *model.input.shape[1:]).astype(np.float32)
        return {"probabilities": model.predict(images, verbose=0)[0].tolist()}

    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error")


if __name__ == "__main__":
    main(*sys.argv[1:])
