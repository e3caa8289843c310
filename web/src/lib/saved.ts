// Question: how is it said that runs were saved?

/** "Saved at step 985.", or the steps of each where they differ. */
export function savedText(runs: readonly { readonly name: string; readonly saved: number | null }[]): string {
  const said = (step: number | null): string => (step ?? 0).toLocaleString("en");
  if (new Set(runs.map(({ saved }) => saved)).size === 1) return `Saved at step ${said(runs[0]!.saved)}.`;
  return `Saved: ${runs.map(({ name, saved }) => `${name} at step ${said(saved)}`).join(", ")}.`;
}
