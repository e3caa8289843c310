// Question: what is a sublayer called, by its position in the network from 0?

/** "layer 0 attention", "layer 0 feed-forward". */
export function sublayerName(sublayer: number): string {
  return `layer ${sublayer >> 1} ${sublayer % 2 === 0 ? "attention" : "feed-forward"}`;
}

/** The rows of a map: a label beside the first sublayer of each layer. */
export function sublayerRows(sublayers: readonly number[]): { readonly name: string; readonly label: string }[] {
  return sublayers.map((sublayer, row) => ({
    name: sublayerName(sublayer),
    label: row === 0 || sublayers[row - 1]! >> 1 !== sublayer >> 1 ? `layer ${sublayer >> 1}` : "",
  }));
}
