// Pictures further down lie packed: each is drawn once it is about to be seen, or printed.
(() => {
  const draw = async (picture) => {
    const packed = picture.dataset.later;
    if (!packed) return;
    delete picture.dataset.later;
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    const text = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    picture.src = "data:image/svg+xml," + encodeURIComponent(await new Response(text).text());
  };
  const watch = new IntersectionObserver((seen) => {
    for (const entry of seen.filter((entry) => entry.isIntersecting)) {
      watch.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "1000px" });
  const all = document.querySelectorAll("img[data-later]");
  all.forEach((picture) => watch.observe(picture));
  addEventListener("beforeprint", () => all.forEach(draw));
})();
