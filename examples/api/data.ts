import { createBatches, trainTokenizer, type TokenSource } from "birkhoff/data";

const text = "a small text, and the same again: a small text";
const tokenizer = trainTokenizer([text], { vocabularySize: 270 });
const ids = tokenizer.encode(text);
console.log(ids.length, tokenizer.decode(ids));

const tokens: TokenSource = {
  length: ids.length,
  vocabularySize: tokenizer.vocabularySize,
  bytes: 2 * ids.length,
  read: (offset, count, into, at = 0) => into.set(ids.slice(offset, offset + count), at),
};
const byteLengths = Array.from({ length: tokenizer.vocabularySize }, () => 1);
const sizes = { batchSize: 2, contextLength: 8, seed: 1 };
console.log(createBatches({ train: tokens, validation: tokens, byteLengths, ...sizes }).trainingBatch(0));
