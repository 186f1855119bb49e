// Compresses what the browser asks for once, at build time; the aggregator sends it as it is.
import { readdirSync, readFileSync, renameSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const TEXT = /\.(js|css|html|svg)$/;
const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } };

for (const name of readdirSync("dist", { recursive: true })) {
  const path = join("dist", name);
  if (!statSync(path).isFile() || !TEXT.test(path)) continue;
  const bytes = readFileSync(path);
  for (const [suffix, packed] of [
    [".br", brotliCompressSync(bytes, quality)],
    [".gz", gzipSync(bytes, { level: 9 })],
  ]) {
    if (packed.length < bytes.length) writeFileSync(path + suffix, packed);
  }
}

// For size.mjs alone: all that is in dist becomes part of the aggregator.
renameSync("dist/.vite/manifest.json", "manifest.json");
rmdirSync("dist/.vite");
