// Question: what does a report look like? One stylesheet: light, dark, narrow and on paper.

export const reportStyle = `
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1f24; --soft: #5b6570; --line: #dfe3e8; --wash: #f5f7f9; --link: #0b66a8; --warn: #a04a00;
}
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --ink: #e6e9ed; --soft: #9aa4af; --line: #2d333b; --wash: #1c2127; --link: #6cb6ff; --warn: #f0a35e; }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 21px; margin: 52px 0 10px; padding-top: 14px; border-top: 1px solid var(--line); }
h3 { font-size: 16px; margin: 26px 0 6px; overflow-wrap: anywhere; }
p { margin: 8px 0; max-width: 75ch; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
.soft { color: var(--soft); }
.small { font-size: 13px; }
.summary { background: var(--wash); border-left: 4px solid #009e73; border-radius: 4px; padding: 14px 20px; margin: 22px 0; }
.summary p { margin: 4px 0; max-width: none; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 14px; margin: 14px 0 0; }
.wide { overflow-x: auto; margin: 12px 0; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: 6px 8px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { white-space: normal; font-weight: 600; color: var(--soft); font-size: 12.5px; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
.left th, .left td { text-align: left; }
.wrap td { white-space: normal; overflow-wrap: anywhere; min-width: 5em; }
td .key { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 8px; vertical-align: -1px; }
.name { max-width: 26em; overflow: hidden; text-overflow: ellipsis; }
figure { margin: 18px 0 34px; }
figure > svg, figure .vega-embed, figure .vega-embed svg { max-width: 100%; height: auto !important; display: block; }
figure .drawing { overflow-x: auto; }
figure .drawing svg { max-width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: 13px; line-height: 1.5; margin-top: 6px; max-width: 95ch; overflow-wrap: anywhere; }
figure h3 { margin: 0 0 8px; }
pre { background: var(--wash); border: 1px solid var(--line); border-radius: 6px; padding: 12px 14px; font: 13px/1.5 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: 8px 0 16px; }
.mark-rect.role-mark path { shape-rendering: crispEdges; }
.warn { color: var(--warn); }
footer { margin-top: 60px; padding-top: 14px; border-top: 1px solid var(--line); color: var(--soft); font-size: 13px; }
.vega-embed.has-actions { padding-right: 0 !important; }
@media (max-width: 640px) { main { padding: 24px 14px 60px; } h1 { font-size: 24px; } .drawing svg { min-width: 620px; } }
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #444; --line: #ccc; --wash: #f6f6f6; --link: #000; --warn: #7a3a00; }
  body { font-size: 11pt; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  figure, table, pre, .summary { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  h2 { margin-top: 26px; }
  .wide, figure .drawing { overflow: visible; }
  th, td { padding: 3px 4px; font-size: 8pt; }
  th { font-size: 7.5pt; }
}
`;
