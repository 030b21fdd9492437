"""A plain service for comparison: FastAPI and ONNX Runtime, one endpoint, no checks.

python benchmarks/peers/plain_service.py model.onnx 8001
"""

import io
import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request
from PIL import Image

app = FastAPI()
session = onnxruntime.InferenceSession(sys.argv[1])
side, _, channels = session.get_inputs()[0].shape[1:]


@app.get("/health/ready")
def ready() -> None: ...


@app.post("/v1/predict")
async def predict(request: Request) -> dict[str, list[float]]:
    image = Image.open(io.BytesIO(await request.body())).convert("L" if channels == 1 else "RGB")
    pixels = np.asarray(image.resize((side, side)), np.float32).reshape(1, side, side, channels)
    return {"probabilities": session.run(["probabilities"], {"image": pixels})[0][0].tolist()}


uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)
