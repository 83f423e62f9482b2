// A slider over pictures that lie beside the page: no server, no network.
for (const figure of document.querySelectorAll("figure.frames")) {
  const { files, values } = JSON.parse(figure.dataset.frames);
  const [input, output, img] = ["input", "output", "img"].map((tag) => figure.querySelector(tag));
  const load = () => files.map((file) => Object.assign(new Image(), { src: file }));
  input.addEventListener("pointerenter", load, { once: true });
  input.addEventListener("focus", load, { once: true });
  input.addEventListener("input", () => {
    img.src = files[input.value];
    output.textContent = values[input.value];
  });
}
