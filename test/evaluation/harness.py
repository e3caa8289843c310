# Question: what does lm-evaluation-harness itself make of the files of a folder?
#
#   python harness.py DATA TASK[=SHOTS],… LIMIT MODEL [MODEL_ARGS]
#
# MODEL is a model of the harness, such as local-completions with MODEL_ARGS, or "prompts": then nothing is asked, every
# answer is a fixed one, and the output says what would have been asked. The harness reads its data sets from a hub; here
# they are made of the same files that `birkhoff eval` reads, in the form that the hub has. The output is a line of JSON:
# {"skipped": reason}, or {"results", "samples", "versions"}.

import csv
import glob
import json
import os
import sys


def say(value):
    print(json.dumps(value, ensure_ascii=False, default=str), file=OUTPUT, flush=True)


# The harness writes to standard output, too.
OUTPUT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

try:
    import datasets
    import lm_eval
    import lm_eval.models.openai_completions
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager
except ImportError as error:
    say({"skipped": f"lm-evaluation-harness is not installed ({error}); pip install 'lm-eval[api]'"})
    sys.exit(0)

data, tasks, limit, model = sys.argv[1:5]
model_args = sys.argv[5] if len(sys.argv) > 5 else ""


def lines(*parts):
    with open(os.path.join(data, *parts), encoding="utf-8") as file:
        return [json.loads(line) for line in file.read().split("\n") if line.strip()]


def first(*patterns):
    for pattern in patterns:
        found = sorted(glob.glob(os.path.join(data, pattern)))
        if found:
            return found[0]
    raise FileNotFoundError(patterns)


def bbh(name):
    with open(first(f"bbh/bbh/{name}.json", f"bbh/{name}.json"), encoding="utf-8") as file:
        return {"test": json.load(file)["examples"]}


def gsm8k(_):
    return {"train": lines("gsm8k", "train.jsonl"), "test": lines("gsm8k", "test.jsonl")}


def hellaswag(_):
    path = os.path.relpath(first("hellaswag/hellaswag_val.jsonl", "hellaswag/validation.jsonl", "hellaswag/*val*.jsonl"), data)
    rows = [{**row, "label": str(row["label"])} for row in lines(path)]
    return {"train": rows, "validation": rows}


def piqa(_):
    labels = open(os.path.join(data, "piqa", "valid-labels.lst")).read().split()
    rows = [{**row, "label": int(label)} for row, label in zip(lines("piqa", "valid.jsonl"), labels)]
    return {"train": rows, "validation": rows}


def mmlu(subject):
    def rows(split):
        with open(os.path.join(data, "mmlu", split, f"{subject}_{split}.csv"), newline="", encoding="utf-8") as file:
            return [
                {"question": row[0], "subject": subject, "choices": row[1:5], "answer": "ABCD".index(row[5])}
                for row in csv.reader(file)
            ]

    return {"dev": rows("dev"), "test": rows("test")}


def triviaqa(_):
    rows = []
    for row in lines(os.path.relpath(first("triviaqa/validation.jsonl", "triviaqa/*.jsonl"), data)):
        question = row.get("question") or row["context"].removeprefix("Question: ").removesuffix("\nAnswer:")
        rows.append({"question": question, "answer": {"aliases": row["aliases"]}})
    return {"train": rows, "validation": rows}


def drop(_):
    # The fields of the hub, in its order: the harness prints their names where a prompt shows an answer.
    fields = ("number", "date", "spans", "worker_id", "hit_id")
    blank = {"number": "", "date": {"day": "", "month": "", "year": ""}, "spans": [], "worker_id": "", "hit_id": ""}

    def of_hub(answer):
        return {key: answer.get(key, blank[key]) for key in fields}

    rows = []
    with open(first("drop/drop_dataset_dev.json", "drop/drop*.json"), encoding="utf-8") as file:
        for section, content in json.load(file).items():
            for pair in content["qa_pairs"]:
                validated = [of_hub(one) for one in pair.get("validated_answers", [])]
                rows.append(
                    {
                        "section_id": section,
                        "query_id": pair.get("query_id", ""),
                        "passage": content["passage"],
                        "question": pair["question"],
                        "answer": of_hub(pair["answer"]),
                        "validated_answers": {
                            key: [one[key] for one in validated] for key in fields
                        },
                    }
                )
    return {"train": rows, "validation": rows}


READERS = {
    "SaylorTwift/bbh": bbh,
    "openai/gsm8k": gsm8k,
    "Rowan/hellaswag": hellaswag,
    "baber/piqa": piqa,
    "cais/mmlu": mmlu,
    "mandarjoshi/trivia_qa": triviaqa,
    "EleutherAI/drop": drop,
}


def load_dataset(path, name=None, **_):
    splits = READERS[path](name)
    return datasets.DatasetDict({split: datasets.Dataset.from_list(rows) for split, rows in splits.items()})


datasets.load_dataset = load_dataset


class Prompts(LM):
    """Chooses by the length of a choice, and writes the same to every prompt."""

    def loglikelihood(self, requests):
        return [(-float(len(request.args[1])), False) for request in requests]

    def loglikelihood_rolling(self, requests):
        raise NotImplementedError

    def generate_until(self, requests):
        return ["The final answer is 7. #### 7" for _ in requests]


results, samples, versions = {}, {}, {}
manager = TaskManager()
for task in tasks.split(","):
    name, _, shots = task.partition("=")
    found = lm_eval.simple_evaluate(
        model=Prompts() if model == "prompts" else model,
        model_args=model_args if model != "prompts" else None,
        tasks=[name],
        num_fewshot=int(shots) if shots else None,
        limit=int(limit) or None,
        task_manager=manager,
        bootstrap_iters=1000,
    )
    results.update(found["results"])
    versions.update(found["versions"])
    for each, rows in found["samples"].items():
        samples[each] = [
            {"filter": row["filter"], "arguments": row["arguments"], "resps": row["resps"],
             "filtered": row["filtered_resps"], **{metric: row[metric] for metric in row["metrics"]}}
            for row in rows
        ]
say({"results": results, "samples": samples, "versions": versions})
