"use strict";
// The picture as a file: what is open, in the colors of the moment, with title and legend.

const MARGIN = 24;
const MOST_PIXELS = 12000; // along one side of a PNG, within what browsers can paint

function pictureOf(scene, network, legend) {
  const { palette } = scene;
  const rows = [...legend.rows.map(({ name }) => name), ...legend.edges.map((kind) => EDGE_NAMES[kind])];
  const side = rows.length ? 40 + Math.max(...rows.map((name) => textWidth(name, 12))) : 0;
  const head = 76;
  const titles = [textWidth(network.name, 20, true), ...network.subtitle.map((line) => textWidth(line, 12))];
  const width = Math.ceil(Math.max(scene.width + side, ...titles) + 2 * MARGIN);
  const height = Math.ceil(Math.max(scene.height, 20 * rows.length) + head + 2 * MARGIN);
  const svg = svgElement("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "font-family": FONT });
  svg.append(svgElement("title", {}, network.name), svgElement("rect", { width, height, fill: palette.background }));
  const title = { x: MARGIN, y: MARGIN + 14, "font-size": 20, "font-weight": "bold", fill: palette.text };
  svg.append(svgElement("text", title, network.name));
  network.subtitle.forEach((line, i) => {
    svg.append(svgElement("text", { x: MARGIN, y: MARGIN + 36 + 17 * i, "font-size": 12, fill: palette.muted }, line));
  });
  const picture = svgElement("g", { transform: `translate(${MARGIN} ${MARGIN + head})` });
  picture.append(scene.root.cloneNode(true));
  for (const element of picture.querySelectorAll("*")) {
    const own = element.getAttributeNames().filter((name) => /^(id|role|class|data-entry|aria-.*)$/.test(name));
    own.forEach((name) => element.removeAttribute(name));
  }
  const corner = `translate(${width - MARGIN - side + 24} ${MARGIN + head})`;
  const key = svgElement("g", { transform: corner, "font-size": 12 });
  legend.rows.forEach(({ fill, line }, i) => {
    key.append(svgElement("rect", { y: 20 * i, width: 13, height: 13, rx: 3, fill, stroke: line }));
  });
  legend.edges.forEach((kind, i) => {
    const y = 20 * (legend.rows.length + i) + 6.5;
    const dashes = kind === "auxiliary" ? { "stroke-dasharray": "4 3" } : {};
    const look = { stroke: palette.edges[kind], "stroke-width": 1.6, ...dashes };
    key.append(svgElement("line", { x2: 13, y1: y, y2: y, ...look }));
  });
  rows.forEach((name, i) => key.append(svgElement("text", { x: 20, y: 20 * i + 11, fill: palette.text }, name)));
  svg.append(picture, key);
  return { text: new XMLSerializer().serializeToString(svg), width, height };
}

function save(blob, name) {
  const link = html("a", { download: name, href: URL.createObjectURL(blob) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function saveSvg(picture, name) {
  save(new Blob([picture.text], { type: "image/svg+xml" }), `${name}.svg`);
}

async function savePng(picture, name) {
  const scale = Math.min(2, MOST_PIXELS / picture.width, MOST_PIXELS / picture.height);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(picture.text)}`;
  await image.decode();
  const canvas = html("canvas");
  [canvas.width, canvas.height] = [Math.ceil(picture.width * scale), Math.ceil(picture.height * scale)];
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  save(await new Promise((resolve) => canvas.toBlob(resolve, "image/png")), `${name}.png`);
}
