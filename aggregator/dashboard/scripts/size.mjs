// What the first screen costs: its JavaScript, as gzip sends it, has to stay below the limit.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const LIMIT_BYTES = 120_000;
/** The entry, and what it asks for by itself before anything is clicked: the chart. */
const FIRST = ["index.html", "src/ui/time-chart.tsx"];

const manifest = JSON.parse(readFileSync("manifest.json", "utf8"));
const files = new Set();

function follow(name) {
  const chunk = manifest[name];
  if (!chunk) throw new Error(`${name} is not in the manifest: has it been renamed?`);
  if (files.has(chunk.file)) return;
  files.add(chunk.file);
  for (const imported of chunk.imports ?? []) follow(imported);
}

for (const name of FIRST) follow(name);
files.add("theme.js");

let total = 0;
for (const file of files) {
  const bytes = gzipSync(readFileSync(join("dist", file)), { level: 9 }).length;
  total += bytes;
  console.log(`${String(bytes).padStart(8)}  ${file}`);
}
console.log(
  `${String(total).padStart(8)}  JavaScript of the first screen (gzip), limit ${LIMIT_BYTES}`,
);
if (total > LIMIT_BYTES) process.exit(1);
