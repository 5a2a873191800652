// Questions to the server. The edits of this page go with each: the server keeps none.

import { say } from "/words.js";

/** layer name -> Map from "i,j,k,l" to the number that stands there now */
export const edits = new Map();

export function sentEdits() {
  return [...edits].filter(([, places]) => places.size).map(([layer, places]) => ({
    layer,
    at: [...places.keys()].map((key) => key.split(",").map(Number)),
    values: [...places.values()],
  }));
}

/** The answer to a question; what went wrong is said on the page, and thrown. */
export async function ask(name, question = {}) {
  let answer;
  try {
    const reply = await fetch(`/ask/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...question, edits: sentEdits() }),
    });
    answer = await reply.json();
    if (!reply.ok) throw new Error(answer.error);
  } catch (error) {
    trouble(error instanceof TypeError ? say("gone") : error.message);
    error.told = true;
    throw error;
  }
  trouble("");
  return answer;
}

export function trouble(text) {
  const place = document.getElementById("trouble");
  if (place.textContent !== text) place.textContent = text;
}

/** float32 numbers from their base64. */
export function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}
