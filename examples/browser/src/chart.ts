// Question: how is the loss drawn?
//
// From the highest loss down to zero, over all steps that are to come.

const [width, height, left] = [600, 200, 36];

export function drawLosses(chart: SVGSVGElement, losses: readonly number[], steps: number): void {
  const highest = Math.max(1, Math.ceil(Math.max(...losses.filter(Number.isFinite))));
  const x = (step: number): number => left + ((step - 1) / Math.max(1, steps - 1)) * (width - left);
  const y = (loss: number): number => 8 + (1 - loss / highest) * (height - 8);
  const path = losses.map(
    (loss, index) => `${index === 0 ? "M" : "L"}${x(index + 1).toFixed(1)} ${y(loss).toFixed(1)}`,
  );
  const lines = Array.from(
    { length: highest + 1 },
    (_, loss) =>
      `<line x1="${left}" x2="${width}" y1="${y(loss)}" y2="${y(loss)}" /><text x="${left - 10}" y="${y(loss) + 4}" text-anchor="end">${loss}</text>`,
  );
  chart.innerHTML = `${lines.join("")}<text x="${width}" y="${height + 16}" text-anchor="end">step ${steps}</text><path d="${path.join("")}" />`;
}
