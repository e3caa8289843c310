"""How long does Hugging Face's tokenizers (Rust) take to tokenize some texts on one thread?

    python bench/peers/tokenizing.py --tokenizer tokenizer.json --texts texts.json

The protocol is that of serve.py; `corner` is the number of tokens.
"""

import argparse
import json
import os
import resource
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"


def say(message: dict) -> None:
    print(json.dumps(message), flush=True)


def peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--texts", required=True)
    args = parser.parse_args()
    try:
        import tokenizers
    except ImportError:
        return say({"skipped": "this Python has no tokenizers (pip install tokenizers)"})
    tokenizer = tokenizers.Tokenizer.from_file(args.tokenizer)
    with open(args.texts, encoding="utf-8") as file:
        texts = json.load(file)
    versions = {"python": sys.version.split()[0], "tokenizers": tokenizers.__version__}
    say({"ready": True, "peer": "tokenizers", "versions": versions, "threads": 1, "base_rss_bytes": peak()})
    for line in sys.stdin:
        request = json.loads(line)
        times = []
        count = 0
        for _ in range(request["count"]):
            start = time.perf_counter()
            count = sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts)
            times.append(1000 * (time.perf_counter() - start))
        say({"ms": times, "corner": count, "peak_rss_bytes": peak()})


if __name__ == "__main__":
    main()
