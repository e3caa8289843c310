"""Logits of ONNX files: reads {"files": [...], "tokens": [[[...]]]} and prints the logits of each, as ONNX Runtime has them."""

import json
import sys

import numpy as np
import onnx
import onnxruntime

asked = json.load(sys.stdin)
answers = []
for file, tokens in zip(asked["files"], asked["tokens"]):
    onnx.checker.check_model(file, full_check=True)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"input_ids": np.array(tokens, dtype=np.int64)})
    answers.append(logits.ravel().tolist())
json.dump(answers, sys.stdout)
