// A slider over pictures that lie beside the page: no server, no network.
for (const figure of document.querySelectorAll("figure.frames")) {
  if (!figure.dataset.frames) continue;
  const { files, values, numbers } = JSON.parse(figure.dataset.frames);
  const said = ["strong", "span", "small"].map((tag) => figure.querySelector(`.number ${tag}`));
  const [input, output, img] = ["input", "output", "img"].map((tag) => figure.querySelector(tag));
  const load = () => files.map((file) => Object.assign(new Image(), { src: file }));
  input.addEventListener("pointerenter", load, { once: true });
  input.addEventListener("focus", load, { once: true });
  input.addEventListener("input", () => {
    img.src = files[input.value];
    output.textContent = values[input.value];
    said.forEach((part, k) => (part.textContent = numbers[input.value][k]));
  });
}
