"use strict";

// The API of `tellapart serve`, answered in this browser: page.js asks it as it would ask a server.
(() => {
  const SUPPORT = 2; // of the bicubic filter, in pixels of what it is made to
  const GREY = 128; // beside a padded picture
  const fromHere = window.fetch.bind(window);
  const told = fromHere("model.json").then((response) => response.json());
  let session = null;
  let before = Promise.resolve(); // one picture at a time: a session computes no two at once
  told.then(opened).catch(() => {}); // ahead of the first picture; what is wrong is said when it is asked

  window.fetch = async (address, options) => {
    if (address === "v1/models") return answer(200, { models: [modelOf(await told)] });
    if (address !== "v1/predict") return fromHere(address, options);
    const files = options.body.getAll("file");
    try {
      const results = [];
      for (const file of files) results.push(await inTurn(() => predict(file)));
      return answer(200, { results });
    } catch (error) {
      return answer(500, { error: { kind: "local", text: error.message } });
    }
  };

  function answer(status, content) {
    return new Response(JSON.stringify(content), { status, headers: { "Content-Type": "application/json" } });
  }

  function modelOf({ name, version, classes, arch, created, fit }) {
    return { name, version, classes, arch, created, side_px: fit.side_px };
  }

  function inTurn(work) {
    const mine = before.then(work);
    before = mine.catch(() => {});
    return mine;
  }

  function opened() {
    session ??= open();
    session.catch(() => { session = null; }); // so that "Try again" does
    return session;
  }

  async function open() {
    if (typeof ort === "undefined") throw new Error("onnxruntime-web is not beside this page yet; its README.md says how to get it.");
    ort.env.wasm.wasmPaths = new URL("ort/", document.baseURI).href;
    ort.env.wasm.numThreads = crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
    return ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] });
  }

  async function predict(file) {
    const { classes, fit, unknown_below: unknownBelow, thresholds } = await told;
    const network = await opened();
    let pixels;
    try {
      pixels = fitted(await decoded(file, fit), fit);
    } catch {
      const nothing = { label: null, probability: null, probabilities: {}, unknown: null, labels: [] };
      return { name: file.name, ...nothing, error: "this browser cannot read it" };
    }
    const input = new ort.Tensor("uint8", new Uint8Array(pixels.buffer), [1, fit.side_px, fit.side_px, 3]);
    const outputs = await network.run({ pixels: input }, ["probabilities", "familiarity"]);
    const ranked = classes.map((label, place) => [label, outputs.probabilities.data[place]]).sort((one, other) => other[1] - one[1]);
    const said = thresholds ? ranked.filter(([label, probability]) => probability >= thresholds[label]) : ranked.slice(0, 1);
    return {
      name: file.name,
      label: said[0]?.[0] ?? "",
      probability: (said[0] ?? ranked[0])[1],
      probabilities: Object.fromEntries(ranked),
      unknown: outputs.familiarity.data[0] < unknownBelow,
      labels: said.map(([label]) => label),
      error: null,
    };
  }

  // Upright, on white where it is transparent; a large one at 1/2, 1/4 or 1/8, both sides staying twice what is wanted of them.
  async function decoded(file, fit) {
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    const wanted = 2 * Math.round(fit.side_px / fit.crop_frac);
    const scale = [8, 4, 2].find((one) => Math.min(bitmap.width, bitmap.height) / one >= wanted) ?? 1;
    const canvas = document.createElement("canvas");
    canvas.width = Math.ceil(bitmap.width / scale);
    canvas.height = Math.ceil(bitmap.height / scale);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  // (side, side, 3), as `Fit` makes it in Python.
  function fitted(image, { side_px: side, mode, crop_frac: cropFrac }) {
    const { width, height } = image;
    if (mode === "crop") {
      const edge = Math.min(width, height) * cropFrac;
      return resized(image, [(width - edge) / 2, (width + edge) / 2], [(height - edge) / 2, (height + edge) / 2], side, side);
    }
    if (mode === "squish") return resized(image, [0, width], [0, height], side, side);
    const scale = side / Math.max(width, height);
    const [across, down] = [width, height].map((length) => Math.max(1, Math.round(length * scale)));
    const small = resized(image, [0, width], [0, height], across, down);
    const [left, top] = [across, down].map((length) => Math.floor((side - length) / 2));
    const square = new Uint8ClampedArray(side * side * 3).fill(GREY);
    for (let y = 0; y < down; y += 1) square.set(small.subarray(y * across * 3, (y + 1) * across * 3), ((top + y) * side + left) * 3);
    return square;
  }

  // Pillow's antialiased bicubic: across, rounded to 8 bits, then down. A canvas's own differs from browser to browser.
  function resized({ data, width, height }, [left, right], [top, bottom], across, down) {
    const columns = filters(width, left, right, across);
    const rows = filters(height, top, bottom, down);
    const first = rows[0].start;
    const last = rows[down - 1].start + rows[down - 1].weights.length;
    const middle = new Uint8ClampedArray((last - first) * across * 3);
    for (let y = first; y < last; y += 1) {
      columns.forEach(({ start, weights }, x) => {
        for (let band = 0; band < 3; band += 1) {
          let sum = 0;
          for (let k = 0; k < weights.length; k += 1) sum += weights[k] * data[(y * width + start + k) * 4 + band];
          middle[((y - first) * across + x) * 3 + band] = sum; // this array rounds and clamps
        }
      });
    }
    const pixels = new Uint8ClampedArray(down * across * 3);
    rows.forEach(({ start, weights }, y) => {
      for (let x = 0; x < across * 3; x += 1) {
        let sum = 0;
        for (let k = 0; k < weights.length; k += 1) sum += weights[k] * middle[(start - first + k) * across * 3 + x];
        pixels[y * across * 3 + x] = sum;
      }
    });
    return pixels;
  }

  // For each of `n` places between `from` and `to` of a line of `length` pixels: which pixels it is made of, and their weights.
  function filters(length, from, to, n) {
    const scale = (to - from) / n;
    const wide = Math.max(1, scale);
    return Array.from({ length: n }, (_, place) => {
      const centre = from + (place + 0.5) * scale;
      const start = Math.max(0, Math.trunc(centre - SUPPORT * wide + 0.5));
      const end = Math.min(length, Math.trunc(centre + SUPPORT * wide + 0.5));
      const weights = Float64Array.from({ length: end - start }, (_, k) => bicubic((start + k - centre + 0.5) / wide));
      const sum = weights.reduce((one, other) => one + other, 0);
      return { start, weights: weights.map((weight) => weight / sum) };
    });
  }

  function bicubic(distance) {
    const x = Math.abs(distance);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
  }
})();
