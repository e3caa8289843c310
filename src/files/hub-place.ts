// Question: which model on a hub does a text such as hf:owner/name@revision name?

/** A model of a hub in Hugging Face's form. */
export interface HubPlace {
  /** owner/name, or the name alone. */
  readonly repo: string;
  /** A branch, a tag or a commit. Default: main. */
  readonly revision: string;
}

const PREFIX = "hf:";
const FORM = /^[\w.-]+(?:\/[\w.-]+)?$/;

/** Whether a text names a model on a hub, and no file or folder. */
export const isHubPlace = (place: string): boolean => place.startsWith(PREFIX);

/** @throws RangeError when the text is not of the form hf:owner/name[@revision] */
export function parseHubPlace(place: string): HubPlace {
  const [repo = "", revision = "main", ...rest] = place.slice(PREFIX.length).split("@");
  if (!isHubPlace(place) || rest.length > 0 || !FORM.test(repo) || revision === "" || repo.includes(".."))
    throw new RangeError(
      `${place} names no model on a hub; the form is hf:owner/name or hf:owner/name@revision, such as hf:deepseek-ai/DeepSeek-V4-Flash@main`,
    );
  return { repo, revision };
}
