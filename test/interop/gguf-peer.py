"""What GGUF files hold: reads [{"folder", "tokens", "texts"}] and prints for each fields, tensors, and the logits and tokens that transformers makes of the file."""

import json
import sys

import torch
from gguf import GGUFReader
from transformers import AutoModelForCausalLM, AutoTokenizer


def answer(folder, tokens, texts):
    reader = GGUFReader(f"{folder}/model.gguf")
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
    with torch.no_grad():
        logits = model(torch.tensor(tokens)).logits
    return {
        "fields": {name: field.contents() for name, field in reader.fields.items()},
        "tensors": {tensor.name: [int(size) for size in tensor.shape] for tensor in reader.tensors},
        "logits": logits.flatten().tolist(),
        "ids": [tokenizer.encode(text, add_special_tokens=False) for text in texts],
    }


json.dump([answer(**asked) for asked in json.load(sys.stdin)], sys.stdout)
