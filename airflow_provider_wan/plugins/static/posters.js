// First frames as small pictures, one video after the other: what decoders hold is what costs a tab most.

import { Frames } from "./frames.js";

const AT_ONCE = 1;
const KEPT = 1000;
const HURRY = 4000; // Safari gives no frame with preload="metadata"
const PATIENCE = 30000;

export class Posters {
  constructor() {
    this.wanted = new Map();
    this.pictures = new Map();
    this.idle = [];
    this.busy = 0;
  }

  // The picture as a file, when it is there already.
  kept(address) {
    return this.pictures.get(address);
  }

  // Calls `take` with the picture as a file, with the failure where there is none; not after `leave`.
  want(address, width, take) {
    this.wanted.set(address, { width, take });
    this.next();
  }

  leave(address) {
    this.wanted.delete(address);
  }

  next() {
    const [address, job] = [...this.wanted].find(([, { isAtWork }]) => !isAtWork) || [];
    if (!job || this.busy >= AT_ONCE) return;
    job.isAtWork = true;
    this.busy += 1;
    this.pictureOf(address, job.width)
      .catch((failure) => ({ failure }))
      .then((found) => {
        this.busy -= 1;
        const asked = this.wanted.get(address);
        this.leave(address);
        asked?.take(found);
        this.next();
      });
    this.next();
  }

  async pictureOf(address, width) {
    const { video, frames } = this.idle.pop() || { video: Object.assign(document.createElement("video"), { muted: true, playsInline: true }), frames: new Frames() };
    try {
      await firstFrame(video, address);
      const canvas = await frames.canvasOf(video, Math.round(width * devicePixelRatio));
      const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.8));
      return { picture: this.keep(address, blob) };
    } finally {
      video.removeAttribute("src");
      video.load();
      this.idle.push({ video, frames });
    }
  }

  keep(address, picture) {
    this.pictures.set(address, picture);
    if (this.pictures.size > KEPT) this.pictures.delete(this.pictures.keys().next().value);
    return picture;
  }
}

export class NotPlayed extends Error {}

function firstFrame(video, address) {
  const heard = new AbortController();
  return new Promise((done, fail) => {
    const timers = [setTimeout(() => (video.preload = "auto"), HURRY), setTimeout(() => fail(new NotPlayed()), PATIENCE)];
    heard.signal.addEventListener("abort", () => timers.forEach(clearTimeout));
    video.addEventListener("error", () => fail(new NotPlayed()), { signal: heard.signal });
    video.addEventListener("loadeddata", done, { signal: heard.signal });
    video.preload = "metadata";
    video.src = address;
  }).finally(() => heard.abort());
}
