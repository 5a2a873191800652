"""ONNX, there and back: `exporting` writes a predictor as an ONNX model, `importing` reads one."""
