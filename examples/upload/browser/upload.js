"use strict";

// Uploads a file in chunks to a signed URL, which the server that serves this page makes: no key
// ever reaches the browser. The chunks that Ittybit has confirmed are remembered, so that the same
// file goes on where it was after a lost connection, or when the page was closed.

const chunkSize = Number(new URLSearchParams(location.search).get("chunk")) || 16 * 1024 * 1024;

async function signedURL(name) {
  const response = await fetch("/sign?filename=" + encodeURIComponent(name), { method: "POST" });
  if (!response.ok) throw new Error("signing: " + response.status);
  return (await response.json()).url;
}

// put sends a part of the file, and tries again a few times.
async function put(name, body, range) {
  for (let attempt = 1; ; attempt++) {
    try {
      const response = await fetch(await signedURL(name), { method: "PUT", body, headers: range ? { "Content-Range": range } : {} });
      if (response.ok) return response;
      if (response.status < 500 && response.status !== 429) throw new TypeError("refused: " + response.status);
      throw new Error("status " + response.status);
    } catch (error) {
      if (attempt === 3 || String(error.message).startsWith("refused")) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** attempt));
    }
  }
}

async function upload(file, onProgress) {
  if (file.size <= chunkSize) return put(file.name, file);
  const place = ["upload", file.name, file.size, file.lastModified, chunkSize].join("/");
  let confirmed = Number(localStorage.getItem(place)) || 0;
  let response;
  for (let start = confirmed; start < file.size; start = confirmed) {
    const end = Math.min(start + chunkSize, file.size);
    response = await put(file.name, file.slice(start, end), `bytes=${start}-${end - 1}/${file.size}`);
    confirmed = end;
    if (end < file.size) localStorage.setItem(place, String(confirmed));
    onProgress(confirmed / file.size);
  }
  localStorage.removeItem(place);
  if (response.status !== 201) throw new Error("the file is not complete: upload it again");
  return response;
}

document.getElementById("start").addEventListener("click", async () => {
  const status = document.getElementById("status");
  const file = document.getElementById("file").files[0];
  if (!file) return;
  status.value = "uploading";
  try {
    await upload(file, (part) => { document.getElementById("bar").value = part; });
    status.value = "uploaded";
  } catch (error) {
    status.value = "failed: " + error.message + "; press Upload to go on";
  }
});
