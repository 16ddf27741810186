// Puts the parts of onnxruntime-web that the page loads beside it: npm install && npm run build
import { copyFileSync, mkdirSync } from "node:fs";

const PARTS = ["ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
mkdirSync("ort", { recursive: true });
for (const part of PARTS) copyFileSync(`node_modules/onnxruntime-web/dist/${part}`, `ort/${part}`);
