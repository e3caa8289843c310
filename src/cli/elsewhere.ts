// Question: what are our options called in other tools, and what of theirs is not here?
//
// nanoGPT, nanochat, Hugging Face's Trainer, Lightning, torchtitan and PyTorch's own names.

import { connectionKinds } from "../connections/table.ts";

/** Names that other tools have → the option here; of several the first that the command has. */
const named: Readonly<Record<string, readonly string[]>> = {
  "--learning-rate": ["--rate", "--lr", "--max-lr", "--peak-lr", "--step-size"],
  "--schedule": ["--lr-decay", "--decay-lr", "--lr-scheduler-type", "--annealing"],
  "--schedule cosine": ["--cosine"],
  "--preset": ["--model", "--size", "--arch", "--architecture", "--model-size"],
  "--data": ["--dataset", "--text", "--input", "--file", "--files", "--corpus", "--train-file"],
  "--vocabulary": ["--vocab-size", "--tokenizer", "--tokens-in-vocabulary"],
  "--context": ["--seq-len", "--seq-length", "--sequence-length", "--block-size", "--ctx", "--max-length", "--window"],
  "--tokens": ["--length", "--max-tokens", "--max-new-tokens", "--num-tokens"],
  "--batch": ["--bs", "--minibatch", "--per-device-train-batch-size"],
  "--accumulate": ["--grad-accum", "--gradient-accumulation", "--gradient-accumulation-steps", "--grad-acc"],
  "--steps": ["--epochs", "--iters", "--iterations", "--max-iters", "--num-iterations", "--num-train-epochs"],
  "--iterations": ["--sinkhorn", "--sinkhorn-iters", "--sinkhorn-iterations"],
  "--streams": ["--expansion", "--expansion-rate", "--rate-of-expansion", "--hc-mult"],
  "--runtime": ["--device", "--backend", "--accelerator"],
  "--threads": ["--cpu", "--cpus", "--cores", "--workers", "--jobs", "--num-workers", "--num-threads"],
  "--evaluate-every": ["--eval-interval", "--eval-steps", "--val-every", "--val-check-interval", "--validate-every"],
  "--checkpoint-every": ["--save-every", "--save-interval", "--save-steps", "--ckpt-every", "--checkpoint-interval"],
  "--recompute": ["--gradient-checkpointing", "--activation-checkpointing", "--checkpointing", "--remat"],
  "--resume": ["--continue", "--restart", "--resume-from-checkpoint"],
  "--from": ["--fork", "--init-from", "--load", "--pretrained", "--finetune", "--fine-tune", "--weights"],
  "--out": ["--name", "--run-name", "--save", "--save-dir", "--logdir", "--log-dir"],
  "--overwrite": ["--force", "--replace"],
  "--page": ["--live", "--ui", "--dashboard", "--plot", "--serve", "--port"],
  "--config": ["--yaml", "--settings", "--options-file"],
  "--seed": ["--random-seed", "--manual-seed"],
  "--set model.layers=…": ["--depth", "--n-layer", "--n-layers", "--num-layers", "--num-hidden-layers", "--blocks"],
  "--set model.width=…": ["--d-model", "--n-embd", "--dim", "--hidden-size", "--channels", "--embedding-size"],
  "--set model.hidden=…": ["--d-ff", "--ffn-dim", "--intermediate-size", "--mlp-size"],
  "--set model.heads=…": ["--n-head", "--n-heads", "--num-heads", "--num-attention-heads"],
  "--set optimizer.clip=…": ["--max-grad-norm", "--clip-grad", "--gradient-clip", "--clip-norm"],
  "--set optimizer.epsilon=…": ["--eps", "--adam-eps", "--adam-epsilon"],
  "--set optimizer.schedule.final=…": ["--min-lr", "--final-lr", "--min-lr-ratio"],
  "--set optimizer.weightDecay=…": ["--weight-decay", "--wd"],
  "--set optimizer.momentum=…": ["--momentum"],
  "--optimizer": ["--optimiser", "--optim", "--opt"],
  "--optimizer adamw": ["--adam", "--adamw"],
  "--optimizer muon": ["--muon"],
  "--optimizer lion": ["--lion"],
  "--optimizer sgd": ["--sgd"],
  "--optimizer adafactor": ["--adafactor"],
  "--set evaluateBatches=…": ["--eval-iters", "--val-batches"],
  "--preset moe-nano": ["--moe"],
  "--precision fp8": ["--fp8", "--float8"],
  "--precision bfloat16": ["--dtype", "--bf16", "--mixed-precision", "--amp", "--autocast"],
  ...Object.fromEntries(
    ["--connection", "--connections"].flatMap((option) =>
      connectionKinds.map((kind) => [`${option} ${kind}`, [`--${kind}`]] as const),
    ),
  ),
  "--connection hc": ["--hc", "--hyper", "--hyper-connections"],
  "--connection mhc": ["--mhc", "--manifold"],
  "--connections hc": ["--hc", "--hyper", "--hyper-connections"],
  "--connections mhc": ["--mhc", "--manifold"],
};

/** The options here that stand for one of another tool. */
export const namesHere: readonly string[] = Object.keys(named);

/** What is not here, and what is instead. */
const absent: readonly (readonly [names: readonly string[], sentence: string])[] = [
  [
    ["--dropout", "--attention-dropout", "--p-dropout", "--label-smoothing"],
    "There is no dropout here; what holds weights back is weight decay (--set optimizer.weightDecay=0.1).",
  ],
  [
    ["--gpu", "--gpus", "--cuda", "--mps", "--webgpu", "--tpu", "--devices"],
    "A GPU is used by --runtime cuda or --runtime webgpu (birkhoff doctor says which there is); without it, models train on all cores of the processor (--threads).",
  ],
  [
    ["--fp16", "--half", "--float16", "--int8"],
    "Models train in float32 or, with --precision bfloat16 or fp8, in mixed precision (docs/precision.md).",
  ],
  [
    ["--wandb", "--mlflow", "--report-to"],
    "Runs are recorded in their folders; --tensorboard writes event files, too.",
  ],
  [["--compile", "--torch-compile", "--jit"], "Every model is compiled, without an option."],
  [["--ema", "--swa"], "There is no average of the weights here."],
  [
    ["--quiet", "--verbose", "--log-interval", "--log-every"],
    "How much is printed cannot be chosen; --json prints it as JSON lines (docs/terminal.md).",
  ],
];

/** The option that is meant by another tool's, or what there is instead; "" where nothing is known. */
export function fromElsewhere(given: string, has: (long: string) => boolean): string {
  const known = Object.entries(named).find(([ours, theirs]) => theirs.includes(given) && has(ours.split(" ")[0]!))?.[0];
  if (known !== undefined) return ` Did you mean "${known}"?`;
  const sentence = absent.find(([names]) => names.includes(given))?.[1];
  return sentence === undefined || !has("--set") ? "" : ` ${sentence}`;
}
