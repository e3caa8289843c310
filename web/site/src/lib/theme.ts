// Question: which colours has the site, and in which light?
//
// The light is the system's unless a reader has chosen another, which holds for all pages until it is changed.

import { kindColours } from "../../../../src/report/figures/palette.ts";

export const themes = ["auto", "light", "dark"] as const;
export type Theme = (typeof themes)[number];

const KEY = "birkhoff-theme";

/** What the reader has chosen. */
export function chosenTheme(): Theme {
  try {
    return themes.find((theme) => theme === localStorage.getItem(KEY)) ?? "auto";
  } catch {
    // Some browsers keep nothing for a page.
    return "auto";
  }
}

/** Choose a light. */
export function chooseTheme(theme: Theme): void {
  document.documentElement.dataset["theme"] = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Then it holds for this page.
  }
}

/** A connection has the same colour in every picture of the project. */
export function setColours(): void {
  document.documentElement.dataset["theme"] = chosenTheme();
  for (const [kind, colour] of Object.entries(kindColours))
    document.documentElement.style.setProperty(`--${kind}`, colour);
}

/** A connection's colour in this light. */
export const colourOf = (kind: string): string =>
  `light-dark(var(--${kind}), color-mix(in oklab, var(--${kind}) 82%, white))`;

/** Call whenever another light may be on; the result ends it. */
export function onTheme(changed: () => void): () => void {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = new MutationObserver(changed);
  system.addEventListener("change", changed);
  chosen.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  return () => {
    system.removeEventListener("change", changed);
    chosen.disconnect();
  };
}
