// Question: how does a figure become a picture, without a browser?
//
// Vega draws the specification as SVG in Node; resvg (WebAssembly) makes a PNG of it with the DejaVu fonts.
// Both are loaded on first use: no other command pays for them.

import fs from "node:fs";
import { createRequire } from "node:module";
import { given } from "../basics/given.ts";
import { expectPackages } from "../files/packages.ts";
import { onPaper, type VegaLiteSpec } from "./figures/figure.ts";
import { loadVega } from "./vega.ts";

export interface SvgOptions {
  /** The background colour. By default it is transparent, and lines and texts take the colour of their surroundings. */
  readonly background?: string;
  /** A prefix for every id in the drawing, so that one document can hold several drawings. */
  readonly prefix?: string;
  readonly onWarning?: (message: string) => void;
}

/**
 * Draw a specification.
 *
 * @returns a whole SVG document
 * @throws Error when the specification is not valid
 */
export async function renderSvg(spec: VegaLiteSpec, options: SvgOptions = {}): Promise<string> {
  const { vega, compile } = await loadVega();
  const { background, prefix = "", onWarning } = options;
  const logger = warnings(onWarning ?? (() => undefined));
  const drawn = { ...onPaper(spec), ...given({ background }) };
  const compiled = compile(drawn as unknown as Parameters<typeof compile>[0], { logger }).spec;
  const view = new vega.View(vega.parse(compiled), { renderer: "none", logger });
  try {
    const svg = await view.toSVG();
    // Otherwise the cells of a map would show seams between them.
    return withPrefix(
      svg.replaceAll('<g class="mark-rect role-mark', '<g shape-rendering="crispEdges" class="mark-rect role-mark'),
      prefix,
    );
  } finally {
    view.finalize();
  }
}

/**
 * Render an SVG as a PNG with the SVG's background, in DejaVu Sans.
 *
 * @param scale pixels per unit of the drawing
 */
export async function renderPng(svg: string, scale: number = 2): Promise<Uint8Array> {
  const { Resvg } = await loadResvg();
  const drawing = new Resvg(svg, {
    fitTo: { mode: "zoom", value: scale },
    font: { fontBuffers: fonts(), defaultFontFamily: "DejaVu Sans", sansSerifFamily: "DejaVu Sans" },
  });
  try {
    return drawing.render().asPng();
  } finally {
    drawing.free();
  }
}

const require = createRequire(import.meta.url);
let resvg: Promise<typeof import("@resvg/resvg-wasm")> | undefined;
let fontFiles: Uint8Array[] | undefined;

function loadResvg(): Promise<typeof import("@resvg/resvg-wasm")> {
  resvg ??= (async () => {
    expectPackages("pictures");
    const loaded = await import("@resvg/resvg-wasm");
    await loaded.initWasm(fs.readFileSync(require.resolve("@resvg/resvg-wasm/index_bg.wasm")));
    return loaded;
  })();
  return resvg;
}

function fonts(): Uint8Array[] {
  fontFiles ??= [
    require.resolve("dejavu-fonts-ttf/ttf/DejaVuSans.ttf"),
    require.resolve("dejavu-fonts-ttf/ttf/DejaVuSans-Bold.ttf"),
  ].map((file) => fs.readFileSync(file));
  return fontFiles;
}

/** Prefix ids and references to them. Both occur only in attributes: text is escaped and holds no quotation marks there. */
function withPrefix(svg: string, prefix: string): string {
  if (prefix === "") return svg;
  return svg.replace(/ id="([\w-]+)"/g, ` id="${prefix}$1"`).replace(/="url\(#([\w-]+)\)"/g, `="url(#${prefix}$1)"`);
}

/** Both libraries log warnings through the same kind of object. */
function warnings(tell: (message: string) => void): Logger {
  const say = (...messages: readonly unknown[]): Logger => {
    tell(messages.map(String).join(" "));
    return logger;
  };
  const quiet = (): Logger => logger;
  const logger: Logger = {
    level: ((value?: number) => (value === undefined ? 0 : logger)) as Logger["level"],
    warn: say,
    error: say,
    info: quiet,
    debug: quiet,
  };
  return logger;
}

interface Logger {
  level(): number;
  level(value: number): this;
  warn(...messages: readonly unknown[]): this;
  error(...messages: readonly unknown[]): this;
  info(...messages: readonly unknown[]): this;
  debug(...messages: readonly unknown[]): this;
}
