// Question: how do the messages of a chat become one prompt?
//
// By the template that stands in the tokenizer's configuration (`chat_template`, in Jinja), or beside it in
// `chat_template.jinja`, as Hugging Face's tools do it. Without one, each message is a line with its role, which any
// model can read:
//
//   user: What is a manifold?
//   assistant:

import fs from "node:fs";
import path from "node:path";
import { isObject } from "../basics/objects.ts";
import { reason } from "../files/errors.ts";
import { expectPackages } from "../files/packages.ts";
import { readText } from "../files/read.ts";

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

export interface ChatTemplate {
  /** Where it comes from. */
  readonly name: string;
  /** Whether the text that it makes has the tokens that a model expects before a text. */
  readonly complete: boolean;
  /** Strings that end an answer. */
  readonly stop: readonly string[];
  /** @throws Error for messages that the template refuses */
  prompt(messages: readonly ChatMessage[]): string;
}

const plain: ChatTemplate = {
  name: "plain",
  complete: false,
  stop: ["\nuser:", "\nsystem:", "\nassistant:"],
  prompt: (messages) => [...messages.map(({ role, content }) => `${role}: ${content}\n`), "assistant:"].join(""),
};

/**
 * The template of the tokenizer in a folder, or the plain one.
 *
 * @throws Error when a template is there that cannot be read, or without the package that reads it
 */
export async function readChatTemplate(folder: string): Promise<ChatTemplate> {
  const configFile = path.join(folder, "tokenizer_config.json");
  const templateFile = path.join(folder, "chat_template.jinja");
  const config = fs.existsSync(configFile) ? configOf(configFile) : {};
  const [file, text] = fs.existsSync(templateFile)
    ? [templateFile, readText(templateFile)]
    : [configFile, defaultOf(config["chat_template"])];
  if (text === undefined) return plain;
  expectPackages("chat");
  const { Template } = await import("@huggingface/jinja");
  const template = compiled(() => new Template(text), file);
  const contentOf = (token: unknown): unknown => (isObject(token) ? token["content"] : token);
  const tokens = Object.fromEntries(
    ["bos_token", "eos_token", "pad_token", "unk_token"].map((name) => [name, contentOf(config[name]) ?? ""]),
  );
  return {
    name: file,
    complete: true,
    stop: [],
    prompt: (messages) => template.render({ messages, add_generation_prompt: true, ...tokens }),
  };
}

function configOf(file: string): Record<string, unknown> {
  try {
    const json: unknown = JSON.parse(readText(file));
    if (isObject(json)) return json;
  } catch (error) {
    throw new Error(`${file} cannot be read: ${reason(error)}. Mend it, or remove it`, { cause: error });
  }
  throw new Error(`${file} is not a JSON object. Mend it, or remove it`);
}

/** A template, or a list of them by name, of which "default" is for chats. */
function defaultOf(template: unknown): string | undefined {
  if (typeof template === "string") return template;
  if (!Array.isArray(template)) return undefined;
  const found: unknown = template.find((each) => isObject(each) && each["name"] === "default");
  const text = isObject(found) ? found["template"] : undefined;
  return typeof text === "string" ? text : undefined;
}

function compiled<T>(make: () => T, file: string): T {
  try {
    return make();
  } catch (error) {
    throw new Error(`${file}: its chat template cannot be read: ${reason(error)}. Mend it, or remove it`, {
      cause: error,
    });
  }
}
