// Generated from src/dashboard/assets/ by `deno task assets`: edit those files instead.

/** A file of the dashboard that browsers may keep forever, since its name has the hash of its text. */
export interface Asset {
  /** Its path from the base of the dashboard. */
  readonly path: string;
  readonly type: string;
  readonly text: string;
}

/** Returns the path of an asset from the base of the dashboard. */
export function assetPath(name: keyof typeof ASSETS): string {
  return ASSETS[name].path;
}

/** The assets by their names. */
export const ASSETS: Readonly<Record<"dashboard.css" | "dashboard.js" | "firefly.svg" | "live.js", Asset>> = {
  "dashboard.css": {
    path: "/assets/deb75172d427-dashboard.css",
    type: "text/css; charset=utf-8",
    text: `/* Firefly's dashboard */

/* The first of each pair is the light one. The theme button sets data-theme; otherwise the system decides. */
:root {
  color-scheme: light dark;
  --paper: light-dark(#f5f5f2, #101115);
  --panel: light-dark(#fff, #17191f);
  --sunk: light-dark(#efeeea, #20222b);
  --line: light-dark(#e3e2dc, #2a2d36);
  --edge: light-dark(#8b8a84, #7d808b);
  --grid: light-dark(#e9e8e3, #23262e);
  --ink: light-dark(#1b1c21, #e9e9ea);
  --dim: light-dark(#5b5d66, #a5a8b2);
  --link: light-dark(#2b47b0, #a3b8ff);
  --ok: light-dark(#17703f, #63d192);
  --run: light-dark(#1858bd, #84b5ff);
  --bad: light-dark(#b3241c, #ff938a);
  --hold: light-dark(#865400, #f2bb57);
  --later: light-dark(#6846b5, #c2aaff);
  --idle: light-dark(#4f525c, #c0c3cc);
  --bad-wash: light-dark(#fceeec, #2b1a1b);
  --hold-wash: light-dark(#fcf4e2, #2a2214);
  --run-wash: light-dark(#eaf1fc, #17233a);
  --ok-wash: light-dark(#e9f5ee, #14261c);
  --plot: light-dark(#7d958c, #567067);
  --plot-2: light-dark(#55746a, #8fb3a6);
  --bar: light-dark(#17181d, #0b0c0f);
  --bar-ink: #f1f1ee;
  --bar-dim: #b4b6bf;
  --glow: #ffc53d;
  --pad: 16px;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
:root[data-theme="light"] {
  color-scheme: light;
}
:root[data-theme="dark"] {
  color-scheme: dark;
}

/* Elements */
*,
::before,
::after {
  box-sizing: border-box;
}
html {
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  background: var(--paper);
  color: var(--ink);
  -webkit-text-size-adjust: 100%;
  scroll-padding-top: 64px;
}
body {
  margin: 0;
  font-variant-numeric: tabular-nums;
}
h1,
h2,
p,
ul,
ol,
dl,
dd,
figure,
pre,
form {
  margin: 0;
  padding: 0;
  min-width: 0;
}
ul,
ol {
  list-style: none;
}
h1 {
  font-size: 20px;
  line-height: 1.25;
  font-weight: 650;
  letter-spacing: -.01em;
  overflow-wrap: anywhere;
}
h2 {
  font-size: 14px;
  font-weight: 650;
}
b {
  font-weight: 650;
}
a {
  color: var(--link);
  text-underline-offset: 2px;
}
a:not(:hover) {
  text-decoration-color: color-mix(in srgb, currentColor 35%, #0000);
}
code,
pre,
kbd {
  font: 12.5px/1.5 var(--mono);
}
pre {
  overflow: auto;
  padding: 10px 12px;
  background: var(--sunk);
  border-radius: 6px;
}
kbd {
  padding: 0 5px;
  border: 1px solid var(--line);
  border-radius: 4px;
}
time {
  white-space: nowrap;
}
svg {
  display: block;
}
:focus-visible {
  outline: 2px solid var(--link);
  outline-offset: 2px;
  border-radius: 4px;
}
[hidden] {
  display: none !important;
}
button,
.button,
input,
textarea {
  font: inherit;
  color: inherit;
  min-height: 30px;
  padding: 4px 11px;
  background: var(--panel);
  border: 1px solid var(--edge);
  border-radius: 6px;
}
button,
.button {
  display: inline-flex;
  align-items: center;
  justify-content: center;
  cursor: pointer;
  text-decoration: none;
  white-space: nowrap;
  font-weight: 500;
}
button:hover,
.button:hover {
  background: var(--sunk);
}
.primary,
.primary:hover {
  background: var(--ink);
  color: var(--paper);
}
.danger {
  color: var(--bad);
  border-color: currentColor;
}
.danger.primary {
  background: var(--bad);
  color: var(--panel);
}
button:disabled {
  opacity: .55;
}
[type="checkbox"] {
  min-height: 0;
  width: 16px;
  height: 16px;
  margin: 0;
}
label {
  font-weight: 500;
}

/* The frame: a dark bar, one column below it, a line at the end */
.skip {
  position: absolute;
  left: -999px;
  top: 6px;
  z-index: 9;
  padding: 8px 12px;
  background: var(--panel);
  clip-path: inset(50%);
  white-space: nowrap;
}
.skip:focus {
  left: 8px;
  clip-path: none;
}
.bar {
  position: sticky;
  top: 0;
  z-index: 5;
  display: flex;
  align-items: center;
  gap: 0 22px;
  padding: 0 24px;
  min-height: 48px;
  background: var(--bar);
  color: var(--bar-ink);
}
.bar :focus-visible {
  outline-color: var(--glow);
}
.brand {
  display: flex;
  align-items: center;
  gap: 9px;
  color: inherit;
  text-decoration: none;
  font-weight: 650;
  font-size: 15px;
}
.bar nav ul {
  display: flex;
  gap: 2px;
}
.bar nav a {
  display: flex;
  align-items: center;
  gap: 6px;
  padding: 2px 10px 0;
  height: 48px;
  color: var(--bar-dim);
  text-decoration: none;
  border-bottom: 2px solid transparent;
}
.bar nav :is(a:hover, [aria-current]) {
  color: var(--bar-ink);
}
.bar nav [aria-current] {
  border-color: var(--glow);
  font-weight: 600;
}
.bar .n {
  padding: 0 6px;
  border-radius: 9px;
  background: #ff938a;
  color: #17181d;
  font-size: 11.5px;
  font-weight: 700;
  line-height: 18px;
}
.tools {
  display: flex;
  align-items: center;
  gap: 6px;
  margin-left: auto;
  font-size: 13px;
  color: var(--bar-dim);
}
.tools button,
.env {
  min-height: 28px;
  padding: 2px 9px;
  background: none;
  border: 1px solid #4b4e58;
  border-radius: 6px;
  color: var(--bar-ink);
  font-weight: 400;
}
.env {
  line-height: 22px;
}
.tools button:hover {
  background: #333;
}
.live {
  margin: 0 6px;
}
.live::before {
  content: "";
  display: inline-block;
  width: 8px;
  height: 8px;
  margin-right: 7px;
  border-radius: 50%;
  background: var(--glow);
}
.off::before {
  background: none;
  border: 2px solid;
}
main,
.stack,
.cols {
  display: grid;
  gap: 16px;
  grid-template-columns: minmax(0, 1fr);
  align-content: start;
}
main {
  max-width: 1520px;
  margin: 0 auto;
  padding: 18px 24px 40px;
}
main:focus {
  outline: none;
}
.foot {
  display: flex;
  flex-wrap: wrap;
  gap: 4px 18px;
  max-width: 1520px;
  margin: 0 auto;
  padding: 0 24px 24px;
  color: var(--dim);
  font-size: 12.5px;
}
.head,
.acts {
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  gap: 8px;
}
.head {
  column-gap: 14px;
}
.head .acts {
  margin-left: auto;
}
.crumb {
  flex-basis: 100%;
  font-size: 13px;
  color: var(--dim);
  margin-bottom: -4px;
}
.dim,
.why,
.tell .small {
  color: var(--dim);
}
.bad {
  color: var(--bad);
}
.hold {
  color: var(--hold);
}
.small,
.why,
.line {
  font-size: 12.5px;
}
.phone {
  display: none;
}

/* Panels, and a word above them */
.panel {
  background: var(--panel);
  border: 1px solid var(--line);
  border-radius: 8px;
  min-width: 0;
  overflow: clip;
  container-type: inline-size;
}
.panel > header {
  display: flex;
  flex-wrap: wrap;
  align-items: baseline;
  gap: 4px 12px;
  padding: 11px var(--pad) 9px;
}
.panel > header > :last-child:not(h2) {
  margin-left: auto;
}
.in {
  padding: 0 var(--pad) 14px;
}
.panel > footer {
  display: flex;
  flex-wrap: wrap;
  gap: 6px 16px;
  justify-content: space-between;
  padding: 9px var(--pad);
  border-top: 1px solid var(--line);
  color: var(--dim);
  font-size: 13px;
}
.switch a {
  padding: 2px 8px;
  border-radius: 5px;
  text-decoration: none;
  color: var(--dim);
  font-size: 12.5px;
}
.switch [aria-current] {
  background: var(--sunk);
  color: var(--ink);
  font-weight: 600;
}
.tell {
  display: grid;
  grid-template-columns: minmax(0, 1fr) auto;
  gap: 4px 16px;
  align-items: center;
  padding: 12px var(--pad);
  border-radius: 8px;
  background: var(--run-wash);
  overflow-wrap: anywhere;
}
.bad-w {
  background: var(--bad-wash);
}
.hold-w {
  background: var(--hold-wash);
}
.ok-w {
  background: var(--ok-wash);
}
.tell ul,
.tell .meter {
  grid-column: 1 / -1;
}
.tell ul {
  display: grid;
  gap: 3px;
  font-size: 13.5px;
}
.meter {
  display: grid;
  grid-template-columns: minmax(0, 1fr) auto;
  gap: 4px 14px;
  align-items: center;
  padding-top: 4px;
}
.meter svg {
  width: 100%;
  height: 8px;
}
.alerts > li {
  display: grid;
  grid-template-columns: 10px minmax(0, 1fr) auto auto auto;
  gap: 2px 16px;
  align-items: center;
  padding: 9px var(--pad);
}
.alerts > li + li {
  border-top: 1px solid var(--line);
}
.alerts > li::before {
  align-self: start;
  margin-top: 6px;
}
.alerts :is(p, .acts) {
  color: var(--ink);
}
.alerts p {
  overflow-wrap: anywhere;
}
.alerts svg {
  width: 120px;
  height: 26px;
}
.alerts .acts {
  color: var(--ink);
  min-width: 186px;
  justify-content: flex-end;
}
.tiles {
  display: grid;
  grid-template-columns: repeat(6, minmax(0, 1fr));
  gap: 1px;
  background: var(--line);
}
.tiles > * {
  position: relative;
  display: grid;
  align-content: start;
  gap: 1px;
  padding: 11px var(--pad) 12px;
  background: var(--panel);
  color: inherit;
  text-decoration: none;
}
.tiles > a:hover {
  background: var(--sunk);
}
.tiles b {
  font-size: 24px;
  line-height: 1.2;
  letter-spacing: -.02em;
}
.tiles small,
.tiles span {
  font-size: 12.5px;
  color: var(--dim);
}
.tiles svg {
  position: absolute;
  right: var(--pad);
  top: 33px;
  width: 80px;
  height: 24px;
}

/* A status: a shape and a word, never color alone */
.s {
  display: inline-flex;
  align-items: center;
  gap: 6px;
  white-space: nowrap;
  font-weight: 550;
}
.s::before,
.alerts > li::before {
  content: "";
  flex: none;
  width: 10px;
  height: 10px;
  background: currentColor;
}
.completed,
.active {
  color: var(--ok);
}
.completed::before,
.active::before {
  border-radius: 50%;
}
.failed {
  color: var(--bad);
}
.failed::before {
  clip-path: polygon(20% 0, 50% 30%, 80% 0, 100% 20%, 70% 50%, 100% 80%, 80% 100%, 50% 70%, 20% 100%, 0 80%, 30% 50%, 0
    20%);
}
.running {
  color: var(--run);
}
.running::before {
  clip-path: polygon(12% 0, 100% 50%, 12% 100%);
}
.s.ready::before {
  background: none;
  border: 2px solid;
  border-radius: 50%;
}
.ready {
  color: var(--idle);
}
.later {
  color: var(--later);
}
.later::before {
  clip-path: polygon(50% 0, 100% 50%, 50% 100%, 0 50%);
}
.suspended {
  color: var(--later);
}
.suspended::before {
  clip-path: polygon(0 0, 100% 0, 60% 50%, 100% 100%, 0 100%, 40% 50%);
}
.limited,
.paused,
.unknown {
  color: var(--hold);
}
.limited::before {
  clip-path: polygon(0 0, 100% 0, 100% 35%, 65% 35%, 65% 65%, 100% 65%, 100% 100%, 0 100%);
}
.paused::before {
  clip-path: polygon(0 0, 35% 0, 35% 100%, 0 100%, 0 0, 65% 0, 100% 0, 100% 100%, 65% 100%, 65% 0);
}
.unknown::before {
  clip-path: polygon(50% 0, 100% 100%, 0 100%);
}
.unknown.bad {
  color: var(--bad);
}
.cancelled,
.blocked {
  color: var(--dim);
}
.cancelled::before {
  clip-path: polygon(0 36%, 100% 36%, 100% 64%, 0 64%);
}
.s.blocked::before {
  background: none;
  border: 2px dotted;
}
.tag {
  display: inline-block;
  padding: 0 7px;
  border-radius: 4px;
  background: var(--sunk);
  font-size: 12.5px;
  line-height: 20px;
}

/* Tables */
table {
  width: 100%;
  border-spacing: 0;
  font-size: 13.5px;
}
th,
td {
  padding: 7px 12px;
  text-align: left;
  border-top: 1px solid var(--line);
  font-weight: inherit;
}
:is(th, td):first-child {
  padding-left: var(--pad);
}
:is(th, td):last-child {
  padding-right: var(--pad);
}
thead th {
  padding-block: 5px;
  font-size: 12.5px;
  font-weight: 500;
  color: var(--dim);
  white-space: nowrap;
}
/* A name may have no place to break at. */
tbody th {
  overflow-wrap: anywhere;
}
tbody tr:hover {
  background: color-mix(in srgb, var(--sunk) 55%, #0000);
}
tr.on {
  background: var(--run-wash) !important;
}
tr[aria-current] {
  box-shadow: inset 3px 0 var(--link);
}
.num {
  text-align: right;
  white-space: nowrap;
}
.fit {
  width: 1%;
  white-space: nowrap;
}
.main {
  max-width: 0;
  width: 99%;
  overflow: hidden;
}
/* A name or an error that is written from right to left must not turn what stands beside it. */
.name,
.line,
code {
  unicode-bidi: isolate;
}
.name {
  font-weight: 600;
  color: inherit;
  text-decoration: none;
  overflow-wrap: anywhere;
}
.name:hover {
  text-decoration: underline;
}
.line {
  display: block;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
  color: var(--dim);
  font-weight: 400;
}
td .spark {
  width: 132px;
  height: 22px;
}
.near .spark {
  width: 84px;
}
.of {
  display: flex;
  align-items: center;
  gap: 8px;
}
.of svg {
  flex: none;
  width: 72px;
  height: 8px;
}
tbody :is(button, .button) {
  min-height: 26px;
  padding: 1px 9px;
  font-size: 13px;
}
tbody .acts {
  flex-wrap: nowrap;
  justify-content: flex-end;
}
.sel {
  width: 40px;
}
.sel label {
  display: grid;
  place-items: center;
  width: 24px;
  height: 24px;
}

/* Filters, and what is picked */
.tabs {
  display: flex;
  gap: 2px;
  border-bottom: 1px solid var(--line);
  padding: 0 8px;
  overflow-x: auto;
}
.tabs a {
  padding: 9px 10px 8px;
  color: var(--dim);
  text-decoration: none;
  border-bottom: 2px solid transparent;
  white-space: nowrap;
}
.tabs small {
  font-size: 12.5px;
  padding-left: 3px;
}
.tabs [aria-current] {
  color: var(--ink);
  border-color: var(--ink);
  font-weight: 600;
}
.filter,
.tokens {
  display: flex;
  flex-wrap: wrap;
  gap: 8px;
  align-items: center;
}
.filter {
  padding: 11px var(--pad);
}
[type="search"] {
  min-height: 32px;
}
.filter [type="search"] {
  flex: 1 1 260px;
  font: 13px var(--mono);
}
.token {
  display: inline-flex;
  background: var(--sunk);
  border-radius: 5px;
  font-size: 13px;
}
.token > span {
  padding: 3px 2px 3px 9px;
}
.token a {
  display: grid;
  place-items: center;
  width: 26px;
  min-height: 26px;
  color: var(--dim);
  text-decoration: none;
  border-radius: 5px;
}
.token a:hover {
  color: var(--ink);
  background: var(--line);
}
.bulk {
  position: sticky;
  bottom: 0;
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  gap: 8px 14px;
  padding: 10px var(--pad);
  background: var(--run-wash);
  border-top: 1px solid;
}
.bulk .acts {
  margin-left: auto;
}
.fresh {
  position: sticky;
  top: 56px;
  z-index: 2;
  justify-self: center;
  border-radius: 15px;
  border-color: var(--run);
  color: var(--run);
  box-shadow: 0 2px 8px #0002;
  margin-bottom: -8px;
}

/* Charts: SVG without text, so that it may be stretched; its words are HTML around it */
.chart svg {
  width: 100%;
  height: 96px;
}
.low svg {
  height: 44px;
}
.chart + .chart {
  margin-top: 10px;
}
.chart p {
  display: flex;
  justify-content: space-between;
  font-size: 12px;
  color: var(--dim);
  padding: 3px 0;
}
.c-plot {
  --c: var(--plot);
}
.c-bad {
  --c: var(--bad);
}
.c-run {
  --c: var(--run);
}
.c-ok {
  --c: var(--ok);
}
.c-hold {
  --c: var(--hold);
}
.c-later {
  --c: var(--later);
}
.c-idle {
  --c: var(--edge);
}
.c-sunk {
  --c: var(--sunk);
}
[class^="c-"] {
  fill: var(--c);
}
.key i {
  background: var(--c);
}
.l-plot {
  stroke: var(--plot-2);
}
.l-bad {
  stroke: var(--bad);
}
.l-dim {
  stroke: var(--edge);
  stroke-dasharray: 3 3;
}
.l-grid {
  stroke: var(--grid);
}
.l-now {
  stroke: var(--ink);
}
[class^="l-"] {
  fill: none;
  stroke-width: 1.5;
  vector-effect: non-scaling-stroke;
}
.l-grid,
.l-now {
  stroke-width: 1;
}
.fill {
  fill: var(--plot);
  opacity: .35;
}
.key {
  display: inline-flex;
  gap: 12px;
  flex-wrap: wrap;
}
.key i {
  display: inline-block;
  width: 10px;
  height: 10px;
  border-radius: 2px;
  margin-right: 5px;
}
.key .k-line {
  height: 2px;
  width: 16px;
  vertical-align: 3px;
  --c: var(--plot-2);
}
.key .k-dash {
  height: 0;
  width: 16px;
  border-top: 2px dashed var(--edge);
  vertical-align: 3px;
}
.lanes > li {
  display: grid;
  grid-template-columns: 180px minmax(0, 1fr) 250px;
  gap: 16px;
  align-items: center;
  padding: 5px var(--pad);
  min-height: 34px;
  border-top: 1px solid var(--line);
  font-size: 13.5px;
}
.lanes svg {
  width: 100%;
  height: 16px;
}
.lanes .note {
  color: var(--dim);
  font-size: 13px;
}
.lanes > .axis {
  min-height: 0;
  padding-block: 2px 4px;
  border: 0;
  font-size: 12px;
  color: var(--dim);
}
.axis div {
  display: flex;
  justify-content: space-between;
}

/* One task */
.facts,
.keys {
  display: grid;
  grid-template-columns: max-content minmax(0, 1fr);
  gap: 5px 18px;
  font-size: 13.5px;
  overflow-wrap: anywhere;
}
.facts dt {
  color: var(--dim);
}
.facts time {
  white-space: normal;
}
details {
  border-top: 1px solid var(--line);
}
summary {
  display: flex;
  flex-wrap: wrap;
  gap: 3px 14px;
  align-items: baseline;
  padding: 9px var(--pad);
  cursor: pointer;
}
summary::before {
  content: "▸";
  color: var(--dim);
  width: 10px;
}
[open] > summary::before {
  content: "▾";
}
.what {
  flex: 1 1 300px;
  min-width: 0;
  overflow-wrap: anywhere;
}
details > .in {
  padding-left: calc(var(--pad) + 24px);
  display: grid;
  gap: 8px;
  grid-template-columns: minmax(0, 1fr);
}
.trace {
  color: var(--dim);
}
.trace b {
  color: var(--ink);
  font-weight: 600;
}
.json b {
  color: var(--dim);
  font-weight: 400;
}
.json i {
  color: var(--link);
  font-style: normal;
}
.json u {
  color: var(--later);
  text-decoration: none;
}
.log {
  padding: 4px 0 8px;
}
.log li {
  display: grid;
  grid-template-columns: 96px 42px minmax(0, 1fr);
  gap: 10px;
  padding: 2px var(--pad);
  font: 12.5px/1.6 var(--mono);
  overflow-wrap: anywhere;
}
.log span {
  white-space: pre-wrap;
}
.log time,
.lv {
  color: var(--dim);
}
.lv.warn {
  color: var(--hold);
}
.lv.error {
  color: var(--bad);
}
#log-lines:empty {
  display: none;
}

/* Tasks that hang together: boxes with lines between them, in a part of the page that scrolls by itself */
.graph {
  overflow: auto;
  max-height: 76vh;
}
.graph:focus-visible {
  outline-offset: -2px;
}
.node .box {
  fill: var(--panel);
  stroke: currentColor;
}
.node:hover .box {
  fill: var(--sunk);
}
.node:is(.focus, .critical) .box {
  stroke-width: 2.5;
}
.focus .box {
  fill: var(--run-wash);
}
.shape {
  fill: currentColor;
}
.node text {
  font-size: 12.5px;
}
.node .name {
  fill: var(--ink);
}
.node .note {
  fill: var(--dim);
  font-size: 12px;
}
.edge {
  fill: none;
  stroke: var(--edge);
  stroke-width: 1.25;
}
.edge.call {
  stroke-dasharray: 5 4;
}
.edge.critical {
  stroke: var(--ink);
  stroke-width: 3;
}
.tip {
  fill: var(--edge);
}
.tip.critical {
  fill: var(--ink);
}
.key .k-bold {
  height: 4px;
  width: 16px;
  vertical-align: 2px;
  --c: var(--ink);
}

/* Steps: bars on one scale; what waits is hatched */
.bars {
  width: 40%;
}
.steps-table .main {
  width: 59%;
}
.ends {
  display: flex;
  justify-content: space-between;
  gap: 8px;
}
.bar-line {
  width: 100%;
  height: 16px;
}
.phone .bar-line {
  height: 12px;
  margin-top: 3px;
}
.wait {
  fill: none;
  stroke-width: 10;
  stroke-dasharray: 2 2;
  vector-effect: non-scaling-stroke;
}
.phone .wait {
  stroke-width: 8;
}
.w-plot {
  stroke: var(--plot);
}
.w-later {
  stroke: var(--later);
}
.w-bad {
  stroke: var(--bad);
}
.tick {
  stroke-width: 2;
}
.key .hatch {
  background: repeating-linear-gradient(90deg, var(--later) 0 2px, #0000 2px 4px);
}
.key .k-tick {
  width: 2px;
  height: 12px;
  vertical-align: -1px;
  --c: var(--bad);
}
#steps-now:empty,
#waits-now:empty,
#related-now:empty {
  display: none;
}
.related {
  display: grid;
  gap: 2px;
}

/* Questions, pages with one thing on them */
dialog {
  width: min(560px, 100vw - 24px);
  padding: 0;
  border: 1px solid var(--edge);
  border-radius: 10px;
  background: var(--panel);
  color: inherit;
}
dialog::backdrop {
  background: #0009;
}
.ask,
.lone .in {
  display: grid;
  gap: 12px;
  padding: 22px;
  grid-template-columns: minmax(0, 1fr);
}
.ask .acts {
  justify-content: flex-end;
}
.ask li {
  display: flex;
  justify-content: space-between;
}
.lone :is(th, td):first-child {
  padding-left: 0;
}
.lone {
  max-width: 620px;
  margin: 6vh auto 0;
  width: 100%;
}
.field {
  display: grid;
  gap: 5px;
}
.steps {
  counter-reset: n;
}
.steps > li {
  display: grid;
  grid-template-columns: 26px minmax(0, 1fr);
  gap: 2px 14px;
  padding: var(--pad);
}
.steps > li + li {
  border-top: 1px solid var(--line);
}
.steps > li > * {
  grid-column: 2;
}
.steps pre {
  margin-top: 8px;
}
.steps > li::before {
  counter-increment: n;
  content: counter(n);
  grid-area: 1 / 1;
  text-align: center;
  height: 26px;
  line-height: 23px;
  border: 1.5px solid var(--edge);
  border-radius: 50%;
  font-weight: 600;
}
.steps > .done::before {
  content: "✓";
  color: var(--ok);
  border-color: currentColor;
}

/* While the database does not answer: what was shown last, without buttons */
.still {
  display: contents;
}
:is(.still, [data-away] main) :is(button, [data-ask], .bulk, .sel) {
  display: none;
}
tr.gone {
  color: var(--dim);
}

@media (min-width: 1200px) {
  .two-one {
    grid-template-columns: minmax(0, 1.75fr) minmax(0, 1fr);
    align-items: start;
  }
}
@media (min-width: 1000px) {
  .even {
    grid-template-columns: repeat(2, minmax(0, 1fr));
  }
  .three {
    grid-template-columns: repeat(3, minmax(0, 1fr));
  }
}
/* Columns leave by the width of their panel */
@container (max-width: 1000px) {
  .mid {
    display: none;
  }
}
@container (max-width: 740px) {
  .opt {
    display: none;
  }
  .phone {
    display: block;
  }
}
@container (max-width: 490px) {
  .slim {
    display: none;
  }
  tbody .s {
    white-space: normal;
  }
  tbody .acts {
    flex-wrap: wrap;
    justify-content: flex-start;
    margin-top: 6px;
  }
}
@container (max-width: 340px) {
  table {
    font-size: 12.5px;
  }
  td {
    overflow-wrap: anywhere;
  }
  th,
  td {
    padding-inline: 2px;
  }
  .line,
  thead th {
    white-space: normal;
  }
}
@media (max-width: 1180px) {
  .tiles {
    grid-template-columns: repeat(3, minmax(0, 1fr));
  }
  .lanes > li {
    grid-template-columns: 150px minmax(0, 1fr) 190px;
  }
}
@media (max-width: 960px) {
  .bar {
    flex-wrap: wrap;
    padding: 0 12px;
    position: static;
  }
  .brand {
    min-height: 44px;
  }
  .bar nav {
    order: 3;
    flex: none;
    width: calc(100% + 24px);
    margin: 0 -12px;
    padding: 0 6px;
    border-top: 1px solid #2a2c34;
    overflow-x: auto;
  }
  .bar nav a {
    height: 42px;
  }
}
@media (max-width: 720px) {
  :root {
    --pad: 12px;
  }
  .env,
  .tools .opt,
  .foot .opt {
    display: none;
  }
  main {
    padding: 12px 12px 32px;
    gap: 12px;
  }
  .foot {
    padding: 0 12px 20px;
  }
  .bar nav ul {
    justify-content: space-between;
  }
  .bar nav a {
    padding: 0 5px;
    font-size: 12.5px;
    gap: 4px;
  }
  .bar .n {
    display: inline-block;
    width: 8px;
    height: 8px;
    padding: 0;
    overflow: hidden;
    text-indent: 20px;
    white-space: nowrap;
  }
  h1 {
    font-size: 18px;
  }
  .head .acts {
    margin-left: 0;
    flex-basis: 100%;
  }
  .head input {
    width: 100%;
  }
  button,
  .button,
  input {
    min-height: 38px;
  }
  tbody :is(button, .button),
  .tools button {
    min-height: 32px;
  }
  [type="checkbox"] {
    width: 24px;
    height: 24px;
    min-height: 0;
  }
  th,
  td {
    padding: 8px 6px;
  }
  .of {
    gap: 6px;
    flex-wrap: wrap;
  }
  .of svg {
    width: 44px;
  }
  td .spark {
    width: 84px;
  }
  .tiles {
    grid-template-columns: 1fr 1fr;
  }
  .tiles b {
    font-size: 21px;
  }
  .tiles svg {
    width: 60px;
    top: 30px;
  }
  .alerts > li {
    grid-template-columns: 10px minmax(0, 1fr) auto;
  }
  .alerts p:first-of-type {
    grid-column: 2 / 4;
  }
  .alerts .dim {
    grid-column: 2;
  }
  .alerts svg,
  .alerts span:empty {
    display: none;
  }
  .alerts .acts {
    grid-column: 3;
    min-width: 0;
    padding-top: 4px;
  }
  .lanes > li {
    grid-template-columns: minmax(0, 1fr) auto;
    gap: 3px 10px;
  }
  .lanes > li > :nth-child(2) {
    grid-area: 2 / 1 / auto / -1;
  }
  .lanes .note {
    max-width: 56vw;
    text-align: right;
  }
  .axis > span {
    display: none;
  }
  .tell,
  .meter {
    grid-template-columns: minmax(0, 1fr);
  }
  details > .in {
    padding-left: var(--pad);
  }
  .bulk .acts {
    margin-left: 0;
  }
  .log li {
    grid-template-columns: 64px minmax(0, 1fr);
  }
  .log li > :nth-child(3) {
    grid-column: 2;
    margin-top: -8px;
  }
  .log li > b {
    grid-column: 1 / -1;
  }
}
@media (forced-colors: active) {
  .s::before,
  .alerts > li::before,
  .key i,
  svg {
    forced-color-adjust: none;
  }
  nav a:not([aria-current]) {
    border-color: Canvas !important;
  }
}
`,
  },
  "dashboard.js": {
    path: "/assets/408231d555a4-dashboard.js",
    type: "text/javascript; charset=utf-8",
    text: `// What pages can do beyond HTML: keys, a theme, picking rows, questions, ages that grow. All of it may be missing.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;

  /** Remembers a choice on this machine, where that is allowed. */
  const store = {
    get(key) {
      try {
        return localStorage.getItem(\`firefly.\${key}\`);
      } catch {
        return null;
      }
    },
    set(key, value) {
      try {
        localStorage.setItem(\`firefly.\${key}\`, value);
      } catch { /* not allowed */ }
    },
  };

  // Theme: that of the system, light or dark.
  const THEMES = ["system", "light", "dark"];
  const setTheme = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    const button = $("#theme");
    if (button) {
      button.hidden = false;
      button.textContent = \`Theme: \${theme}\`;
    }
    store.set("theme", theme);
  };
  setTheme(THEMES.includes(store.get("theme")) ? store.get("theme") : "system");
  $("#theme")?.addEventListener("click", () => {
    setTheme(THEMES[(THEMES.indexOf(root.dataset.theme ?? "system") + 1) % THEMES.length]);
  });

  for (const element of all("[data-script]")) element.hidden = false;

  // Ages, by the clock of the database: it is that of the page plus the time since then.
  const UNITS = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  const formatAge = (seconds) => {
    const whole = Math.floor(Math.abs(seconds));
    if (whole < 1) return "now";
    const first = UNITS.findIndex(([, length]) => whole >= length);
    const [name, length] = UNITS[first];
    const [nextName, nextLength] = UNITS[first + 1] ?? ["", Infinity];
    const rest = Math.floor(whole % length / nextLength);
    const amount = \`\${Math.floor(whole / length)}\${name}\${rest > 0 ? \` \${rest}\${nextName}\` : ""}\`;
    return seconds > 0 ? \`\${amount} ago\` : \`in \${amount}\`;
  };
  const clock = {
    at: Date.parse($("#as-of time")?.dateTime ?? "") || Date.now(),
    since: performance.now(),
    set(time) {
      [clock.at, clock.since] = [Date.parse(time), performance.now()];
    },
    now: () => clock.at + performance.now() - clock.since,
  };
  const showAges = () => {
    for (const time of all("time[data-age]")) {
      time.textContent = formatAge((clock.now() - Date.parse(time.dateTime)) / 1000);
    }
  };
  setInterval(showAges, 10_000);

  // Picking rows.
  const bulk = $(".bulk"), every = $("thead .sel input");
  const boxes = () => all("tbody .sel input");
  const countPicked = () => {
    const picked = boxes().filter((box) => box.checked).length;
    for (const box of boxes()) box.closest("tr").classList.toggle("on", box.checked);
    if (every) {
      every.checked = picked > 0 && picked === boxes().length;
      every.indeterminate = picked > 0 && !every.checked;
    }
    if (!bulk) return;
    bulk.hidden = picked === 0;
    for (const text of all("[data-picked]", bulk)) text.textContent = \`\${picked} selected\`;
  };
  if (every) every.closest("label").hidden = false;
  addEventListener("change", ({ target }) => {
    if (target === every) { for (const box of boxes()) box.checked = every.checked; }
    if (target.closest(".sel")) countPicked();
  });
  countPicked(); // a browser that goes back keeps what was picked

  // Questions: what a page asks is asked in a dialog over the list. Without this script it is a page.
  const prepare = (part) => {
    for (const input of all("input[data-word]", part)) {
      const button = $("[type=submit]", input.form);
      const check = () => button.disabled = input.value.trim() !== input.dataset.word;
      input.addEventListener("input", check);
      check();
    }
  };
  prepare(document);
  const addressOf = (opener) => {
    if (opener.href) return opener.href;
    const address = new URL(opener.getAttribute("formaction") ?? opener.form.getAttribute("action"), location.href);
    address.search = new URLSearchParams(new FormData(opener.form, opener)).toString();
    return address.href;
  };
  const ask = async (opener) => {
    const address = addressOf(opener);
    try {
      const response = await fetch(address, { headers: { accept: "text/html" } });
      const question = new DOMParser().parseFromString(await response.text(), "text/html").querySelector(".lone form");
      if (!response.ok || !question) throw new Error("no question");
      const dialog = document.createElement("dialog");
      const heading = $("h1, h2", question);
      dialog.setAttribute("aria-labelledby", heading.id);
      question.className = "ask";
      dialog.append(document.adoptNode(question));
      document.body.append(dialog);
      prepare(dialog);
      dialog.addEventListener("close", () => (dialog.remove(), opener.focus()));
      dialog.addEventListener("click", (event) => {
        if (!event.target.closest("[data-back]")) return;
        event.preventDefault();
        dialog.close();
      });
      dialog.showModal();
    } catch {
      location.href = address;
    }
  };
  addEventListener("click", (event) => {
    const opener = event.target.closest("[data-ask]");
    if (!opener || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    void ask(opener);
  });

  // Copying works only over https and on this machine.
  for (const button of navigator.clipboard ? all("[data-copy]") : []) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
    });
  }

  // On a phone the tabs scroll: show the current one.
  for (const tab of all(".tabs [aria-current], .bar nav [aria-current]")) {
    tab.scrollIntoView({ block: "nearest", inline: "center" });
  }

  // Keys, unless they are switched off (WCAG 2.1.4) or a field has the focus.
  const rows = () => all("tr[data-href]");
  let current, before = "";
  const move = (step) => {
    const list = rows();
    const index = Math.min(list.length - 1, Math.max(0, list.indexOf(current) + step));
    if (!list[index]) return;
    current?.removeAttribute("aria-current");
    current = list[index];
    current.setAttribute("aria-current", "true");
    $("a", current)?.focus({ preventScroll: true });
    current.scrollIntoView({ block: "nearest" });
  };
  const KEYS = {
    "/": () => ($("#q") ?? $("#find"))?.focus(),
    j: () => move(1),
    k: () => move(-1),
    x: () => current && $(".sel input", current)?.click(),
    r: () => (bulk && !bulk.hidden ? $("[data-key=r]", bulk) : $("[data-key=r]"))?.click(),
    p: () => $("#pause:not([hidden])")?.click(),
    "?": () => $("#keys")?.showModal(),
  };
  const areOff = () => !("keys" in root.dataset) || store.get("keys") === "off";
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || areOff()) return;
    if ($("dialog[open]") || event.target.closest("input:not([type=checkbox]), textarea, select")) return;
    const { key } = event;
    if (before === "g" && /^[a-z]$/.test(key)) $(\`[data-go="\${key}"]\`)?.click();
    else if (key === "Enter" && current && !event.target.closest("a, button, summary")) {
      location.href = current.dataset.href;
    } else if (Object.hasOwn(KEYS, key)) {
      event.preventDefault();
      KEYS[key]();
    }
    before = key;
  });
  const keysOff = $("#keys-off");
  const showKeys = () => keysOff && (keysOff.textContent = areOff() ? "Switch keys on" : "Switch keys off");
  keysOff?.addEventListener("click", () => {
    store.set("keys", areOff() ? "on" : "off");
    showKeys();
  });
  showKeys();

  globalThis.firefly = { clock, showAges, countPicked };
})();
`,
  },
  "firefly.svg": {
    path: "/assets/5f4e2d64fa7d-firefly.svg",
    type: "image/svg+xml",
    text: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" role="img" aria-label="Firefly">
  <circle cx="16" cy="21.5" r="10" fill="#ffc53d" opacity=".2" />
  <path d="M14.8 14C9 13.5 4.6 10 3 4c6-.6 10.6 3 11.8 10zM17.2 14C23 13.5 27.4 10 29 4c-6-.6-10.6 3-11.8 10z"
    fill="#c3c7d3" />
  <path d="M11.4 15.5h9.200c1.1 1.5 1.7 3.3 1.7 5.3 0 4.5-2.5 8.2-6.3 8.200s-6.3-3.7-6.3-8.2c0-2 .6-3.8 1.7-5.300z"
    fill="#ffc53d" />
  <path d="M9.8 20h12.4M10.4 24h11.2" stroke="#7a4d00" stroke-width="1.3" fill="none" opacity=".55" />
  <circle cx="16" cy="12.5" r="3.6" fill="#8d919e" />
</svg>
`,
  },
  "live.js": {
    path: "/assets/fd421d01a72a-live.js",
    type: "text/javascript; charset=utf-8",
    text: `// Live updates: a pulse tells that something has changed, and the page asks again for itself. It replaces the content of
// [data-live], and never adds or moves a row.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;
  const word = $("#live"), pause = $("#pause");
  if (!word || !globalThis.EventSource) return;
  const { clock, showAges, countPicked } = globalThis.firefly;

  /** At least so many milliseconds are between two refreshes of a page. */
  const PACE = 5_000;
  /** After so many milliseconds without a pulse the page asks without one, as behind a proxy that holds events back. */
  const SILENCE = 10_000;
  /** From so many milliseconds on, what is shown counts as old. */
  const OLD = 15_000;

  let events, change, etag = null;
  let isPaused = false, isDirty = false, isAsking = false, isSignedOut = false;
  let pulsedAt = performance.now(), askedAt = performance.now(), currentAt = performance.now();

  const say = (text, isOn) => {
    if (word.textContent !== text) word.textContent = text;
    word.classList.toggle("off", !isOn);
  };
  const setAway = (isAway) => {
    if (isAway) root.dataset.away = "";
    else delete root.dataset.away;
  };
  /** Whether the page must stay as it is, since it is in use. */
  const isHeld = () =>
    isPaused || isSignedOut || document.hidden || $("dialog[open]") || $("tbody .sel :checked") ||
    document.activeElement?.matches("input:not([type=checkbox]), textarea, select");

  /** The page is as the database was at \`time\`. */
  const setCurrent = (time) => {
    currentAt = performance.now();
    clock.set(time);
    const shown = $("#as-of time");
    if (!shown) return;
    shown.dateTime = time;
    shown.textContent = \`\${time.slice(11, 19)} UTC\`;
    $("#as-of").classList.remove("hold");
  };

  const replaceContent = (element, other) => {
    if (element.innerHTML === other.innerHTML || element.contains(document.activeElement)) return;
    const open = all("details[id][open]", element).map(({ id }) => id);
    element.replaceChildren(...other.childNodes);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  };
  const replaceRows = (body, other) => {
    const own = all("tr[id]", body);
    const next = new Map(all("tr[id]", other).map((row) => [row.id, row]));
    // Rows after the last one that both have were pushed off the page by newer ones; those before it are gone.
    const last = own.findLastIndex(({ id }) => next.has(id));
    for (const [index, row] of own.entries()) {
      const found = next.get(row.id);
      next.delete(row.id);
      row.classList.toggle("gone", !found && index < last);
      if (found?.cells.length !== row.cells.length) continue;
      for (const [column, cell] of [...row.cells].entries()) {
        if (!cell.classList.contains("sel")) replaceContent(cell, found.cells[column]);
      }
    }
    showFresh(body, next.size > 0 && last < 0 ? \`\${next.size}+\` : next.size);
  };
  const showFresh = (body, count) => {
    const panel = body.closest(".panel");
    let button = panel.previousElementSibling?.matches(".fresh") ? panel.previousElementSibling : undefined;
    if (!count) return button?.remove();
    if (!button) {
      button = document.createElement("button");
      button.type = "button";
      button.className = "fresh";
      button.addEventListener("click", () => location.reload());
      panel.before(button);
    }
    button.textContent = \`\${count} newer · Show\`;
  };
  const apply = (next) => {
    if (root.dataset.away !== undefined && !$("main [data-live]")) return location.reload();
    for (const element of all("body [data-live]")) {
      const other = next.getElementById(element.id);
      if (!other) continue;
      if (element.dataset.live === "rows") replaceRows(element, other);
      else replaceContent(element, other);
    }
    document.title = next.title;
    countPicked();
    showAges();
  };

  const refresh = async () => {
    if (isAsking) return;
    isAsking = true;
    askedAt = performance.now() + Math.random() * 1_000;
    isDirty = false;
    try {
      const headers = { accept: "text/html", ...(etag ? { "if-none-match": etag } : {}) };
      const response = await fetch(location.href, { headers, signal: AbortSignal.timeout(20_000) });
      if (response.status === 304) return setAway(false);
      if (response.ok && !response.redirected) {
        const next = new DOMParser().parseFromString(await response.text(), "text/html");
        etag = response.headers.get("etag");
        if ($(".still")) return location.reload();
        apply(next);
        setAway(false);
        const time = next.querySelector("#as-of time")?.dateTime;
        if (time) setCurrent(time);
        const asOf = next.querySelector("#as-of");
        if (asOf) $("#as-of")?.replaceChildren(...asOf.childNodes);
      } else if (response.status === 503) {
        isDirty = true;
        setAway(true);
      } else if (response.redirected || response.status === 401 || response.status === 403) {
        isSignedOut = true;
        disconnect();
        say("Signed out", false);
      }
    } catch {
      isDirty = true; // no answer: the next round asks again
    } finally {
      isAsking = false;
    }
  };

  const connect = () => {
    if (events || isPaused || isSignedOut || document.hidden) return;
    events = new EventSource(\`\${root.dataset.base}/pulse\`);
    events.addEventListener("pulse", ({ data }) => {
      const pulse = JSON.parse(data);
      pulsedAt = performance.now();
      if (pulse.change !== change) isDirty = true;
      change = pulse.change;
      say("Live", true);
      if (root.dataset.away !== undefined) void refresh();
      else if (!isDirty && !isAsking) setCurrent(pulse.now);
      else tick();
    });
    events.addEventListener("away", () => {
      pulsedAt = performance.now();
      isDirty = true;
      setAway(true);
      say("Reconnecting", false);
    });
    events.addEventListener("error", () => {
      say("Reconnecting", false);
      if (events?.readyState === EventSource.CLOSED) disconnect(); // the next round connects again
    });
  };
  const disconnect = () => {
    events?.close();
    events = undefined;
  };

  const tick = () => {
    if (isPaused || isSignedOut || document.hidden) return;
    connect();
    const now = performance.now();
    const isSilent = now - pulsedAt > SILENCE;
    if ((isDirty || isSilent) && !isHeld() && now - askedAt >= PACE) void refresh();
    if (now - currentAt > OLD) $("#as-of")?.classList.add("hold");
  };

  word.hidden = pause.hidden = false;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? "Resume" : "Pause";
    if (isPaused) disconnect();
    say(isPaused ? "Paused" : "Live", !isPaused);
    isDirty = true;
    if (!isPaused) tick();
  });
  document.addEventListener("visibilitychange", () => {
    // A browser has six connections for all tabs of a host: one that is hidden needs none.
    if (document.hidden) disconnect();
    else tick();
  });
  addEventListener("pagehide", disconnect);
  connect();
  setInterval(tick, 1_000);
})();
`,
  },
};
