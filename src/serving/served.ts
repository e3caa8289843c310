// Question: what does the server know of the model that it serves?

import type { Tokenizer } from "../data/tokenizer.ts";
import type { ChatTemplate } from "./chat-template.ts";
import type { Engine } from "./engine.ts";
import type { PromptEncoder } from "./prompt-encoder.ts";

export interface Served {
  /** The model's name in requests and answers. */
  readonly name: string;
  /** When the model was loaded, in seconds since 1970. */
  readonly created: number;
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  readonly encoder: PromptEncoder;
  readonly template: ChatTemplate;
  /** How many tokens a prompt and what follows may have together. */
  readonly context: number;
  /** Tokens are below this. */
  readonly vocabulary: number;
}
