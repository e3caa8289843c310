# Question: which logits does the transformers library give for tiny random models, and which defaults do its configurations have?
#
# python tiny-models.py FOLDER writes the models into folders in FOLDER, and prints one JSON object: the logits of each
# model for some tokens, and the default of every field of each configuration class.

import json
import os
import sys

import torch
from transformers import AutoModelForCausalLM, DeepseekV3Config, LlamaConfig, MistralConfig

TOKENS = [[3, 1, 4, 1, 5, 9, 2, 6, 5, 35], [8, 9, 7, 9, 3, 2, 3, 8, 4, 6]]

size = dict(
    vocab_size=48, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
    max_position_embeddings=64, initializer_range=0.2,
)
latent = dict(
    size, kv_lora_rank=16, q_lora_rank=12, qk_rope_head_dim=8, qk_nope_head_dim=10, v_head_dim=12,
    num_key_value_heads=4, n_routed_experts=8, num_experts_per_tok=3, moe_intermediate_size=24,
    first_k_dense_replace=1, n_group=1, topk_group=1,
)
# The configuration, the fields that are then removed from config.json or set there, and how it is stored.
models = {
    "llama": (LlamaConfig(**size), {}, {}),
    "llama, fields left out": (
        LlamaConfig(**size),
        dict.fromkeys(
            "num_key_value_heads head_dim rms_norm_eps rope_parameters tie_word_embeddings attention_bias hidden_act".split()
        ),
        {},
    ),
    "llama, tied, grouped, in shards": (
        LlamaConfig(**size, num_key_value_heads=2, tie_word_embeddings=True, rms_norm_eps=1e-5),
        {},
        {"max_shard_size": "9KB"},
    ),
    "llama, said to be tied, with a head of its own": (LlamaConfig(**size), {"tie_word_embeddings": True}, {}),
    "llama, base among the parameters": (
        LlamaConfig(**size, rope_parameters={"rope_type": "default", "rope_theta": 500.0}),
        {"rope_theta": 99.0},
        {},
    ),
    "mistral": (MistralConfig(**dict(size, num_attention_heads=8)), {}, {}),
    "mistral, fields left out": (
        MistralConfig(**dict(size, num_attention_heads=8)),
        dict.fromkeys("num_key_value_heads sliding_window".split()),
        {},
    ),
    "deepseek_v3": (DeepseekV3Config(**latent), {}, {}),
    "deepseek_v3, fields left out": (
        DeepseekV3Config(**dict(latent, num_hidden_layers=5, first_k_dense_replace=3)),
        dict.fromkeys(
            "first_k_dense_replace n_shared_experts routed_scaling_factor norm_topk_prob rope_interleave num_nextn_predict_layers rms_norm_eps".split()
        ),
        {},
    ),
    "deepseek_v3, all groups, no low-rank queries": (
        DeepseekV3Config(**dict(latent, n_group=2, topk_group=2, q_lora_rank=None, n_shared_experts=2)),
        {},
        {"max_shard_size": "20KB"},
    ),
    "deepseek_v3, halves, dense": (
        DeepseekV3Config(**dict(latent, rope_interleave=False, first_k_dense_replace=2, routed_scaling_factor=1.0)),
        dict.fromkeys("n_group topk_group".split()),
        {},
    ),
}

logits = {}
for index, (name, (config, changes, how)) in enumerate(models.items()):
    torch.manual_seed(index)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").to(torch.float32).eval()
    for parameter in [*model.parameters(), *(b for n, b in model.named_buffers() if n.endswith("correction_bias"))]:
        if parameter.dim() == 1:
            parameter.data += 0.2 * torch.randn_like(parameter)
    folder = os.path.join(sys.argv[1], str(index))
    model.save_pretrained(folder, **how)
    file = os.path.join(folder, "config.json")
    with open(file) as stream:
        stored = json.load(stream)
    for field, value in changes.items():
        stored.pop(field, None)
        if value is not None:
            stored[field] = value
    with open(file, "w") as stream:
        json.dump(stored, stream)
    # What counts is how the library reads the changed file.
    again = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    with torch.no_grad():
        logits[name] = again(torch.tensor(TOKENS)).logits.flatten().tolist()

defaults = {
    each.model_type: {**each().to_dict(), **{k: v for k, v in vars(each).items() if not k.startswith("_") and isinstance(v, (int, float, str, bool, type(None)))}}
    for each in (LlamaConfig, MistralConfig, DeepseekV3Config)
}
print(json.dumps({"tokens": TOKENS, "logits": logits, "defaults": defaults}))
