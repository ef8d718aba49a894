"""An ONNX file in, its graph and its weights out. `file.from_onnx` is the entry."""
